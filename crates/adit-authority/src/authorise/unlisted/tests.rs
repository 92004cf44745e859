use adit_identity::{Environment, Tier};

use super::*;
use crate::{agent_file::Findings, examples::job};

const AGENT: AgentId = AgentId(41);

/// Why a job of `group/sub/app` on `main` is kept out of `group/agents:prod`, with an environment that has this slug, if any.
fn why(ci_access: &str, slug: Option<&str>) -> NotAllowed {
    let text = format!("ci_access: {ci_access}");
    let file = AgentFile::read(&text, &mut Findings::default()).unwrap();
    let home = Home {
        project: Some("group/agents".parse().unwrap()),
        ..Home::default()
    };
    let mut job = job();
    // What GitLab says of a job.
    (job.project.path, job.git_ref) = (None, None);
    job.environment =
        slug.map(|slug| Environment::with_slug(&slug.parse().unwrap(), Tier::Production));
    let place = JobPlace {
        project: "group/sub/app".parse().unwrap(),
        git_ref: "main".into(),
    };
    why_unlisted(AGENT, "group/agents:prod", (&home, &file), (&job, &place))
}

#[test]
fn filter_of_the_entry_that_decides_is_the_cause() {
    let both = "{projects: [{id: group/sub/app, environments: [prod], protected_branches_only: true}], groups: [{id: group}]}";
    let protected = "{groups: [{id: group, protected_branches_only: true}]}";
    let review = "{groups: [{id: group, environments: ['review/*']}]}";
    let either =
        "{groups: [{id: group, environments: ['review/*'], protected_branches_only: true}]}";
    let cases = [
        (both, None, "no_environment"),
        (both, Some("staging"), "environment_mismatch"),
        (both, Some("prod"), "ref_not_protected"),
        (protected, None, "ref_not_protected"),
        (protected, Some("prod"), "ref_not_protected"),
        (review, Some("prod"), "environment_mismatch"),
        // Its name is not known, and it can be nothing else.
        (review, Some("review-a-1q251u"), "environment_mismatch"),
        (either, Some("review-a-1q251u"), "environment_or_ref"),
        (either, Some("prod"), "environment_mismatch"),
    ];
    for (ci_access, slug, expected) in cases {
        let why = why(ci_access, slug);
        assert_eq!(why.reason(), expected, "{slug:?} in {ci_access}");
    }
}

#[test]
fn entry_that_lets_the_job_in_is_not_in_force() {
    let told = why("{groups: [{id: group}]}", None);
    assert_eq!(told.reason(), "not_in_force");
    assert!(!told.to_string().contains("Premium"), "{told}");
    let told = why("{groups: [{id: group, access_as: {ci_job: {}}}]}", None);
    assert_eq!(told.reason(), "not_in_force");
    let text = told.to_string();
    assert!(text.contains("`access_as: ci_job` takes Premium"), "{text}");
}

#[test]
fn entries_of_others_are_not_told_of() {
    let others =
        "{projects: [{id: group/other, environments: [secret]}], groups: [{id: elsewhere}]}";
    let told = why(others, None);
    assert_eq!(told.reason(), "no_grant");
    let nobodys = Unlisted {
        agent: AGENT,
        project: Some("group/sub/app".parse().unwrap()),
    };
    assert_eq!(told.to_string(), nobodys.to_string());
}
