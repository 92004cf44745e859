//! The audit log by OTLP: what a collector is sent, and that nothing of it is lost because the collector is away, busy or strict.

use std::time::Duration;

use adit_process::replica_name;
use adit_tests::{
    RelayBuilder, World, body,
    caller::{Http2, get, request},
    collector::{Collector, Kept},
    kube, relay, scenario, within,
};
use futures_util::{FutureExt as _, future::join_all};
use http::{HeaderValue, Method};
use serde_json::{Value, json};
use tonic::Status;

use super::{PODS, told};

const BYTES: &str = "adit_relay_audit_queue_bytes";
const DROPPED: &str = "adit_relay_audit_records_dropped_total";
const FAILURES: &str = "adit_relay_audit_write_failures_total";
const REJECTED: &str = "adit_relay_audit_records_rejected_total";

/// Sends its records there.
fn sending(collector: &Collector) -> RelayBuilder {
    let otlp = format!("{{ endpoint: 'http://{}' }}", collector.address());
    relay()
        .with("audit", "to", "otlp")
        .with("audit", "otlp", otlp)
}

async fn world(collector: &Collector) -> World {
    World::of(kube(), sending(collector)).await
}

/// The ids of requests, in the order in which they were made, one after the other.
async fn ask(world: &World, http2: &Http2, times: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..times {
        http2.get("/version").await.echo();
        ids.push(world.kube.last().value("audit-id").unwrap());
    }
    ids
}

fn ids(kept: &[Kept]) -> Vec<String> {
    let ids = kept
        .iter()
        .filter(|kept| kept.event == "adit.audit.request");
    ids.map(|kept| kept.attributes["adit.request.id"].clone())
        .collect()
}

