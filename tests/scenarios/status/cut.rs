//! An operator cuts a stream or a tunnel: whom it was for sees it end, the audit log says who ended it, and nobody else can do it.

use adit_tests::{
    AuditLog, TestRelay, World, agent, body,
    caller::{breaks_off, get},
    kube, relay, scenario, within, world,
};
use http::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{PODS, TOKEN, WRONG_TOKEN, asked_for, demanding_token, until};
use crate::{
    streams::until_still,
    upgrades::{SPDY, WEBSOCKET},
};

const CUT_STREAMS: &str = "adit_relay_exchanges_cut_total{reason=\"operator\"}";

/// POSTs to cut it, with these headers beside the usual ones.
async fn post(relay: &TestRelay, path: &str, headers: &str) -> (u16, String) {
    let headers = format!("Host: localhost\r\nContent-Length: 0\r\n{headers}");
    asked_for(relay, &format!("POST {path}"), &headers).await
}

fn confirm(id: &str) -> String {
    format!("Adit-Confirm: {id}\r\n")
}

fn of_stream(id: &str) -> String {
    format!("/status/streams/{id}/cut")
}

pub(crate) async fn cut_stream(relay: &TestRelay, id: &str) -> u16 {
    post(relay, &of_stream(id), &confirm(id)).await.0
}

/// The id of the one stream that runs, once it does.
pub(crate) async fn only_stream(relay: &TestRelay) -> String {
    let shown = until(relay, |report| report.streams.count == 1).await;
    shown.streams.shown[0].request_id.clone()
}

async fn tunnel(relay: &TestRelay) -> String {
    let is_there = |report: &super::Report| !report.agents.shown[0].replicas.is_empty();
    let shown = until(relay, is_there).await;
    shown.agents.shown[0].replicas[0].tunnel.clone()
}

/// Waits for so many records, the first end among which says that an operator cut it.
async fn cut_in(log: &AuditLog, count: usize) -> Vec<Value> {
    let records = log.until(count).await;
    let end = at(&records, |record| record["event"] == "end");
    assert_eq!(records[end]["ended"], "cut_by_operator");
    records
}

fn at(records: &[Value], is_it: impl Fn(&Value) -> bool) -> usize {
    let found = records.iter().position(is_it);
    found.unwrap_or_else(|| panic!("it is not in {records:#?}"))
}

#[test]
fn watch_that_an_operator_cuts_breaks_off_and_the_log_says_who_did_it() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), log.of(relay())).await;
        let http2 = world.job.http2().await;
        let watched = get(&format!("{PODS}?watch=1"));
        let watch = http2.send(watched).await.unwrap();
        let id = only_stream(&world.relay).await;

        assert_eq!(cut_stream(&world.relay, &id).await, 200);
        breaks_off(watch).await;
        world.kube.until_open(0).await;
        until(&world.relay, |report| report.streams.count == 0).await;
        assert_eq!(world.relay.metrics().await.value(CUT_STREAMS), 1.0);
        // The connection and the tunnel go on.
        http2.get("/version").await.echo();

        let records = cut_in(&log, 4).await;
        let cut = at(&records, |record| record["event"] == "cut");
        let end = at(&records, |record| record["event"] == "end");
        assert!(cut < end, "{records:#?}");
        assert_eq!(records[cut]["request_id"], id.as_str());
        assert_eq!(records[end]["request_id"], id.as_str());
        assert_eq!(
            (
                &records[cut]["by"],
                &records[cut]["proof"],
                &records[cut]["result"]
            ),
            (&json!("operator"), &json!("loopback"), &json!("cut"))
        );
        assert_eq!(records[cut]["agent"]["id"], 1);
        let client = records[cut]["client"].as_str().unwrap();
        assert!(client.starts_with("127.0.0.1:"), "{client}");
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn log_that_nobody_reads_is_cut_too() {
    scenario(async {
        let log = AuditLog::default();
        let path = format!("{PODS}/web/log");
        let endless = |_| async { Response::new(body::pattern(50_000_000)) };
        let world = World::of(kube().answer(&path, endless), log.of(relay())).await;
        let mut raw = world.job.raw().await;
        let asked = world.job.head(&format!("GET {path}?follow=true"), "");
        raw.write(asked).await.unwrap();
        let id = only_stream(&world.relay).await;
        until_still(&world.relay, "answer").await;
        assert_eq!(cut_stream(&world.relay, &id).await, 200);
        cut_in(&log, 3).await;
        let (read, _) = within("the connection's end", raw.rest()).await;
        assert!(read.len() < 50_000_000);
        world.stop().await;
    });
}

