//! `adit agent`, set up by flags and variables.

use std::process::Output;

use crate::ours::{Ours, RELAY};
use crate::process::adit;

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