#[test]
fn record_has_what_a_file_s_has_and_is_found_by_its_trace() {
    scenario(async {
        let collector = Collector::start().await;
        let relay = sending(&collector).with(
            "traces",
            "endpoint",
            format!("http://{}", collector.address()),
        );
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        let mut asked = get(&format!("{PODS}?watch=0"));
        let traced =
            HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        asked.headers_mut().insert("traceparent", traced);
        http2.answer(asked).await.echo();
        let sent = world.kube.last();
        let kept = collector.until_kept(1).await.remove(0);
        let id = sent.value("audit-id").unwrap();
        let id = id.as_str();
        assert_eq!(
            (
                kept.service.as_str(),
                kept.event.as_str(),
                kept.severity.as_str()
            ),
            ("adit-relay", "adit.audit.request", "INFO")
        );
        assert_eq!(kept.instance, replica_name("relay"));
        let mut record = kept.body.clone();
        assert_eq!(record["request_id"], id);
        assert_eq!(
            record["act_as"]["groups"],
            json!(sent.values("impersonate-group"))
        );
        let span = collector
            .until_told("the request's span", |told| {
                told.service == "adit-relay" && told.name == "list pods"
            })
            .await;
        assert_eq!((&kept.trace, &kept.span), (&span.trace, &span.id));
        for (field, value) in [("trace_id", &span.trace), ("span_id", &span.id)] {
            assert_eq!(
                record.as_object_mut().unwrap().remove(field).unwrap(),
                **value
            );
        }
        let answer_bytes = record["answer_bytes"].take();
        assert!(answer_bytes.as_u64().unwrap() > 0);
        assert_eq!(
            told(&record),
            json!({
                "event": "request", "status": 200, "ended": "answered",
                "operation": {
                    "method": "GET", "verb": "list", "version": "v1", "resource": "pods",
                    "namespace": "shop", "kind": "short",
                },
                "request_bytes": 0, "answer_bytes": null,
            })
        );
        let mut expected = span.attributes;
        assert_eq!(expected.remove("adit.request.id").as_deref(), Some(id));
        let mut found = kept.attributes;
        assert_eq!(found.remove("adit.request.id").as_deref(), Some(id));
        assert_eq!(found, expected);
        let seconds = kept.nanoseconds / 1_000_000_000;
        let since = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .as_secs();
        assert!((since - 60..=since).contains(&seconds), "{seconds}");
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn refused_watch_is_sent_as_a_request() {
    scenario(async {
        let collector = Collector::start().await;
        let world = world(&collector).await;
        let stranger = world.job.anonymous();
        let refused = stranger.get("/api/v1/pods?watch=1").await.refused();
        let kept = collector.until_kept(1).await.remove(0);
        assert_eq!(
            (kept.event.as_str(), &kept.body["event"]),
            ("adit.audit.request", &json!("request"))
        );
        assert_eq!(kept.attributes["error.type"], refused.reason);
        world.stop().await;
    });
}

#[test]
fn collector_that_is_away_and_comes_back_has_every_record_once_and_in_order() {
    scenario(async {
        let collector = Collector::start().await;
        let world = world(&collector).await;
        let http2 = world.job.http2().await;
        let mut made = ask(&world, &http2, 5).await;
        collector.until_kept(5).await;

        collector.be_away(true);
        made.extend(ask(&world, &http2, 5).await);
        world
            .relay
            .until_metric(FAILURES, |failures| failures > 0.0)
            .await;
        collector.be_away(false);
        collector.until_kept(10).await;

        for code in [tonic::Code::Unavailable, tonic::Code::Unauthenticated] {
            let failures = world.relay.metrics().await.value(FAILURES);
            collector.refuse(Status::new(code, "not now"));
            made.extend(ask(&world, &http2, 5).await);
            world
                .relay
                .until_metric(FAILURES, |now| now > failures)
                .await;
            collector.accept();
            collector.until_kept(made.len()).await;
        }
        drop(http2);
        world.stop().await;
        assert_eq!(ids(&collector.kept()), made);
    });
}

/// Has requests fill the queue of a relay whose collector takes nothing, until one is not recorded.
async fn fill(world: &World, collector: &Collector, http2: &Http2) -> usize {
    collector.refuse(Status::unavailable("full"));
    let mut sent = 0;
    while world.relay.metrics().await.value(DROPPED) == 0.0 {
        join_all((0..50).map(|_| http2.get("/version"))).await;
        sent += 50;
    }
    sent
}

async fn create(http2: &Http2) -> adit_tests::Answer {
    http2
        .answer(request(Method::POST, PODS, body::full("{}")))
        .await
}

#[test]
fn changes_are_refused_blocked_or_unrecorded_while_a_collector_takes_nothing() {
    scenario(async {
        for when_full in ["refuse", "block", "drop"] {
            let collector = Collector::start().await;
            let relay = sending(&collector).with("audit", "queue", "1MiB").with(
                "audit",
                "changes_when_full",
                when_full,
            );
            let world = World::of(kube(), relay).await;
            let http2 = world.job.http2().await;
            let mut made = fill(&world, &collector, &http2).await;
            made += 1;
            if when_full == "refuse" {
                assert_eq!(create(&http2).await.refused().reason, "audit_full");
                collector.accept();
            } else if when_full == "drop" {
                create(&http2).await.echo();
                collector.accept();
            } else {
                let mut waiting = Box::pin(create(&http2));
                http2.get("/version").await.echo();
                made += 1;
                assert!((&mut waiting).now_or_never().is_none());
                collector.accept();
                within("its answer", waiting).await.echo();
            }
            world.relay.until_metric(BYTES, |bytes| bytes == 0.0).await;
            http2.get("/version").await.echo();
            made += 1;
            drop(http2);
            world.stop().await;

            // Every one is there, or counted.
            let kept = collector.kept();
            let gaps = kept.iter().filter(|kept| kept.event == "adit.audit.gap");
            let dropped = gaps.map(|gap| {
                assert_eq!(gap.severity, "WARN");
                gap.body["dropped"].as_u64().unwrap() as usize
            });
            let dropped: usize = dropped.sum();
            assert!(dropped > 0);
            assert_eq!(ids(&kept).len() + dropped, made, "{when_full}");
        }
    });
}

#[test]
fn what_a_collector_throws_away_is_counted_and_holds_nothing_up() {
    scenario(async {
        let collector = Collector::start().await;
        let world = world(&collector).await;
        let http2 = world.job.http2().await;
        collector.reject(2);
        let mut made = ask(&world, &http2, 3).await;
        world
            .relay
            .until_metric(REJECTED, |rejected| rejected == 2.0)
            .await;
        collector.until_kept(1).await;

        collector.refuse(Status::invalid_argument("never"));
        ask(&world, &http2, 1).await;
        world
            .relay
            // It, and the gap that tells of those before.
            .until_metric(REJECTED, |rejected| rejected == 4.0)
            .await;
        collector.accept();
        made.extend(ask(&world, &http2, 1).await);
        let kept = collector.until_kept(3).await;
        assert_eq!(ids(&kept), made[2..]);
        assert_eq!(kept[1].body["rejected"], 2);
        assert_eq!(world.relay.metrics().await.value(DROPPED), 0.0);
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn record_that_a_collector_refuses_takes_no_other_with_it_and_leaves_a_gap() {
    scenario(async {
        let collector = Collector::start().await;
        let world = world(&collector).await;
        let http2 = world.job.http2().await;
        // All of them wait, and go in one call.
        collector.refuse(Status::unavailable("not now"));
        let mut made = ask(&world, &http2, 21).await;
        for _ in 0..2 {
            http2.get("/apis/canary").await.echo();
        }
        made.extend(ask(&world, &http2, 14).await);
        collector.refuse_calls_with("/apis/canary");
        collector.accept();
        collector.until_kept(made.len()).await;
        let metrics = world.relay.metrics().await;
        assert_eq!(
            (metrics.value(REJECTED), metrics.value(DROPPED)),
            (2.0, 0.0)
        );

        made.extend(ask(&world, &http2, 1).await);
        let kept = collector.until_kept(made.len() + 1).await;
        assert_eq!(ids(&kept), made);
        let gap = &kept[made.len() - 1];
        assert_eq!((&*gap.event, &*gap.severity), ("adit.audit.gap", "WARN"));
        assert_eq!(gap.body["rejected"], 2);
        assert_eq!(
            (&gap.body["dropped"], &gap.body["withheld"]),
            (&json!(0), &json!(0))
        );
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn records_are_sent_by_tls_with_a_token_that_may_change_and_the_last_at_the_end() {
    scenario(async {
        let collector = Collector::start_with_tls().await;
        let token = collector.demand("first-canary");
        std::fs::write(&token, "first-canary\n").unwrap();
        let otlp = format!(
            "{{ endpoint: 'https://localhost:{}', ca_file: '{}', token_file: '{}' }}",
            collector.address().port(),
            collector.ca().display(),
            token.display()
        );
        let relay = relay()
            .with("audit", "to", "otlp")
            .with("audit", "otlp", otlp);
        let mut world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        let mut made = ask(&world, &http2, 1).await;
        collector.until_kept(1).await;

        drop(collector.demand("second-canary"));
        made.extend(ask(&world, &http2, 1).await);
        world
            .relay
            .until_metric(FAILURES, |failures| failures > 0.0)
            .await;
        std::fs::write(&token, "second-canary\n").unwrap();
        world.relay.reread();
        collector.until_kept(2).await;

        made.extend(ask(&world, &http2, 20).await);
        drop(http2);
        world.relay.drain(Duration::ZERO).await;
        // Without waiting: what is not there now never comes.
        let kept = collector.kept();
        assert_eq!(ids(&kept), made);
        let all = format!("{kept:?}");
        // Neither the collector's token nor the job's, which is a JWT.
        assert!(!all.contains("canary") && !all.contains("eyJ"), "{all}");
        world.agent.stop().await;
        world.kube.stop().await;
    });
}

#[test]
fn last_records_come_though_the_collector_was_away_when_the_relay_stopped() {
    scenario(async {
        let collector = Collector::start().await;
        let mut world = world(&collector).await;
        let http2 = world.job.http2().await;
        collector.be_away(true);
        let made = ask(&world, &http2, 3).await;
        world
            .relay
            .until_metric(FAILURES, |failures| failures > 0.0)
            .await;
        drop(http2);
        let come_back = async { collector.be_away(false) };
        tokio::join!(world.relay.drain(Duration::ZERO), come_back);
        assert_eq!(ids(&collector.kept()), made);
        world.agent.stop().await;
        world.kube.stop().await;
    });
}

#[test]
fn collector_is_named_where_it_is_used_and_nowhere_else() {
    let wrong = |audit: Value| {
        let file = json!({ "listen": { "address": "127.0.0.1:0" }, "audit": audit });
        let raw = serde_json::from_value::<adit_relay::RawConfig>(file).unwrap();
        adit_relay::Config::try_from(raw).unwrap_err().to_string()
    };
    let there = json!({ "endpoint": "https://collector.example.com" });
    for (audit, told) in [
        (
            json!({ "to": "otlp" }),
            "audit.otlp: needed with `to: otlp`",
        ),
        (json!({ "otlp": there }), "audit.otlp: only with `to: otlp`"),
        (
            json!({ "to": "stdout", "otlp": there }),
            "audit.otlp: only with `to: otlp`",
        ),
        (
            json!({ "to": "otlp", "otlp": {} }),
            "audit.otlp.endpoint: needed",
        ),
        (
            json!({ "to": "otlp", "otlp": { "endpoint": "http://collector.example.com" } }),
            "audit.otlp.endpoint: needs https://",
        ),
        (
            json!({ "to": "otlp", "otlp": there, "file": "/audit.log" }),
            "audit.file: only with `to: file`",
        ),
    ] {
        let mistakes = wrong(audit);
        assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
        assert!(mistakes.starts_with(told), "{mistakes}");
    }
}
