use adit_identity::Impersonation;

use super::*;
use crate::{
    agent_file::Findings,
    examples::{environment, job, job_of},
};

const AGENT: AgentId = AgentId(41);

/// A job in front of the agent `prod` of `group/agents`.
fn question(job: JobIdentity) -> Question {
    Question {
        job,
        licence: Licence::Premium,
        home: Home {
            project: Some("group/agents".parse().unwrap()),
            ..Home::default()
        },
        agent: AGENT,
        context: "group/agents:prod".into(),
        config_project: ProjectId(7),
    }
}

fn file(text: &str) -> AgentFile {
    let mut findings = Findings::default();
    AgentFile::read(text, &mut findings).expect("a file without mistakes")
}

/// Each rule's verdict in a word.
fn verdicts(explanation: &Explanation<'_>) -> Vec<&'static str> {
    let word = |rule: &Rule<'_>| match rule.verdict {
        Verdict::Decides => "decides",
        Verdict::Hidden { .. } => "hidden",
        Verdict::Elsewhere => "elsewhere",
        Verdict::Dropped(_) => "dropped",
    };
    explanation.rules.iter().map(word).collect()
}

fn reason(explanation: &Explanation<'_>) -> &'static str {
    explanation.outcome.as_ref().unwrap_err().reason()
}

const ALL: &str = "{ci_access: {
    projects: [{id: group/sub/app, access_as: {ci_job: {}}, environments: [production], default_namespace: web}, {id: group/other}],
    groups: [{id: group}, {id: group/sub}, {id: other}], instance: {}}}";

#[test]
fn each_rule_says_whether_it_decides_and_why_not() {
    let file = file(ALL);
    let mut job = job();
    job.environment = environment("production");
    let explanation = question(job.clone()).explain(&file);
    let expected = [
        "decides",
        "elsewhere",
        // The agent's own project.
        "elsewhere",
        "hidden",
        "hidden",
        "dropped",
        "dropped",
    ];
    assert_eq!(verdicts(&explanation), expected);
    let admitted = explanation.outcome.unwrap();
    assert_eq!(admitted.default_namespace.unwrap().as_str(), "web");
    let user = job.impersonation(AGENT, Some(ProjectId(7))).unwrap();
    assert_eq!(admitted.act_as, ActAs::Impersonate(user));

    let mut question = question(job_of("group/sub/other"));
    let explanation = question.explain(&file);
    let decides = &explanation.rules[4];
    assert!(matches!(decides.verdict, Verdict::Decides), "{decides:?}");
    assert_eq!(explanation.outcome.unwrap().act_as, ActAs::Agent);
    question.job = job_of("group/agents");
    let explanation = question.explain(&file);
    assert!(matches!(explanation.rules[2].verdict, Verdict::Decides));
    let Verdict::Hidden { by } = &explanation.rules[3].verdict else {
        panic!("hidden by the grant to the agent's own project");
    };
    assert_eq!(by.covers, Covers::Own);
}

#[test]
fn a_filter_of_the_rule_that_decides_keeps_the_job_out() {
    let file = file(ALL);
    let explanation = question(job()).explain(&file);
    assert_eq!(verdicts(&explanation)[0], "decides");
    assert_eq!(reason(&explanation), "no_environment");
    let mut job = job();
    job.environment = environment("staging");
    assert_eq!(
        reason(&question(job).explain(&file)),
        "environment_mismatch"
    );
    let explanation = question(job_of("elsewhere/app")).explain(&file);
    assert_eq!(reason(&explanation), "no_grant");
}

#[test]
fn without_a_licence_for_its_mode_an_entry_is_not_there() {
    let file = file(ALL);
    let mut question = question(job());
    question.licence = Licence::Free;
    let explanation = question.explain(&file);
    assert_eq!(
        verdicts(&explanation)[..5],
        ["dropped", "elsewhere", "elsewhere", "hidden", "decides"]
    );
    assert_eq!(explanation.outcome.unwrap().act_as, ActAs::Agent);
}

#[test]
fn as_whom_is_what_the_relay_makes_of_gitlabs_list() {
    let act_as = |access_as: &str| {
        let text = format!("ci_access: {{groups: [{{id: group, access_as: {access_as}}}]}}");
        let file = file(&text);
        let outcome = question(job()).explain(&file).outcome;
        outcome
            .map(|admitted| admitted.act_as)
            .map_err(|why| why.to_string())
    };
    let robot = Impersonation::new("robot".into(), None, vec!["a".into()], vec![]).unwrap();
    assert_eq!(
        act_as("{impersonate: {username: robot, groups: [a]}}"),
        Ok(ActAs::Impersonate(robot))
    );
    assert_eq!(act_as("{agent: {}}"), Ok(ActAs::Agent));
    let told = act_as("{ci_user: {}}").unwrap_err();
    assert!(told.contains("`ci_user` is not switched on"), "{told}");
}
