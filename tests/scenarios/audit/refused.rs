//! Requests that the relay answers itself: each has its record, with what is known of who asked.

use std::time::Duration;

use adit_tests::{
    AuditLog, Caller, World,
    caller::{get, request},
    job, kube, pass, pki, raw, relay, scenario, within,
};
use bytes::Bytes;
use http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::{PODS, audited};
use crate::upgrades::SPDY;

#[test]
fn refusals_are_recorded_with_what_is_known_of_the_caller() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), log.of(relay().impatient())).await;
        let job = &world.job;
        let foreign = world.relay.caller(&adit_tests::job(9001), "foreign");
        let away = world.relay.caller(&adit_tests::job(9001), "staging");
        let mut impersonating = get("/api");
        let root = HeaderValue::from_static("root");
        impersonating.headers_mut().insert("impersonate-user", root);
        let answers = [
            job.anonymous().get("/api/v1/pods").await,
            job.showing("Bearer ci:1:canary").get("/api").await,
            job.under("").get("/elsewhere").await,
            job.under("")
                .http2()
                .await
                .answer(request(
                    Method::POST,
                    "/adit/v1/agents",
                    adit_tests::body::empty(),
                ))
                .await,
            foreign.get("/api/v1/pods").await,
            away.get("/api/v1/pods").await,
            job.http2().await.answer(impersonating).await,
        ];
        let records = log.until(answers.len()).await;
        let expected = [
            ("credential_missing", "client", 401, None, None),
            ("token_malformed", "client", 401, None, None),
            ("unknown_path", "client", 404, None, None),
            ("bad_method", "client", 405, None, None),
            (
                "not_permitted",
                "client",
                403,
                Some(9001),
                Some(json!({ "id": 3 })),
            ),
            (
                "agent_never_connected",
                "agent",
                503,
                Some(9001),
                Some(json!({ "id": 2, "name": "group/sub/app:staging" })),
            ),
            (
                "bad_request",
                "client",
                400,
                Some(9001),
                Some(json!({ "id": 1, "name": "group/sub/app:prod" })),
            ),
        ];
        for ((answer, record), (reason, hop, status, job, agent)) in
            answers.iter().zip(&records).zip(expected)
        {
            let refused = answer.refused();
            assert_eq!((refused.reason.as_str(), refused.status), (reason, status));
            assert_eq!(record["request_id"], refused.request_id);
            assert_eq!(record["event"], "request");
            assert_eq!(
                (&record["refusal"], &record["hop"], &record["status"]),
                (&json!(reason), &json!(hop), &json!(status))
            );
            assert_eq!(record["ended"], "refused");
            assert_eq!(record["job"]["id"].as_u64(), job, "{record}");
            assert_eq!(record.get("agent").cloned(), agent, "{record}");
        }
        assert_eq!(
            records[2]["operation"],
            json!({ "method": "GET", "path": "/elsewhere" })
        );
        assert_eq!(records[4]["detail"], "no_grant");
        let waited = records[5]["microseconds"]["route"].as_u64().unwrap();
        assert!(waited > 100_000, "{waited}");
        world.stop().await;
        assert!(!log.text().contains("canary"));
    });
}

#[test]
fn what_would_have_lasted_and_is_refused_is_a_request_and_the_end_of_nothing() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), log.of(relay().impatient())).await;
        let cases = [
            ("watch", format!("GET {PODS}?watch=1"), ""),
            ("log", format!("GET {PODS}/web-0/log?follow=true"), ""),
            ("exec", format!("POST {PODS}/web-0/exec?command=id"), SPDY),
            (
                "port_forward",
                format!("POST {PODS}/web-0/portforward"),
                SPDY,
            ),
        ];
        let callers = [
            (world.job.anonymous(), 401, "credential_missing"),
            (
                world.relay.caller(&job(9001), "foreign"),
                403,
                "not_permitted",
            ),
            (
                world.relay.caller(&job(9001), "staging"),
                503,
                "agent_never_connected",
            ),
        ];
        let mut count = 0;
        for (caller, status, reason) in callers {
            for (kind, asked, fields) in &cases {
                let mut connection = caller.raw_asking(asked, fields).await;
                let (answered, ..) = within("the refusal", connection.answer()).await.unwrap();
                count += 1;
                let record = log.until(count).await.pop().unwrap();
                assert_eq!(record["operation"]["kind"], *kind);
                assert_eq!(
                    (&record["event"], &record["ended"], &record["refusal"]),
                    (&json!("request"), &json!("refused"), &json!(reason)),
                    "{record}"
                );
                assert_eq!(
                    (answered, &record["status"]),
                    (status, &json!(status)),
                    "{record}"
                );
            }
        }
        world.stop().await;
        assert_eq!(log.records().len(), count);
    });
}

