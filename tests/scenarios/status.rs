//! What an operator sees of a relay: who is connected, what runs, what was refused, what is wrong; and who is an operator.

use adit_relay::status::{Report, Stream};
use adit_tests::{
    RelayBuilder, TestRelay, World, agent, caller::get, kube, pass, relay, scenario, within, world,
};
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::upgrades::SPDY;

pub(crate) mod cut;
mod page;
mod private;
mod problems;

const PODS: &str = "/api/v1/namespaces/shop/pods";
/// What an operator shows to a relay of [`demanding_token`], and what is nearly it.
const TOKEN: &str = "Authorization: Bearer 0123456789abcdef\r\n";
const WRONG_TOKEN: &str = "Authorization: Bearer 0123456789abcdeF\r\n";

pub(crate) async fn report(relay: &TestRelay) -> Report {
    let (status, text) = relay.admin_get("/status").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Waits for a report that is so.
async fn until(relay: &TestRelay, is_so: impl Fn(&Report) -> bool) -> Report {
    within("such a status", async {
        loop {
            let report = report(relay).await;
            if is_so(&report) {
                return report;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
}

fn of_kind<'a>(report: &'a Report, kind: &str) -> &'a Stream {
    let mut streams = report.streams.shown.iter();
    let found = streams.find(|stream| stream.kind == kind);
    found.unwrap_or_else(|| panic!("{kind} is not in {report:#?}"))
}

/// Has a relay demand [`TOKEN`] of operators. It reads it in the folder.
fn demanding_token(relay: RelayBuilder) -> (RelayBuilder, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    (relay.with("admin", "token_file", file.display()), folder)
}

/// What `/status` answers to somebody who shows these headers.
async fn asked(relay: &TestRelay, headers: &str) -> (u16, String) {
    asked_for(relay, "GET /status", headers).await
}

/// What the admin port answers.
async fn asked_for(relay: &TestRelay, what: &str, headers: &str) -> (u16, String) {
    asked_with(relay, what, headers, "").await
}

/// What it answers to a body.
async fn asked_with(relay: &TestRelay, what: &str, headers: &str, body: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(relay.admin()).await.unwrap();
    let request = format!("{what} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n{body}");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
fn agents_and_what_runs_are_shown() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let watched = get(&format!("{PODS}?watch=1&continue=secret-in-a-query"));
        let mut watch = http2.send(watched).await.unwrap();
        let asked = format!("POST {PODS}/web/exec/upgrade?command=secret-command");
        let mut exec = world.job.raw_asking(&asked, SPDY).await;
        within("101", exec.head()).await.unwrap();
        exec.write("hello").await.unwrap();
        within("it back", exec.exactly(5)).await.unwrap();
        world.kube.event("something");
        let event = within("an event", watch.body_mut().frame()).await;
        event.unwrap().unwrap();
        // It is over, and was short.
        http2.get("/version").await.echo();

        let shown = until(&world.relay, |report| {
            report.streams.shown.iter().any(|stream| {
                stream.kind == "exec" && (stream.request_bytes, stream.answer_bytes) == (5, 5)
            })
        })
        .await;
        assert_eq!((shown.streams.count, shown.requests), (2, 2));
        let watch_shown = of_kind(&shown, "watch");
        assert_eq!(watch_shown.verb, "watch");
        assert_eq!(watch_shown.resource, "pods");
        assert_eq!(watch_shown.namespace, "shop");
        assert_eq!(watch_shown.answer_bytes, "something\n".len() as u64);
        assert_eq!((watch_shown.job, watch_shown.agent), (Some(9001), 1));
        assert_eq!(watch_shown.agent_name, "group/sub/app:prod");
        let exec_shown = of_kind(&shown, "exec");
        assert_eq!(exec_shown.resource, "pods/exec");
        assert_eq!(exec_shown.name, "web");

        let names: Vec<_> = shown.agents.shown.iter().map(|agent| agent.id).collect();
        assert_eq!((names, shown.agents.count), (vec![1, 2, 3], 3));
        let prod = &shown.agents.shown[0];
        assert_eq!(prod.name.as_deref(), Some("group/sub/app:prod"));
        let [replica] = &prod.replicas[..] else {
            panic!("{prod:?}");
        };
        assert_eq!((replica.streams, replica.draining), (2, false));
        assert!(!replica.version.is_empty() && !replica.tunnel.is_empty());
        let away = &shown.agents.shown[1];
        assert!(away.replicas.is_empty() && away.offline_since.is_none());

        drop((watch, exec, http2));
        until(&world.relay, |report| report.streams.count == 0).await;
        world.stop().await;
    });
}

#[test]
fn no_secret_is_shown() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let watched = get(&format!("{PODS}?watch=1&continue=secret-in-a-query"));
        let watch = http2.send(watched).await.unwrap();
        let (_, text) = world.relay.admin_get("/status").await;
        assert!(text.contains("\"watch\""), "{text}");
        for secret in ["secret-in-a-query", "eyJ", "canary", "Bearer"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        drop((watch, http2));
        world.stop().await;
    });
}

