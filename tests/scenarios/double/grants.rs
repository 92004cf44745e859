//! The table of grants, asked of `allowed_agents` with each job's own token.

use adit_tests::{
    gitlab,
    gitlab::{matrix, matrix::grant_cases},
    scenario,
};
use serde_json::Value;

use super::allowed_agents;

#[test]
fn every_case_of_the_table_is_answered_as_gitlab_answers_it() {
    scenario(async {
        let cases = grant_cases();
        assert!(cases.len() >= 60, "{} cases", cases.len());
        let mut wrong = Vec::new();
        for case in cases {
            let gitlab = gitlab().start().await;
            let token = {
                let mut world = gitlab.world();
                let job = case.arrange(&mut world);
                world.job_of(job).token().to_owned()
            };
            let answer = allowed_agents(&gitlab, &token).await;
            assert_eq!(answer.status, 200, "{}: {}", case.name, answer.text());
            let found: Vec<_> = listed(&gitlab, &answer.json());
            if found != case.expected() {
                wrong.push(format!("{}: {found:?}", case.name));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn names_of_cases_differ() {
    let mut names: Vec<_> = grant_cases().iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn five_hundred_entries_count_and_no_more() {
    scenario(async {
        for (list, last) in [("projects", "top/app"), ("groups", "top")] {
            for (before, expected) in [(499, 1), (500, 0)] {
                let gitlab = gitlab().start().await;
                let token = {
                    let mut world = gitlab.world();
                    matrix::arrange(&mut world);
                    let agent = world.agent("top/config", "main");
                    let configuration = matrix::crowded(list, before, last);
                    world.configure(agent, &configuration).unwrap();
                    world.job("top/app").by("dev1").run_for_token()
                };
                let answer = allowed_agents(&gitlab, &token).await;
                let found = listed(&gitlab, &answer.json());
                assert_eq!(found.len(), expected, "{before} {list} before it");
            }
        }
    });
}

#[test]
fn a_new_configuration_takes_all_of_the_old_away() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let (agent, token) = {
            let mut world = gitlab.world();
            matrix::arrange(&mut world);
            let agent = world.agent("top/config", "main");
            let yaml = "ci_access: { projects: [{ id: top/app }], groups: [{ id: top }] }";
            world.configure_yaml(agent, yaml).unwrap();
            let job = world.job("top/app").run();
            (agent, world.job_of(job).token().to_owned())
        };
        let count = async || {
            let answer = allowed_agents(&gitlab, &token).await;
            listed(&gitlab, &answer.json()).len()
        };
        assert_eq!(count().await, 1);
        gitlab.world().configure_yaml(agent, "{}").unwrap();
        assert_eq!(count().await, 0);
    });
}

#[test]
fn gitlab_fails_over_a_pattern_that_is_no_regular_expression() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let token = {
            let mut world = gitlab.world();
            matrix::arrange(&mut world);
            let agent = world.agent("top/config", "main");
            let yaml = "ci_access: { projects: [{ id: top/app, environments: ['re(view/*'] }] }";
            world.configure_yaml(agent, yaml).unwrap();
            world.job("top/app").environment("review/a").run_for_token()
        };
        let answer = allowed_agents(&gitlab, &token).await;
        assert_eq!(answer.status, 500);
    });
}

/// Names of agents and their entries.
fn listed(gitlab: &adit_tests::GitLab, answer: &Value) -> Vec<(String, Value)> {
    let world = gitlab.world();
    answer["allowed_agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| {
            let id = agent["id"].as_u64().unwrap();
            (
                world.agent_of(id).name.clone(),
                agent["configuration"].clone(),
            )
        })
        .collect()
}
