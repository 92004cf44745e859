//! A config file that changes under a process, and SIGHUP.

use std::fs;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::ChildStderr;
use tokio::time::timeout;

use crate::ours::{Ours, RELAY};
use crate::process::{SOON, address_in, adit, line, signal, stderr};

const DEBUG: &str = "log: { filter: 'info,adit_relay=debug' }\n";

/// The lines up to the first that holds `wanted`, that one included.
async fn lines_to(diary: &mut Lines<BufReader<ChildStderr>>, wanted: &str) -> String {
    let mut read = String::new();
    let reading = async {
        while !read.contains(wanted) {
            let line = diary.next_line().await.unwrap();
            read.push_str(&line.unwrap_or_else(|| panic!("it ended without {wanted}")));
            read.push('\n');
        }
    };
    timeout(SOON, reading)
        .await
        .unwrap_or_else(|_| panic!("no line with {wanted}"));
    read
}

/// Somebody without a token, whom a relay tells of at level `debug` only.
async fn stranger(address: &str) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let asked = "GET /elsewhere HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    socket.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn relay_takes_its_file_anew_at_sighup_and_goes_on_if_it_is_wrong() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, RELAY).unwrap();
    let mut relay = adit(&["relay", "--config", config.to_str().unwrap()])
        .spawn()
        .unwrap();
    let mut diary = stderr(&mut relay);
    let up = line(&mut diary, "relay is up").await;
    let address = address_in(&up).to_owned();

    stranger(&address).await;
    fs::write(&config, format!("{RELAY}{DEBUG}")).unwrap();
    signal(&relay, "HUP").await;
    let said = lines_to(&mut diary, "configuration replaced").await;
    assert!(!said.contains("unknown_path"), "{said}");
    stranger(&address).await;
    line(&mut diary, "unknown_path").await;

    fs::write(&config, format!("{RELAY}shards: 0\n")).unwrap();
    signal(&relay, "HUP").await;
    let refused = line(&mut diary, "configuration not replaced").await;
    assert!(refused.contains("shards: "), "{refused}");
    fs::write(&config, format!("{RELAY}log: {{ filter: loud }}\n")).unwrap();
    signal(&relay, "HUP").await;
    let refused = line(&mut diary, "configuration not replaced").await;
    assert!(refused.contains("`loud` is no level"), "{refused}");
    stranger(&address).await;
    line(&mut diary, "unknown_path").await;

    fs::write(&config, RELAY).unwrap();
    signal(&relay, "HUP").await;
    line(&mut diary, "configuration replaced").await;
    stranger(&address).await;
    signal(&relay, "TERM").await;
    let said = lines_to(&mut diary, "stopped").await;
    assert!(!said.contains("unknown_path"), "{said}");
    let ended = timeout(SOON, relay.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn flag_of_the_log_comes_before_the_file() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, format!("{RELAY}{DEBUG}")).unwrap();
    let path = config.to_str().unwrap();
    let mut relay = adit(&["relay", "--config", path, "--log", "info"])
        .spawn()
        .unwrap();
    let mut diary = stderr(&mut relay);
    let said = lines_to(&mut diary, "relay is up").await;
    assert!(
        said.contains("log.filter of the config file is not used"),
        "{said}"
    );
    let up = said.lines().last().unwrap();
    stranger(address_in(up)).await;
    signal(&relay, "TERM").await;
    let said = lines_to(&mut diary, "stopped").await;
    assert!(!said.contains("unknown_path"), "{said}");
    timeout(SOON, relay.wait()).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn agent_takes_its_file_anew_beneath_its_flags() {
    let ours = Ours::start(RELAY).await;
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("agent.yaml");
    // What the flags say does not count here.
    let elsewhere = "relay: { url: 'https://elsewhere.invalid' }\n";
    fs::write(&config, elsewhere).unwrap();
    let mut agent = ours.agent(&format!("http://{}", ours.address));
    let mut agent = agent.arg("--config").arg(&config).spawn().unwrap();
    let mut diary = stderr(&mut agent);
    line(&mut diary, "tunnel is up").await;

    fs::write(&config, "ceiling: { users: ['gitlab:*:x'] }\n").unwrap();
    signal(&agent, "HUP").await;
    let refused = line(&mut diary, "configuration not replaced").await;
    assert!(refused.contains("ceiling.users[0]"), "{refused}");
    fs::write(
        &config,
        "ceiling: { users: ['gitlab:*'] }\nlimits: { max_streams: 7 }\n",
    )
    .unwrap();
    signal(&agent, "HUP").await;
    let said = lines_to(&mut diary, "configuration replaced").await;
    assert!(said.contains("keys=\"limits.max_streams\""), "{said}");
    signal(&agent, "TERM").await;
    let ended = timeout(SOON, agent.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn log_of_an_agent_is_what_its_file_says_now() {
    let mut ours = Ours::start(RELAY).await;
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("agent.yaml");
    fs::write(&config, "log: { filter: warn }\n").unwrap();
    let mut agent = ours.agent(&format!("http://{}", ours.address));
    let mut agent = agent.arg("--config").arg(&config).spawn().unwrap();
    let mut diary = stderr(&mut agent);
    ours.until_tunnel().await;

    fs::write(&config, "log: { filter: info }\n").unwrap();
    signal(&agent, "HUP").await;
    let said = lines_to(&mut diary, "configuration replaced").await;
    for quiet in ["agent started", "tunnel is up"] {
        assert!(!said.contains(quiet), "{said}");
    }
    signal(&agent, "TERM").await;
    line(&mut diary, "agent stopped").await;
    let ended = timeout(SOON, agent.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}