#[test]
fn agent_that_left_is_shown_as_offline_since_then() {
    scenario(async {
        let world = world().await;
        let staging = agent("staging")
            .to(&world.relay)
            .serving(&world.kube)
            .start()
            .await;
        let is_there = |report: &Report| !report.agents.shown[1].replicas.is_empty();
        until(&world.relay, is_there).await;
        staging.stop().await;
        let gone = until(&world.relay, |report| !is_there(report)).await;
        assert!(gone.agents.shown[1].offline_since.is_some());
        world.stop().await;
    });
}

#[test]
fn refusals_of_the_last_hour_are_shown_by_reason() {
    scenario(async {
        let world = world().await;
        for _ in 0..3 {
            let refused = world.job.anonymous().get("/api").await.refused();
            assert_eq!(refused.reason, "credential_missing");
        }
        let shown = report(&world.relay).await;
        let expected = [("credential_missing".to_owned(), 3)].into();
        assert_eq!(shown.refusals, expected);
        world.stop().await;
    });
}

#[test]
fn certificate_that_cannot_be_read_is_a_problem() {
    scenario(async {
        let world = world().await;
        assert_eq!(report(&world.relay).await.problems, []);
        world.relay.spoil_certificate();
        pass(std::time::Duration::from_secs(20)).await;
        let shown = until(&world.relay, |report| !report.problems.is_empty()).await;
        assert_eq!(shown.problems[0].about, "certificate");
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn token_that_is_configured_is_demanded() {
    scenario(async {
        let (relay, _folder) = demanding_token(relay());
        let world = World::of(kube(), relay).await;
        let host = "Host: localhost\r\n";
        let (status, answer) = asked(&world.relay, host).await;
        assert_eq!(status, 401);
        assert!(answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
        let shown = format!("{host}{TOKEN}");
        assert_eq!(asked(&world.relay, &shown).await.0, 200);
        let wrong = format!("{host}{WRONG_TOKEN}");
        assert_eq!(asked(&world.relay, &wrong).await.0, 401);
        // Probes and metrics go on without.
        assert_eq!(world.relay.admin_get("/readyz").await.0, 200);
        assert_eq!(world.relay.admin_get("/metrics").await.0, 200);
        world.stop().await;
    });
}

#[test]
fn beyond_loopback_nothing_is_shown_without_a_token() {
    scenario(async {
        let relay = relay().with("admin", "address", "0.0.0.0:0");
        let world = World::of(kube(), relay).await;
        let (status, answer) = asked(&world.relay, "Host: 127.0.0.1\r\n").await;
        assert_eq!(status, 403);
        assert!(answer.contains("admin.token_file"), "{answer}");
        assert_eq!(world.relay.admin_get("/readyz").await.0, 200);
        world.stop().await;
    });
}

#[test]
fn web_page_that_calls_loopback_by_its_own_name_sees_nothing() {
    scenario(async {
        let world = world().await;
        let (status, _) = asked(&world.relay, "Host: evil.example:8151\r\n").await;
        assert_eq!(status, 403);
        world.stop().await;
    });
}
