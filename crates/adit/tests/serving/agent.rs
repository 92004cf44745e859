//! `adit agent`, set up by flags and variables.

use std::fs;
use std::process::Output;

use tempfile::TempDir;
use tokio::time::timeout;

use crate::ours::{Ours, RELAY};
use crate::process::{SOON, adit, line, stderr};

#[tokio::test]
async fn agent_without_a_relay_or_token_ends_with_64() {
    let Output { status, stderr, .. } = adit(&["agent"]).output().await.unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(64), "{stderr}");
    assert!(
        stderr.contains("relay.url: ") && stderr.contains("ADIT_AGENT_TOKEN"),
        "{stderr}"
    );
}

#[tokio::test]
async fn agent_reaches_a_relay_by_flags_and_variables_alone() {
    let mut ours = Ours::start(RELAY).await;
    let agent = ours.agent(&format!("http://{}", ours.address)).spawn();
    ours.tunnel_of(agent.unwrap()).await;
}

#[tokio::test]
async fn agent_that_would_lend_a_kubeconfigs_rights_says_so() {
    let ours = Ours::start(RELAY).await;
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("agent.yaml");
    for (text, lends) in [("{}", true), ("ceiling: { agent: false }", false)] {
        fs::write(&config, text).unwrap();
        let mut agent = ours.agent(&format!("http://{}", ours.address));
        let mut agent = agent.arg("--config").arg(&config).spawn().unwrap();
        let mut diary = stderr(&mut agent);
        let mut said = false;
        loop {
            let told = line(&mut diary, "").await;
            said |= told.contains("WARN") && told.contains("ceiling: { agent: false }");
            if told.contains("agent started") {
                break;
            }
        }
        assert_eq!(said, lends, "{text}");
    }
}

#[tokio::test]
async fn what_keeps_an_agent_from_starting_is_told_with_its_key() {
    let ours = Ours::start(RELAY).await;
    for (flag, value, code, words) in [
        (
            "--admin",
            &*ours.address,
            69,
            ["admin.address", &*ours.address, "do: something else"],
        ),
        (
            "--ca",
            "/nowhere/ca.pem",
            64,
            ["relay.ca_file", "/nowhere/ca.pem", "do: name a PEM"],
        ),
        (
            "--kubeconfig",
            "/nowhere/k",
            64,
            ["/nowhere/k", "kubernetes.kubeconfig", "--context"],
        ),
    ] {
        let mut agent = adit(&["agent", flag, value]);
        if flag != "--kubeconfig" {
            agent.arg("--kubeconfig").arg(ours.kubeconfig());
        }
        agent.env("ADIT_RELAY_URL", "https://relay.invalid");
        let ended = agent.env("ADIT_AGENT_TOKEN", &ours.token).output();
        let Output { status, stderr, .. } = timeout(SOON, ended).await.expect("it ends").unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word}: {stderr}");
        }
    }
}
