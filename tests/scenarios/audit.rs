//! The audit log: every kind of request leaves the right record, and nothing of it is lost without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use adit_identity::{Environment, Tier};
use adit_tests::{
    AuditLog, World, body,
    caller::{get, request},
    job, kube, relay, scenario,
};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use rcgen::date_time_ymd;
use regex::Regex;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::Instant};

mod full;
mod lasting;
mod otlp;
mod refused;

const PODS: &str = "/api/v1/namespaces/shop/pods";

async fn audited(log: &AuditLog) -> World {
    World::of(kube(), log.of(relay())).await
}

/// The one record of that event.
fn only<'a>(records: &'a [Value], event: &str) -> &'a Value {
    let mut of_event = records.iter().filter(|record| record["event"] == event);
    let found = of_event
        .next()
        .unwrap_or_else(|| panic!("no {event} in {records:?}"));
    assert!(of_event.next().is_none(), "one {event} in {records:?}");
    found
}

/// What a record says beside who, when and how long.
fn told(record: &Value) -> Value {
    let mut told = record.as_object().unwrap().clone();
    for field in [
        "time",
        "request_id",
        "client",
        "job",
        "agent",
        "act_as",
        "microseconds",
    ] {
        told.remove(field)
            .unwrap_or_else(|| panic!("{field} is missing in {record}"));
    }
    told.into()
}

