//! What lasts: a record at its beginning and one at its end, which says how it ended.

use adit_tests::{
    AuditLog, Caller, World, body,
    caller::{breaks_off, get, request},
    job, kube, relay, scenario, within,
};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{PODS, audited, only};
use crate::upgrades::SPDY;

#[test]
fn what_lasts_has_a_record_at_its_beginning_and_one_at_its_end() {
    scenario(async {
        let log = AuditLog::default();
        let world = audited(&log).await;
        let http2 = world.job.http2().await;
        let cases = [
            (format!("{PODS}?watch=1"), "watch"),
            (format!("{PODS}/web-0/log/watch?follow=true"), "log"),
        ];
        let mut count = 0;
        for (path, kind) in cases {
            let mut watch = http2.send(get(&path)).await.unwrap();
            let records = log.until(count + 1).await;
            let start = &records[count];
            assert_eq!(
                (&start["event"], &start["operation"]["kind"]),
                (&json!("start"), &json!(kind))
            );
            assert_eq!(
                (&start["status"], &start["ended"]),
                (&json!(200), &Value::Null)
            );
            world.kube.event("something");
            within("an event", watch.body_mut().frame())
                .await
                .unwrap()
                .unwrap();
            drop(watch);
            let records = log.until(count + 2).await;
            let end = &records[count + 1];
            assert_eq!(
                (&end["event"], &end["ended"]),
                (&json!("end"), &json!("cancelled"))
            );
            assert_eq!(end["answer_bytes"], "something\n".len());
            assert_eq!(end["request_id"], start["request_id"]);
            assert_eq!(end["operation"], start["operation"]);
            count += 2;
        }
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn a_watch_that_is_answered_with_a_failure_has_one_record() {
    scenario(async {
        let log = AuditLog::default();
        let forbidden = |_| async {
            let mut answer = Response::new(body::full("no"));
            *answer.status_mut() = StatusCode::FORBIDDEN;
            answer
        };
        let kube = kube().answer("/api/v1/secrets", forbidden);
        let world = World::of(kube, log.of(relay())).await;
        world.job.get("/api/v1/secrets?watch=1").await;
        world.stop().await;
        let records = log.records();
        assert_eq!(records.len(), 1);
        let record = only(&records, "request");
        assert_eq!(
            (&record["status"], &record["ended"]),
            (&json!(403), &json!("answered"))
        );
        assert_eq!(record["operation"]["verb"], "watch");
    });
}

/// Asks for an upgrade, has five bytes come back, and hangs up in order.
async fn exec(caller: &Caller, path: &str) {
    let mut connection = caller.raw().await;
    connection
        .write(caller.head(&format!("POST {path}"), SPDY))
        .await
        .unwrap();
    let head = within("101", connection.head()).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    connection.write("hello").await.unwrap();
    within("it back", connection.exactly(5)).await.unwrap();
    connection.shut().await.unwrap();
    let (rest, end) = within("its end", connection.rest()).await;
    assert_eq!((rest.as_slice(), end.is_ok()), (b"bye".as_slice(), true));
}

#[test]
fn upgraded_connections_are_counted_both_ways() {
    scenario(async {
        let log = AuditLog::default();
        let world = audited(&log).await;
        let cases = [
            ("exec", "exec"),
            ("attach", "exec"),
            ("portforward", "port_forward"),
            ("proxy", "short"),
        ];
        for (at, (subresource, kind)) in cases.into_iter().enumerate() {
            exec(
                &world.job,
                &format!("{PODS}/web-0/{subresource}/upgrade?command=canary"),
            )
            .await;
            let records = log.until(2 * (at + 1)).await;
            let (start, end) = (&records[2 * at], &records[2 * at + 1]);
            for (record, event) in [(start, "start"), (end, "end")] {
                assert_eq!(
                    (&record["event"], &record["status"]),
                    (&json!(event), &json!(101))
                );
                let operation = &record["operation"];
                assert_eq!(
                    (&operation["verb"], &operation["subresource"]),
                    (&json!("create"), &json!(subresource))
                );
                assert!(record["microseconds"]["api_server"].is_u64(), "{record}");
                assert_eq!(operation["kind"], kind);
                assert_eq!(
                    record["upgrade"],
                    json!({ "to": "SPDY/3.1", "protocol": "v4.channel.k8s.io" })
                );
            }
            assert_eq!(
                (&end["request_bytes"], &end["answer_bytes"]),
                (&json!(5), &json!(8))
            );
            assert_eq!(end["ended"], "answered");
        }
        world.stop().await;
        assert!(!log.text().contains("canary"));
    });
}

#[test]
fn record_says_how_an_exchange_ended() {
    scenario(async {
        let log = AuditLog::default();
        let mut world = audited(&log).await;
        let http2 = world.job.http2().await;
        let mut count = 0;
        let mut next = async |what: &str| {
            count += 1;
            let records = log.until(count).await;
            assert_eq!(records[count - 1]["event"], "request", "{what}");
            (
                records[count - 1]["ended"].clone(),
                records[count - 1]["status"].clone(),
                records[count - 1]["hop"].clone(),
            )
        };
        // The caller leaves, before and after the answer began.
        let left = tokio::time::timeout(
            std::time::Duration::from_millis(50),
            http2.send(get("/never")),
        );
        left.await.map(drop).unwrap_err();
        assert_eq!(
            next("before").await,
            (json!("cancelled"), Value::Null, Value::Null)
        );
        drop(http2.send(get("/silent")).await.unwrap());
        assert_eq!(
            next("after").await,
            (json!("cancelled"), json!(200), Value::Null)
        );
        // The API server breaks off.
        let answer = http2.send(get("/cut/1000")).await.unwrap();
        breaks_off(answer).await;
        assert_eq!(
            next("broken").await,
            (json!("broken"), json!(200), json!("api-server"))
        );
        // Answers without a body, and with trailers.
        http2
            .answer(request(Method::HEAD, "/sized/100", body::empty()))
            .await;
        assert_eq!(
            next("HEAD").await,
            (json!("answered"), json!(200), Value::Null)
        );
        http2.get("/status/204").await;
        assert_eq!(
            next("204").await,
            (json!("answered"), json!(204), Value::Null)
        );
        http2.get("/trailers").await;
        assert_eq!(
            next("trailers").await,
            (json!("answered"), json!(200), Value::Null)
        );
        world.job.http1().await.get("/trailers").await;
        assert_eq!(
            next("trailers over HTTP/1.1").await,
            (json!("answered"), json!(200), Value::Null)
        );
        // The agent is gone.
        let answer = http2.send(get("/silent")).await.unwrap();
        world.agent.kill().await;
        breaks_off(answer).await;
        assert_eq!(
            next("agent").await,
            (json!("broken"), json!(200), json!("agent"))
        );
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn what_is_cut_at_the_end_of_a_token_says_so() {
    scenario(async {
        let log = AuditLog::default();
        let world = audited(&log).await;
        let token = world
            .relay
            .issuer()
            .token_for(&job(9001), std::time::Duration::from_secs(3));
        let caller = world.relay.showing(&format!("Bearer ci:1:{token}"));
        let (http2, mut raw) = (caller.http2().await, caller.raw().await);
        let watch = http2.send(get("/api/v1/pods?watch=1")).await.unwrap();
        raw.write(caller.head(&format!("POST {PODS}/web-0/exec/upgrade"), SPDY))
            .await
            .unwrap();
        within("101", raw.head()).await.unwrap();
        breaks_off(watch).await;
        within("the session's end", raw.rest()).await.1.unwrap_err();
        let records = log.until(4).await;
        let ends: Vec<_> = records
            .iter()
            .filter(|record| record["event"] == "end")
            .collect();
        assert_eq!(ends.len(), 2);
        for end in ends {
            assert_eq!(
                (&end["ended"], &end["refusal"], &end["hop"]),
                (&json!("cut"), &json!("permit_ended"), &json!("client")),
                "{end}"
            );
        }
        // Nor is the API server blamed for it.
        let left = "adit_agent_failures_total{kind=\"left\"}";
        world.agent.until_metric(left, |left| left == 2.0).await;
        drop(http2);
        world.stop().await;
    });
}
