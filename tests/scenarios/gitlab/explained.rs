//! The table of grants, asked of nobody: what an agent's file says is explained as GitLab and the relay decide it.

use adit_authority::{
    AgentFile, Explanation, Home, Licence, Question, Verdict, agent_file::Findings,
};
use adit_identity::{AgentId, Environment, GitRef, JobIdentity, ProjectId, Tier};
use adit_tests::{
    GitLab, gitlab,
    gitlab::{
        Licence as LicenceAtGitLab,
        matrix::{self, CaseJob, CaseRef, GrantCase, grant_cases},
    },
    scenario,
};
use serde_json::Value;

use super::grants::is_usable;

#[test]
fn every_case_of_the_table_is_explained_as_it_is_decided() {
    scenario(async {
        let cases = grant_cases();
        let mut wrong = Vec::new();
        for case in &cases {
            let gitlab = gitlab().start().await;
            let mut found = explained(case, &gitlab);
            let listed = case.expected().into_iter();
            let mut expected: Vec<_> = listed
                .filter(|(_, entry)| is_usable(&entry["access_as"]))
                .collect();
            let by_name = |one: &(String, Value), other: &(String, Value)| one.0.cmp(&other.0);
            found.sort_by(by_name);
            expected.sort_by(by_name);
            if found != expected {
                wrong.push(format!("{}: {found:?}, not {expected:?}", case.name));
            }
        }
        assert!(cases.len() >= 60, "{} cases", cases.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// The agents that let the job in, each with the entry that does.
fn explained(case: &GrantCase, gitlab: &GitLab) -> Vec<(String, Value)> {
    let mut world = gitlab.world();
    let job = case.arrange(&mut world);
    let is_protected = world.is_protected(world.job_of(job));
    let job = described(&case.job, is_protected);
    let mut found = Vec::new();
    for (name, id) in matrix::agents(&mut world) {
        let text = case.configured.iter().find(|(agent, _)| *agent == name);
        let text = text.map_or("", |(_, text)| text);
        // A file that cannot be used lets nobody in.
        let Some(file) = AgentFile::read(text, &mut Findings::default()) else {
            continue;
        };
        let question = Question {
            job: job.clone(),
            licence: match case.job.licence {
                LicenceAtGitLab::Free => Licence::Free,
                LicenceAtGitLab::Premium | LicenceAtGitLab::Ultimate => Licence::Premium,
            },
            home: Home {
                project: Some(matrix::project_of(name).parse().unwrap()),
                is_personal: name == "own",
                has_instance_authorization: case.has_instance_authorization,
            },
            agent: AgentId(id),
            context: name.into(),
            config_project: ProjectId(7),
        };
        let explanation = question.explain(&file);
        if explanation.outcome.is_ok() {
            found.push((name.to_owned(), deciding(&explanation)));
        }
    }
    found
}

fn described(case: &CaseJob, is_protected: bool) -> JobIdentity {
    let mut job = JobIdentity::example("https://gitlab.example.com", case.project);
    let (CaseRef::Branch(name) | CaseRef::Tag(name)) = case.git_ref;
    job.git_ref = Some(GitRef {
        name: name.into(),
        kind: None,
        protected: is_protected,
    });
    let stored = case.environment.filter(|_| case.is_environment_stored);
    job.environment = stored.map(|name| Environment::named(name, Tier::Other, false).unwrap());
    job
}

fn deciding(explanation: &Explanation<'_>) -> Value {
    let mut rules = explanation.rules.iter();
    let deciding = rules.find(|rule| matches!(rule.verdict, Verdict::Decides));
    deciding.unwrap().entry.options.clone()
}