/// A job that asks for the list of its agents, and so for none of them.
fn beside_agents(world: &World) -> Caller {
    let token = world.relay.issuer().token(&job(9001));
    world.job.under("").showing(&format!("Bearer {token}"))
}

#[test]
fn list_of_agents_is_recorded_with_who_asked() {
    scenario(async {
        let log = AuditLog::default();
        let world = audited(&log).await;
        let caller = beside_agents(&world);
        assert_eq!(caller.get("/adit/v1/agents").await.status, 200);
        let record = &log.until(1).await[0];
        assert_eq!(
            record["operation"],
            json!({ "method": "GET", "path": "/adit/v1/agents" })
        );
        assert_eq!(
            (&record["job"]["id"], &record["ended"]),
            (&json!(9001), &json!("answered"))
        );
        assert_eq!(record.get("agent"), None);
        world.stop().await;
    });
}

#[test]
fn list_that_its_caller_does_not_read_is_recorded_as_cancelled() {
    scenario(async {
        let log = AuditLog::default();
        let world = audited(&log).await;
        let caller = beside_agents(&world);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let io = caller.tls(pki::HTTP2).await;
        let (mut sender, connection) = builder.handshake::<_, Bytes>(io).await.unwrap();
        let given_up = async {
            let list = caller.h2_get("/adit/v1/agents");
            let (answer, _) = sender.send_request(list, true).unwrap();
            let mut body = within("its head", answer).await.unwrap().into_body();
            pass(Duration::from_secs(11)).await;
            within("its end", body.data()).await.unwrap().unwrap_err();
        };
        tokio::select! {
            biased;
            () = given_up => {}
            ended = connection => panic!("{ended:?}"),
        }
        let record = &log.until(1).await[0];
        assert_eq!(
            (&record["ended"], &record["status"], record.get("refusal")),
            (&json!("cancelled"), &json!(200), None),
            "{record}"
        );
        world.stop().await;
    });
}

#[test]
fn strangers_fill_no_log_and_their_number_is_told() {
    scenario(async {
        let log = AuditLog::default();
        let relay = log.of(relay()).with("audit", "strangers_per_second", 3);
        let world = World::of(kube(), relay).await;
        let stranger = world.job.anonymous().http2().await;
        for _ in 0..40 {
            assert_eq!(stranger.get("/api").await.status, 401);
        }
        world.job.get("/api").await.echo();
        drop(stranger);
        let metrics = world.relay.metrics().await;
        let [limit, made, kept_back] = [
            "adit_relay_audit_queue_limit_bytes",
            "adit_relay_audit_records_made_total",
            "adit_relay_audit_records_withheld_total",
        ]
        .map(|sample| metrics.value(sample));
        world.stop().await;
        let records = log.records();
        let is = |record: &Value, refusal: &str| record["refusal"] == refusal;
        let strangers = records
            .iter()
            .filter(|record| is(record, "credential_missing"))
            .count();
        let withheld: u64 = records
            .iter()
            .filter_map(|record| record["withheld"].as_u64())
            .sum();
        assert!((3..40).contains(&strangers), "{strangers}");
        assert_eq!(strangers as u64 + withheld, 40);
        assert_eq!((made + kept_back, limit), (41.0, f64::from(64 << 20)));
        assert!(kept_back > 0.0);
        assert_eq!(records.last().unwrap()["job"]["id"], 9001);
    });
}

#[test]
fn a_path_of_any_length_and_any_bytes_leaves_a_line_that_can_be_read() {
    scenario(async {
        let log = AuditLog::default();
        let world = audited(&log).await;
        let mut connection: raw::Raw<_> = world.job.raw().await;
        let odd = format!(
            "/api/v1/namespaces/%22%0A%00%5C%FF/pods/{}",
            "ü".repeat(3000)
        );
        connection
            .write(world.job.head(&format!("GET {odd}"), ""))
            .await
            .unwrap();
        connection.head().await.unwrap();
        let record = &log.until(1).await[0];
        let operation = &record["operation"];
        assert_eq!(operation["namespace"], "\"\n\0\\\u{fffd}");
        assert_eq!(operation["name"], "ü".repeat(256));
        drop(connection);
        world.stop().await;
    });
}
