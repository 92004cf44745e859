//! Requests are traced through both ends and into the API server, by OTLP.

use std::time::Duration;

use adit_tests::{
    Answer, Caller, World,
    caller::get,
    collector::{Collector, Told},
    job, kube, relay, scenario, until, within,
};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tonic::Status;

use crate::{
    limits::crowds::beside_another,
    status::cut::{cut_stream, only_stream},
    upgrades::SPDY,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Relay and agent tell this collector of such a share.
async fn traced(collector: &Collector, sample: f64) -> World {
    let endpoint = format!("http://{}", collector.address());
    World::with(
        kube(),
        relay()
            .with("traces", "endpoint", &endpoint)
            .with("traces", "sample", sample),
        |agent| {
            agent
                .with("traces", "endpoint", &endpoint)
                .with("traces", "sample", 0)
        },
    )
    .await
}

/// A request that comes with a decision about itself.
pub(crate) fn decided(path: &str, flags: &str) -> Request<adit_tests::body::Body> {
    let mut request = get(path);
    let value = format!("00-{TRACE}-{CALLER}-{flags}");
    let value = HeaderValue::try_from(value).unwrap();
    request.headers_mut().insert("traceparent", value);
    request
        .headers_mut()
        .insert("tracestate", HeaderValue::from_static("vendor=1"));
    request
}

async fn ask(job: &Caller, request: Request<adit_tests::body::Body>) -> Answer {
    job.http2().await.answer(request).await
}

/// The span of this name that `service` made beneath another one.
async fn part(collector: &Collector, service: &str, name: &str, parent: &Told) -> Told {
    let is_it =
        |told: &Told| told.service == service && told.name == name && told.parent == parent.id;
    let told = collector.until_told(name, is_it).await;
    assert_eq!(told.trace, parent.trace);
    assert!(
        told.nanoseconds <= parent.nanoseconds,
        "{told:?} {parent:?}"
    );
    told
}

/// The relay's span of a caller's trace.
async fn of_caller(collector: &Collector) -> Told {
    let is_it = |told: &Told| told.parent == CALLER;
    collector.until_told("the relay's span", is_it).await
}

/// What the relay sent on, and the agent's span beneath it.
async fn forwarded(collector: &Collector, relay: &Told) -> (Told, Told) {
    let forward = part(collector, "adit-relay", "forward", relay).await;
    let is_it = |told: &Told| told.parent == forward.id;
    let agent = collector.until_told("the agent's span", is_it).await;
    (forward, agent)
}

fn came(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn a_caller_s_trace_goes_on_through_both_ends_to_the_api_server() {
    scenario(async {
        let collector = Collector::start().await;
        let world = traced(&collector, 0.0).await;
        let path = "/api/v1/namespaces/shop/pods?watch=0";
        ask(&world.job, decided(path, "01")).await.echo();

        let relay = of_caller(&collector).await;
        assert_eq!(relay.service, "adit-relay");
        assert_eq!(
            (relay.trace.as_str(), relay.name.as_str()),
            (TRACE, "list pods")
        );
        assert_eq!((relay.kind, relay.is_error), (SpanKind::Server, false));
        let about = |key: &str| relay.attributes.get(key).map(String::as_str);
        assert_eq!(about("http.response.status_code"), Some("200"));
        assert_eq!(about("http.request.method"), Some("GET"));
        assert_eq!(about("k8s.namespace.name"), Some("shop"));
        assert_eq!(about("cicd.pipeline.task.run.id"), Some("9001"));
        assert_eq!(about("adit.agent.id"), Some("1"));
        part(&collector, "adit-relay", "authenticate", &relay).await;
        part(&collector, "adit-relay", "route", &relay).await;
        let (forward, agent) = forwarded(&collector, &relay).await;
        assert_eq!(forward.kind, SpanKind::Client);
        assert_eq!(
            (agent.service.as_str(), agent.name.as_str()),
            ("adit-agent", "list pods")
        );
        assert_eq!(
            agent.attributes["adit.request.id"],
            relay.attributes["adit.request.id"]
        );
        part(&collector, "adit-agent", "connection", &agent).await;
        let call = part(&collector, "adit-agent", "api_server", &agent).await;

        let asked = world.kube.last();
        let expected = format!("00-{TRACE}-{}-01", call.id);
        assert_eq!(came(&asked.headers, "traceparent"), Some(expected));
        assert_eq!(
            came(&asked.headers, "tracestate").as_deref(),
            Some("vendor=1")
        );
        world.stop().await;
    });
}

#[test]
fn what_a_caller_does_not_want_traced_is_not_and_what_nobody_decided_is_by_share() {
    scenario(async {
        let collector = Collector::start().await;
        let world = traced(&collector, 1.0).await;
        ask(&world.job, decided("/apis", "00")).await.echo();
        let unsampled = format!("00-{TRACE}-{CALLER}-00");
        let asked = world.kube.last();
        assert_eq!(came(&asked.headers, "traceparent"), Some(unsampled));
        world.job.get("/version").await.echo();
        let told = collector
            .until_told("a trace of adit's own", |told| told.parent.is_empty())
            .await;
        assert_eq!(
            (told.service.as_str(), told.name.as_str()),
            ("adit-relay", "get")
        );
        assert!(collector.told().iter().all(|told| told.trace != TRACE));
        world.stop().await;

        let world = traced(&collector, 0.0).await;
        world.job.get("/version").await.echo();
        assert_eq!(came(&world.kube.last().headers, "traceparent"), None);
        world.stop().await;
    });
}

#[test]
fn an_upgraded_connection_is_traced_to_the_api_server() {
    scenario(async {
        let collector = Collector::start().await;
        let world = traced(&collector, 0.0).await;
        let fields = format!("{SPDY}Traceparent: 00-{TRACE}-{CALLER}-01\r\n");
        let asked = "POST /api/v1/namespaces/shop/pods/web/exec/upgrade";
        let mut exec = world.job.raw_asking(asked, &fields).await;
        within("101", exec.head()).await.unwrap();
        let asked = world.kube.last();
        drop(exec);
        world.kube.until_open(0).await;
        let relay = of_caller(&collector).await;
        let (_, agent) = forwarded(&collector, &relay).await;
        let call = part(&collector, "adit-agent", "api_server", &agent).await;
        let expected = format!("00-{TRACE}-{}-01", call.id);
        assert_eq!(came(&asked.headers, "traceparent"), Some(expected));
        // Its caller left it, without a goodbye.
        assert!(!relay.is_error && !agent.is_error, "{relay:?} {agent:?}");
        world.stop().await;
    });
}

#[test]
fn a_watch_that_its_caller_leaves_is_no_error() {
    scenario(async {
        let collector = Collector::start().await;
        let world = traced(&collector, 0.0).await;
        let http2 = world.job.http2().await;
        let watch = http2.send(decided("/watch", "01")).await.unwrap();
        drop(watch);
        let relay = of_caller(&collector).await;
        let (_, agent) = forwarded(&collector, &relay).await;
        assert_eq!(agent.attributes["http.response.status_code"], "200");
        assert!(!relay.is_error && !agent.is_error, "{relay:?} {agent:?}");
        drop(http2);
        world.stop().await;
    });
}

/// The agent's numbers have both among what was `left`.
#[test]
fn a_watch_that_is_cut_is_an_error_of_the_agents_too() {
    scenario(async {
        let collector = Collector::start().await;
        let mut world = traced(&collector, 1.0).await;
        let http2 = world.job.http2().await;
        let mut traces = Vec::new();
        for why in ["cut_by_operator", "tunnel_lost"] {
            let asked = get("/api/v1/namespaces/shop/pods?watch=1");
            let watch = http2.send(asked).await.unwrap();
            match why {
                "cut_by_operator" => {
                    let id = only_stream(&world.relay).await;
                    assert_eq!(cut_stream(&world.relay, &id).await, 200);
                }
                _ => world.relay.kill().await,
            }
            Answer::of(watch).await.unwrap_err();
            let is_it = |told: &Told| {
                let is_agents = told.service == "adit-agent" && told.name == "watch pods";
                is_agents && !traces.contains(&told.trace)
            };
            let agent = collector.until_told("the agent's span", is_it).await;
            assert!(agent.is_error, "{agent:?}");
            assert_eq!(agent.attributes["error.type"], why);
            traces.push(agent.trace.clone());
        }
        world.relay.revive().await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn an_agent_traces_by_its_own_share_where_the_relay_traces_nothing() {
    scenario(async {
        let collector = Collector::start().await;
        let endpoint = format!("http://{}", collector.address());
        let world = World::with(kube(), relay(), |agent| {
            agent
                .with("traces", "endpoint", &endpoint)
                .with("traces", "sample", 1)
        })
        .await;
        world.job.get("/version").await.echo();
        let agent = collector
            .until_told("the agent's span", |told| told.parent.is_empty())
            .await;
        assert_eq!(
            (agent.service.as_str(), agent.name.as_str()),
            ("adit-agent", "get")
        );
        let call = part(&collector, "adit-agent", "api_server", &agent).await;
        let expected = format!("00-{}-{}-01", agent.trace, call.id);
        let asked = world.kube.last();
        assert_eq!(came(&asked.headers, "traceparent"), Some(expected));
        world.stop().await;
    });
}

#[test]
fn a_wait_for_the_job_s_turn_is_told() {
    scenario(async {
        let collector = Collector::start().await;
        let endpoint = format!("http://{}", collector.address());
        let relay = relay()
            .with("limits", "turns_per_job", 1)
            .with("traces", "endpoint", &endpoint)
            .with("traces", "sample", 0);
        let world = World::of(kube(), relay).await;
        let (own, other) = beside_another(&world).await;
        let asked = [get("/wait"), get("/wait"), decided("/wait", "01")];
        let mut answers = join_all(asked.map(|request| own.answer(request)));
        tokio::select! {
            _ = &mut answers => panic!("they are held"),
            () = world.kube.until_open(3) => {}
        }
        world.kube.release();
        for answer in answers.await {
            assert_eq!(answer.status, StatusCode::OK);
        }
        let relay = of_caller(&collector).await;
        part(&collector, "adit-relay", "turn", &relay).await;
        drop((own, other));
        world.stop().await;
    });
}

#[test]
fn a_refusal_is_an_error_and_nothing_is_told_of_strangers() {
    scenario(async {
        let collector = Collector::start().await;
        let world = traced(&collector, 0.0).await;
        let stranger = world.relay.showing("Bearer ci:1:nobody");
        let refused = ask(&stranger, decided("/api", "01")).await.refused();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        let foreign = world.relay.caller(&job(9001), "foreign");
        let refused = ask(&foreign, decided("/apis", "01")).await.refused();
        let told = of_caller(&collector).await;
        assert!(told.is_error);
        assert_eq!(told.attributes["error.type"], refused.reason);
        let roots = collector.told();
        assert_eq!(roots.iter().filter(|told| told.parent == CALLER).count(), 1);
        world.stop().await;
    });
}

#[test]
fn a_watch_is_told_when_it_ends_and_that_an_agent_broke_it_off() {
    scenario(async {
        let collector = Collector::start().await;
        let mut world = traced(&collector, 1.0).await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        world.kube.until_open(1).await;
        world.agent.kill().await;
        Answer::of(watch).await.unwrap_err();
        let told = collector
            .until_told("the watch", |told| {
                told.service == "adit-relay" && told.parent.is_empty()
            })
            .await;
        assert!(told.is_error);
        assert_eq!(told.attributes["error.type"], "agent_lost");
        world.agent.revive().await;
        world.stop().await;
    });
}

#[test]
fn a_collector_that_takes_nothing_costs_spans_and_no_request() {
    scenario(async {
        let collector = Collector::start().await;
        collector.refuse(Status::internal("sick"));
        let world = traced(&collector, 1.0).await;
        world.job.get("/version").await.echo();
        let failed = r#"adit_spans_total{outcome="failed"}"#;
        world.relay.until_metric(failed, |spans| spans >= 4.0).await;
        world.agent.until_metric(failed, |spans| spans >= 3.0).await;
        collector.accept();
        world.job.get("/version").await.echo();
        let sent = r#"adit_spans_total{outcome="sent"}"#;
        world.relay.until_metric(sent, |spans| spans >= 4.0).await;
        assert!(!collector.told().is_empty());
        world.stop().await;
    });
}

#[test]
fn what_finds_no_place_in_the_queue_is_dropped_and_counted() {
    scenario(async {
        // Takes connections and never says a word.
        let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", mute.local_addr().unwrap());
        let relay = relay()
            .with("traces", "endpoint", &endpoint)
            .with("traces", "sample", 1)
            .with("traces", "queue", 1);
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        for _ in 0..10 {
            http2.get("/version").await.echo();
        }
        let dropped = r#"adit_spans_total{outcome="dropped"}"#;
        world.relay.until_metric(dropped, |spans| spans > 0.0).await;
        world.stop().await;
    });
}

#[test]
fn spans_are_sent_by_tls_with_a_token_that_may_change_and_the_last_at_the_end() {
    scenario(async {
        let collector = Collector::start_with_tls().await;
        let token = collector.demand("first");
        std::fs::write(&token, "first\n").unwrap();
        let endpoint = format!("https://localhost:{}", collector.address().port());
        let (ca, file) = (collector.ca(), token.clone());
        let relay = relay()
            .with("traces", "endpoint", &endpoint)
            .with("traces", "ca_file", ca.display())
            .with("traces", "token_file", file.display())
            .with("traces", "sample", 1);
        let mut world = World::with(kube(), relay, |agent| {
            agent
                .with("traces", "endpoint", &endpoint)
                .with("traces", "ca_file", ca.display())
                .with("traces", "token_file", file.display())
        })
        .await;
        world.job.get("/api").await.echo();
        for last in ["forward", "api_server"] {
            collector.until_told(last, |told| told.name == last).await;
        }
        drop(collector.demand("second"));
        std::fs::write(&token, "second\n").unwrap();
        world.relay.reread();
        world.agent.reread();
        let of_relay = "adit_relay_secret_reloads_total{outcome=\"replaced\"}";
        let of_agent = "adit_agent_secret_reloads_total{outcome=\"replaced\"}";
        let once = |reloads| reloads == 1.0;
        world.relay.until_metric(of_relay, once).await;
        world.agent.until_metric(of_agent, once).await;
        let of_relay = || {
            let told = collector.told().into_iter();
            told.filter(|told| told.service == "adit-relay").count()
        };
        let before = of_relay();
        world.job.get("/apis").await.echo();
        // Before its second to gather is over.
        world.relay.drain(Duration::from_secs(10)).await;
        until("the last spans", || of_relay() >= before + 4).await;
        world.agent.drain(Duration::from_secs(10)).await;
        until("the agent's", || {
            let told = collector.told();
            told.iter().filter(|told| told.name == "api_server").count() == 2
        })
        .await;
        world.kube.stop().await;
    });
}
