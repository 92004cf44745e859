//! `adit doctor` in front of the real API server: the upgrade that it tries is one there, and what it asks about an agent's rights
//! is what counts there.

use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    harness::{Needs, trials},
    job::Call,
    rights::Thief,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::ControlPlane;
        job_is_well_up_to_the_api_server,
        rights_of_an_agent_are_told_as_they_are,
    ]
}

fn job_is_well_up_to_the_api_server(world: &World) {
    let job = world.any_job();
    let mut doctor = Command::new(&world.adit);
    doctor
        .env_clear()
        .env("KUBECONFIG", job.kubeconfig())
        .args(["doctor", "--json", "job", "--idle", "100ms"]);
    let ended = Call::new(doctor, "").run();
    assert_eq!(ended.code, Some(0), "{ended}");
    let told: Value = serde_json::from_slice(&ended.stdout).unwrap();
    for finding in told["findings"].as_array().unwrap() {
        assert_eq!(finding["outcome"], "ok", "{ended}");
    }
    assert!(what(&told, "identity").contains(&job.user()), "{ended}");
    assert!(!told.to_string().contains(&job.token));
}

fn rights_of_an_agent_are_told_as_they_are(world: &World) {
    let in_namespace = Thief::new(world, |namespace| format!("--namespace {namespace}"));
    let (namespace, owner) = (&in_namespace.name, in_namespace.owner());
    in_namespace.until_allowed(&format!("{owner} get secrets --namespace {namespace}"));
    let told = of_agent(world, &in_namespace, &["--namespace", namespace]);
    assert_eq!(outcome(&told, "impersonation"), "ok", "{told}");
    assert_eq!(outcome(&told, "namespaces"), "ok", "{told}");
    let told = of_agent(world, &in_namespace, &["--namespace", "default"]);
    assert_eq!(outcome(&told, "namespaces"), "failed", "{told}");
    let told = of_agent(world, &in_namespace, &[]);
    assert_eq!(outcome(&told, "namespaces"), "not_run", "{told}");

    let listed = Thief::new(world, |namespace| {
        format!("--namespace {namespace} --user deployer --group {namespace}")
    });
    let told = of_agent(world, &listed, &[]);
    assert_eq!(outcome(&told, "impersonation"), "failed", "{told}");
    let missing = what(&told, "impersonation");
    assert!(
        missing.contains("impersonate:user-info users gitlab:ci_job:9001"),
        "{told}"
    );

    let plain = Thief::new(world, |_| {
        "--kubernetes 1.35 --group gitlab:ci_job".to_owned()
    });
    plain.until_allowed("--as=somebody --as-group=gitlab:ci_job auth whoami");
    let told = of_agent(world, &plain, &[]);
    assert_eq!(outcome(&told, "impersonation"), "warning", "{told}");
}

/// Beside an agent whose relay is away: that is told, and not what this is about.
fn of_agent(world: &World, thief: &Thief<'_>, more: &[&str]) -> Value {
    let mut doctor = Command::new(&world.adit);
    doctor
        .env_clear()
        .env("ADIT_AGENT_TOKEN", "of-nobody")
        .args(["doctor", "--json", "agent", "--relay", "http://127.0.0.1:1"])
        .args(["--admin", "127.0.0.1:0"])
        .arg("--kubeconfig")
        .arg(&thief.kubeconfig)
        .args(more);
    let ended = Call::new(doctor, "").run();
    assert_eq!(ended.code, Some(11), "{ended}");
    serde_json::from_slice(&ended.stdout).unwrap()
}

fn finding<'a>(told: &'a Value, check: &str) -> &'a Value {
    let mut findings = told["findings"].as_array().unwrap().iter();
    findings.find(|finding| finding["check"] == check).unwrap()
}

fn outcome<'a>(told: &'a Value, check: &str) -> &'a str {
    finding(told, check)["outcome"].as_str().unwrap()
}

fn what<'a>(told: &'a Value, check: &str) -> &'a str {
    finding(told, check)["what"].as_str().unwrap()
}