#[test]
fn upgraded_connections_are_cut() {
    scenario(async {
        for fields in [SPDY, WEBSOCKET] {
            let log = AuditLog::default();
            let world = World::of(kube(), log.of(relay())).await;
            let asked = format!("POST {PODS}/web/exec/upgrade");
            let mut exec = world.job.raw_asking(&asked, fields).await;
            within("101", exec.head()).await.unwrap();
            exec.write("hello").await.unwrap();
            within("it back", exec.exactly(5)).await.unwrap();
            let id = only_stream(&world.relay).await;

            assert_eq!(cut_stream(&world.relay, &id).await, 200);
            within("its end", exec.rest()).await.1.unwrap_err();
            cut_in(&log, 3).await;
            assert_eq!(world.relay.metrics().await.value(CUT_STREAMS), 1.0);
            // It was nothing that the API server did.
            let left = "adit_agent_failures_total{kind=\"left\"}";
            world.agent.until_metric(left, |left| left == 1.0).await;
            world.stop().await;
        }
    });
}

#[test]
fn tunnel_that_an_operator_cuts_ends_what_runs_on_it_and_its_agent_comes_again() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), log.of(relay())).await;
        let http2 = world.job.http2().await;
        let watched = get(&format!("{PODS}?watch=1"));
        let watch = http2.send(watched).await.unwrap();
        let id = tunnel(&world.relay).await;
        let (waiting, ()) = tokio::join!(http2.get("/never"), async {
            until(&world.relay, |report| report.requests == 2).await;
            let path = format!("/status/tunnels/{id}/cut");
            assert_eq!(post(&world.relay, &path, &confirm(&id)).await.0, 200);
        });

        let refused = waiting.refused();
        assert_eq!(
            (refused.status, refused.reason.as_str()),
            (502, "cut_by_operator")
        );
        breaks_off(watch).await;
        let ends = "tunnel_ends_total{cause=\"cut_by_operator\"}";
        let is_one = |ends| ends == 1.0;
        let (relays, agents) = (format!("adit_relay_{ends}"), format!("adit_agent_{ends}"));
        world.relay.until_metric(&relays, is_one).await;
        world.agent.until_metric(&agents, is_one).await;
        assert_ne!(tunnel(&world.relay).await, id);
        http2.get("/version").await.echo();

        let records = cut_in(&log, 5).await;
        let cut = at(&records, |record| record["event"] == "cut");
        assert_eq!(
            (&records[cut]["tunnel"], &records[cut]["result"]),
            (&json!(id), &json!("cut"))
        );
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn request_that_only_reads_goes_to_another_replica_when_its_tunnel_is_cut() {
    scenario(async {
        let world = world().await;
        let first = tunnel(&world.relay).await;
        let http2 = world.job.http2().await;
        let (answer, second) = tokio::join!(http2.get("/wait"), async {
            world.kube.until_open(1).await;
            let second = agent("prod")
                .to(&world.relay)
                .serving(&world.kube)
                .start()
                .await;
            until(&world.relay, |report| {
                report.agents.shown[0].replicas.len() == 2
            })
            .await;
            let before = world.kube.request_count();
            let path = format!("/status/tunnels/{first}/cut");
            assert_eq!(post(&world.relay, &path, &confirm(&first)).await.0, 200);
            let comes_again = || world.kube.request_count() > before;
            adit_tests::until("it comes again", comes_again).await;
            world.kube.release();
            second
        });
        assert_eq!(answer.status, 200);
        drop(http2);
        second.stop().await;
        world.stop().await;
    });
}

#[test]
fn what_is_not_there_is_not_cut() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), log.of(relay())).await;
        for these in ["streams", "tunnels"] {
            for id in ["5b0c9e7d21f4a386", "%22%0a%1b"] {
                let path = format!("/status/{these}/{id}/cut");
                let said = id.replace("%22%0a%1b", "\"");
                let (status, answer) = post(&world.relay, &path, &confirm(&said)).await;
                // Of a name with a line break no header can be made.
                let expected = if id == said { 404 } else { 400 };
                assert_eq!(status, expected, "{answer}");
            }
        }
        let records = log.until(4).await;
        let results: Vec<_> = records.iter().map(|record| &record["result"]).collect();
        assert_eq!(results, ["unknown", "refused", "unknown", "refused"]);
        assert_eq!(records[1]["request_id"], "\"\n\u{1b}");
        world.stop().await;
    });
}

