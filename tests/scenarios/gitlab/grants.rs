//! The table of grants, through the relay: who is on GitLab's list gets in, and nobody else. Stricter than GitLab's own agent server in
//! two points: `ci_user` is off, and an `access_as` that holds no mode at all is nobody's.

use adit_tests::{
    gitlab,
    gitlab::matrix::{self, GrantCase, grant_cases},
    relay, scenario,
};
use serde_json::Value;

/// In how many scenarios the table is gone through: a relay for each case takes its time.
const PARTS: usize = 4;

#[test]
fn first_part_of_the_table_is_decided_as_gitlab_decides_it() {
    part_is_decided_as_gitlab_decides_it(0);
}

#[test]
fn second_part_of_the_table_is_decided_as_gitlab_decides_it() {
    part_is_decided_as_gitlab_decides_it(1);
}

#[test]
fn third_part_of_the_table_is_decided_as_gitlab_decides_it() {
    part_is_decided_as_gitlab_decides_it(2);
}

#[test]
fn last_part_of_the_table_is_decided_as_gitlab_decides_it() {
    part_is_decided_as_gitlab_decides_it(PARTS - 1);
}

fn part_is_decided_as_gitlab_decides_it(part: usize) {
    scenario(async move {
        let mut wrong = Vec::new();
        for case in grant_cases().into_iter().skip(part).step_by(PARTS) {
            let (found, expected) = decide(&case).await;
            if found != expected {
                wrong.push(format!("{}: {found:?}, not {expected:?}", case.name));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// An agent's name, and the default namespace of the entry that lets the job in.
type Reachable = (String, Option<String>);

/// The agents that the job reaches through a relay that knows none of them by itself, and those that it should.
async fn decide(case: &GrantCase) -> (Vec<Reachable>, Vec<Reachable>) {
    let gitlab = gitlab().start().await;
    let (token, agents) = {
        let mut world = gitlab.world();
        let job = case.arrange(&mut world);
        let token = world.job_of(job).token().to_owned();
        (token, matrix::agents(&mut world))
    };
    let relay = relay()
        .asking(&gitlab, "")
        .without_agents()
        .with("route", "wait", "0s")
        .start()
        .await;
    let caller = relay.showing(&format!("Bearer {token}"));
    let list = caller.under("").get("/adit/v1/agents").await.json();
    let namespace = |id: u64| {
        let listed = list["agents"].as_array().unwrap();
        let entry = listed.iter().find(|entry| entry["id"] == id)?;
        Some(entry["default_namespace"].as_str().map(str::to_owned))
    };
    let mut found = Vec::new();
    for (name, id) in agents {
        // It is let in, and only then told that the agent is not there.
        let caller = relay.showing(&format!("Bearer ci:{id}:{token}"));
        match caller.get("/api").await.refused().reason.as_str() {
            "agent_never_connected" => found.push((name.to_owned(), namespace(id).unwrap())),
            "not_permitted" => assert_eq!(namespace(id), None, "{}", case.name),
            other => panic!("{}: {other}", case.name),
        }
    }
    relay.stop().await;
    let listed = case.expected().into_iter();
    let usable = listed.filter(|(_, entry)| is_usable(&entry["access_as"]));
    let mut expected: Vec<_> = usable.map(of_entry).collect();
    expected.sort();
    found.sort();
    (found, expected)
}

/// Whether it names one of the modes that are on, or leaves it to the default.
pub(super) fn is_usable(access_as: &Value) -> bool {
    let Some(modes) = access_as.as_object() else {
        return access_as.is_null();
    };
    let is_on = |mode: &String| ["agent", "impersonate", "ci_job"].contains(&mode.as_str());
    modes.len() == 1 && modes.keys().all(is_on)
}

fn of_entry((name, entry): (String, Value)) -> Reachable {
    let namespace = entry["default_namespace"].as_str();
    (name, namespace.map(str::to_owned))
}