#[test]
fn record_says_who_did_what_where_and_as_whom() {
    scenario(async {
        let log = AuditLog::default();
        let path = format!("{PODS}/web-0/status");
        let took = Arc::new(AtomicU64::new(0));
        let of_api_server = Arc::clone(&took);
        let kube = kube().answer(&path, move |request| {
            let took = Arc::clone(&of_api_server);
            async move {
                let began = Instant::now();
                request.into_body().collect().await.unwrap();
                took.store(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                let mut answer = Response::new(body::full("changed"));
                let id = HeaderValue::from_static("0b8c1a5e-3f0b-4c2b-9a51-5e3c8f4e2c11");
                answer.headers_mut().insert("audit-id", id);
                answer
            }
        });
        let world = World::of(kube, log.of(relay())).await;
        let mut deploying = job(9001);
        let environment = Environment::named("review/a", Tier::Development, false);
        deploying.environment = Some(environment.unwrap());
        let http2 = world.relay.caller(&deploying, "prod").http2().await;
        let asked = format!("{path}?fieldManager=canary&dryRun=All");
        http2
            .answer(request(Method::PATCH, &asked, body::full("0123456789")))
            .await;
        let records = log.until(1).await;
        let record = only(&records, "request");
        let sent = world.kube.last();
        let address = record["client"].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{record}");
        assert_eq!(record["request_id"], sent.value("audit-id").unwrap());
        assert_eq!(
            record["job"],
            json!({
                "authority": job(9001).issuer, "id": 9001, "pipeline": 880, "project": 150,
                "project_path": "group/sub/app", "user": 12, "login": "dev1",
                "environment": "review/a",
            })
        );
        assert_eq!(
            record["agent"],
            json!({ "id": 1, "name": "group/sub/app:prod" })
        );
        assert_eq!(
            record["act_as"]["user"],
            sent.value("impersonate-user").unwrap()
        );
        assert_eq!(
            record["act_as"]["groups"],
            json!(sent.values("impersonate-group"))
        );
        let micros = |stage| record["microseconds"][stage].as_u64().unwrap();
        assert!(micros("authenticate") > 0 && micros("tunnel") > 0);
        assert!(micros("api_server") >= took.load(Ordering::Relaxed).max(1));
        let hops = micros("authenticate") + micros("tunnel") + micros("api_server");
        assert!(micros("answer") >= hops, "{record}");
        assert!(micros("total") >= micros("answer"));
        // The metrics have the same times, not rounded down.
        let metrics = world.relay.metrics().await;
        for (stage, told) in [
            ("authenticate", micros("authenticate")),
            ("forward", micros("tunnel") + micros("api_server")),
        ] {
            let sum = format!("adit_relay_stage_duration_seconds_sum{{stage=\"{stage}\"}}");
            let apart = metrics.value(&sum) * 1e6 - told as f64;
            assert!((-0.5..3.0).contains(&apart), "{stage}: {apart} in {record}");
        }
        assert_eq!(
            told(record),
            json!({
                "event": "request", "status": 200, "ended": "answered",
                "operation": {
                    "method": "PATCH", "verb": "patch", "version": "v1", "resource": "pods",
                    "subresource": "status", "namespace": "shop", "name": "web-0", "kind": "short",
                },
                "request_bytes": 10, "answer_bytes": 7,
                "audit_id": "0b8c1a5e-3f0b-4c2b-9a51-5e3c8f4e2c11",
            })
        );
        drop(http2);
        world.stop().await;
        assert!(
            !log.text().contains("canary"),
            "nothing of a query is written"
        );
    });
}

#[test]
fn record_names_the_api_group_and_tells_when_it_was_made() {
    scenario(async {
        let log = AuditLog::default();
        let world = audited(&log).await;
        let http2 = world.job.http2().await;
        let deployment = "/apis/apps/v1/namespaces/shop/deployments/web";
        let began = micros_since_1970(SystemTime::now());
        http2
            .answer(request(Method::PATCH, deployment, body::full("{}")))
            .await;
        let records = log.until(1).await;
        let ended = micros_since_1970(SystemTime::now());
        let record = only(&records, "request");
        assert_eq!(
            record["operation"],
            json!({
                "method": "PATCH", "verb": "patch", "group": "apps", "version": "v1",
                "resource": "deployments", "namespace": "shop", "name": "web", "kind": "short",
            })
        );
        let made = micros_since_1970(moment(record["time"].as_str().unwrap()));
        assert!((began..=ended).contains(&made), "{record}");
        drop(http2);
        world.stop().await;
    });
}

/// What such a time as of RFC 3339 says, UTC and with microseconds.
fn moment(text: &str) -> SystemTime {
    let shape = Regex::new(r"^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z$").unwrap();
    let (_, parts) = shape
        .captures(text)
        .unwrap_or_else(|| panic!("{text} is no time"))
        .extract();
    let [year, month, day, hour, minute, second, micros] =
        parts.map(|part: &str| part.parse::<u32>().unwrap());
    let date = date_time_ymd(year as i32, month as u8, day as u8);
    let seconds = hour * 3600 + minute * 60 + second;
    SystemTime::from(date) + Duration::new(seconds.into(), micros * 1000)
}

fn micros_since_1970(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_micros()
}

/// While the API server has the one request, others go there and back.
#[test]
fn time_at_the_api_server_is_told_apart_from_the_way_there() {
    scenario(async {
        let log = AuditLog::default();
        let path = format!("{PODS}/web-0");
        let [arrived, released] = [(); 2].map(|()| Arc::new(Notify::new()));
        let (arriving, release) = (Arc::clone(&arrived), Arc::clone(&released));
        let kube = kube().answer(&path, move |_| {
            let (arriving, released) = (Arc::clone(&arriving), Arc::clone(&released));
            async move {
                arriving.notify_one();
                released.notified().await;
                Response::new(body::full("late"))
            }
        });
        let world = World::of(kube, log.of(relay())).await;
        let http2 = world.job.http2().await;
        let others = async {
            arrived.notified().await;
            let began = Instant::now();
            for _ in 0..50 {
                http2.get("/version").await.echo();
            }
            let took = began.elapsed();
            release.notify_one();
            took
        };
        let (answer, others) = tokio::join!(http2.get(&path), others);
        assert_eq!(answer.status, StatusCode::OK);
        let records = log.until(51).await;
        let is_held = |record: &&Value| record["operation"]["name"] == "web-0";
        let held = records.iter().find(is_held).unwrap();
        let api_server = held["microseconds"]["api_server"].as_u64().unwrap();
        assert!(api_server >= others.as_micros() as u64, "{held}");
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn both_http_versions_and_both_ways_to_name_an_agent_leave_the_same_record() {
    scenario(async {
        let log = AuditLog::default();
        let world = audited(&log).await;
        let token = world.relay.issuer().token(&job(9001));
        let named = world
            .job
            .showing(&format!("Bearer {token}"))
            .under("/k8s-proxy/agents/1");
        for caller in [&world.job, &named] {
            caller.http1().await.get("/version").await.echo();
            caller.http2().await.get("/version").await.echo();
        }
        let mut records = log.until(4).await;
        for record in &mut records {
            for field in [
                "time",
                "request_id",
                "client",
                "microseconds",
                "answer_bytes",
            ] {
                record[field].take();
            }
            assert_eq!(
                record["operation"],
                json!({ "method": "GET", "verb": "get", "path": "/version", "kind": "short" })
            );
        }
        assert!(
            records.iter().all(|record| *record == records[0]),
            "{records:?}"
        );
        world.stop().await;
    });
}

#[test]
fn job_that_acts_as_the_agent_is_recorded_with_whom_it_impersonates() {
    scenario(async {
        let log = AuditLog::default();
        let relay = log.of(relay()).with_agent(
            "prod",
            "ci_access: { projects: [{ id: group/sub/app, access_as: { agent: {} } }] }",
        );
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        http2.get("/api").await.echo();
        let mut as_others = get("/api");
        for (name, value) in [
            ("impersonate-user", "jane"),
            ("impersonate-group", "a"),
            ("impersonate-group", "b"),
        ] {
            as_others
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        http2.answer(as_others).await.echo();
        let records = log.until(2).await;
        assert_eq!(records[0]["act_as"], json!({ "agent": true }));
        assert_eq!(
            records[1]["act_as"],
            json!({ "agent": true, "user": "jane", "groups": ["a", "b"] })
        );
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn drain_writes_everything_down() {
    scenario(async {
        let log = AuditLog::default();
        let mut world = audited(&log).await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/api/v1/pods?watch=1")).await.unwrap();
        for _ in 0..20 {
            http2.get("/version").await.echo();
        }
        world.relay.drain(Duration::ZERO).await;
        // Without waiting: what is not there now never comes.
        let records = log.records();
        assert_eq!(
            records
                .iter()
                .filter(|record| record["event"] == "request")
                .count(),
            20
        );
        assert_eq!(
            only(&records, "start")["request_id"],
            only(&records, "end")["request_id"]
        );
        drop((watch, http2));
        world.stop().await;
    });
}

#[test]
fn every_shard_writes_and_nothing_is_lost() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), log.of(relay()).on_threads(3)).await;
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..12 {
            let http2 = world.job.http2().await;
            for _ in 0..5 {
                let answer = http2.get("/version").await;
                assert_eq!(answer.status, StatusCode::OK);
                ids.insert(answer.echo().values("audit-id")[0].to_owned());
            }
        }
        world.stop().await;
        let records = log.records();
        let recorded: std::collections::BTreeSet<_> = records
            .iter()
            .map(|record| record["request_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!((records.len(), recorded), (60, ids));
    });
}