#[test]
fn nothing_is_cut_for_who_is_not_let_in_or_does_not_mean_it() {
    scenario(async {
        let log = AuditLog::default();
        let (relay, _folder) = demanding_token(log.of(relay()));
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        let watched = get(&format!("{PODS}?watch=1"));
        let mut watch = http2.send(watched).await.unwrap();
        let host = "Host: localhost\r\n";
        let (_, shown) = asked_for(&world.relay, "GET /status", &format!("{host}{TOKEN}")).await;
        let (_, id) = shown.split_once("\"request_id\":\"").unwrap();
        let (id, _) = id.split_once('"').unwrap();
        let confirm = confirm(id);
        let cases = [
            (confirm.clone(), 401, "token"),
            (format!("{WRONG_TOKEN}{confirm}"), 401, "token"),
            (TOKEN.to_owned(), 400, "unconfirmed"),
            (format!("{TOKEN}Adit-Confirm: yes\r\n"), 400, "unconfirmed"),
            (
                format!("{TOKEN}{confirm}Origin: http://evil.example\r\n"),
                403,
                "cross_site",
            ),
            (
                format!("{TOKEN}{confirm}Sec-Fetch-Site: cross-site\r\n"),
                403,
                "cross_site",
            ),
        ];
        let path = of_stream(id);
        for (headers, status, _) in &cases {
            let refused = post(&world.relay, &path, headers).await;
            assert_eq!(refused.0, *status, "{headers}: {}", refused.1);
            // What is missing is named.
            if *status == 400 {
                assert!(refused.1.contains("`Adit-Confirm: <id>`"), "{}", refused.1);
            }
        }
        // What a link does.
        let headers = format!("{host}{TOKEN}{confirm}");
        let link = asked_for(&world.relay, &format!("GET {path}"), &headers).await;
        assert_eq!(link.0, 200);
        assert!(link.1.contains("Cut this stream?"), "{}", link.1);
        // What a script of another origin asks first.
        let headers =
            format!("{host}Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n");
        let preflight = asked_for(&world.relay, &format!("OPTIONS {path}"), &headers).await;
        assert!(
            !preflight.1.to_lowercase().contains("access-control-allow"),
            "{}",
            preflight.1
        );

        world.kube.event("goes on");
        let event = within("an event", watch.body_mut().frame()).await;
        event.unwrap().unwrap();
        let records = log.until(1 + cases.len()).await;
        let refused: Vec<_> = records
            .iter()
            .filter(|record| record["event"] == "cut")
            .map(|record| (&record["result"], &record["refusal"]))
            .collect();
        let expected = cases
            .each_ref()
            .map(|(.., why)| (json!("refused"), json!(why)));
        assert_eq!(
            refused,
            expected.each_ref().map(|(result, why)| (result, why))
        );
        assert!(!log.text().contains("0123456789abcde"));

        let meant = format!("{TOKEN}{confirm}");
        assert_eq!(post(&world.relay, &path, &meant).await.0, 200);
        breaks_off(watch).await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn what_is_wrong_with_a_cut_is_told_to_operators_alone_and_recorded() {
    scenario(async {
        let log = AuditLog::default();
        let (relay, _folder) = demanding_token(log.of(relay()));
        let relay = relay.start().await;
        let long = "x".repeat(2000);
        let host = "Host: localhost\r\n";
        let sized = format!("{host}Content-Length: {}\r\n", long.len());
        let post_long = async |headers: &str| {
            let what = format!("POST {}", of_stream("5b0c9e7d21f4a386"));
            super::asked_with(&relay, &what, &format!("{sized}{headers}"), &long).await
        };
        let unread = of_stream("%ff");
        // Strangers hear that they are.
        assert_eq!(post_long("").await.0, 401);
        assert_eq!(post(&relay, &unread, "").await.0, 401);
        let (status, told) = post_long(TOKEN).await;
        assert_eq!(status, 413);
        assert!(
            told.contains("none of more than 1024 bytes is taken"),
            "{told}"
        );
        let (status, told) = post(&relay, &unread, TOKEN).await;
        assert_eq!(status, 400);
        assert!(told.contains("`Adit-Confirm: <id>`"), "{told}");
        let meant = format!("{TOKEN}{}", confirm("%ff"));
        assert_eq!(post(&relay, &unread, &meant).await.0, 404);
        let records = log.until(5).await;
        let told: Vec<_> = records
            .iter()
            .map(|record| {
                let text = |name: &str| record[name].as_str().unwrap_or_default();
                (
                    text("request_id"),
                    text("result"),
                    text("refusal"),
                    text("by"),
                )
            })
            .collect();
        let expected = [
            ("5b0c9e7d21f4a386", "refused", "token", ""),
            ("%ff", "refused", "token", ""),
            ("5b0c9e7d21f4a386", "refused", "body", "operator"),
            ("%ff", "refused", "unconfirmed", "operator"),
            ("%ff", "unknown", "", "operator"),
        ];
        assert_eq!(told, expected, "{records:#?}");
        relay.stop().await;
    });
}

#[test]
fn who_asks_for_what_is_not_there_is_told_what_is() {
    scenario(async {
        let relay = relay().start().await;
        let host = "Host: localhost\r\n";
        for path in ["/stauts", "/status/", "/status/stream/x/cut"] {
            let (status, told) = asked_for(&relay, &format!("GET {path}"), host).await;
            assert_eq!(status, 404, "{told}");
            for there in ["/readyz", "/status (", "/status/streams/<request id>/cut"] {
                assert!(told.contains(there), "{path}: {told}");
            }
        }
        for (what, allowed, words) in [
            ("PUT /status", "allow: GET,HEAD\r\n", "by GET"),
            ("POST /", "allow: GET,HEAD\r\n", "by GET"),
            ("POST /metrics", "allow: GET,HEAD\r\n", "by GET"),
            (
                "DELETE /status/tunnels/x/cut",
                "allow: GET,HEAD,POST\r\n",
                "POST cuts",
            ),
        ] {
            let (status, told) = asked_for(&relay, what, host).await;
            assert_eq!(status, 405, "{told}");
            assert!(
                told.contains(allowed) && told.contains(words),
                "{what}: {told}"
            );
        }
        relay.stop().await;
    });
}
