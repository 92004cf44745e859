//! What is counted of streams by their kind, and of requests by what they ask for.

use adit_tests::{
    Metrics, body,
    caller::{get, request},
    scenario, within, world,
};
use http::Method;
use http_body_util::BodyExt;

use crate::upgrades::SPDY;

const PODS: &str = "/api/v1/namespaces/shop/pods";

/// One of the relay's samples of a kind of stream.
fn of_kind(metrics: &Metrics, name: &str, kind: &str) -> f64 {
    metrics.value(&format!("{name}{{kind=\"{kind}\"}}"))
}

fn bytes(metrics: &Metrics, kind: &str, direction: &str) -> f64 {
    metrics.value(&format!(
        "adit_relay_stream_bytes_total{{kind=\"{kind}\",direction=\"{direction}\"}}"
    ))
}

fn answered(metrics: &Metrics, class: &str) -> f64 {
    metrics.value(&format!(
        "adit_relay_requests_total{{outcome=\"answered\",class=\"{class}\"}}"
    ))
}

#[test]
fn streams_and_bytes_are_counted_by_kind_while_they_run() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let created = request(Method::POST, PODS, body::full("0123456789"));
        http2.answer(created).await;
        let watched = get(&format!("{PODS}?watch=1"));
        let mut watch = http2.send(watched).await.unwrap();
        let followed = get(&format!("{PODS}/web/log/watch?follow=1"));
        let mut log = http2.send(followed).await.unwrap();
        let asked = format!("POST {PODS}/web/exec/upgrade");
        let mut exec = world.job.raw_asking(&asked, SPDY).await;
        within("101", exec.head()).await.unwrap();
        exec.write("hello").await.unwrap();
        within("it back", exec.exactly(5)).await.unwrap();
        world.kube.event("something");
        let mut lines = Vec::new();
        for lasting in [&mut watch, &mut log] {
            let line = within("a line", lasting.body_mut().frame()).await;
            lines.push(line.unwrap().unwrap().into_data().unwrap().len() as f64);
        }

        let sample = "adit_relay_stream_bytes_total{kind=\"exec\",direction=\"answer\"}";
        world.relay.until_metric(sample, |bytes| bytes == 5.0).await;
        let relay = world.relay.metrics().await;
        let open = ["short", "watch", "log", "exec", "port_forward"]
            .map(|kind| of_kind(&relay, "adit_relay_streams_open", kind));
        assert_eq!(open, [0.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(of_kind(&relay, "adit_relay_streams_total", "short"), 1.0);
        let requests = (
            bytes(&relay, "short", "request"),
            bytes(&relay, "exec", "request"),
        );
        assert_eq!(requests, (10.0, 5.0));
        let answers = ["watch", "log"].map(|kind| bytes(&relay, kind, "answer"));
        assert_eq!(answers.as_slice(), lines);
        let answered = ["change", "watch", "run"].map(|class| answered(&relay, class));
        assert_eq!(answered, [1.0, 2.0, 1.0]);

        drop((watch, log, exec, http2));
        world.kube.until_open(0).await;
        for kind in ["watch", "log", "exec"] {
            let sample = format!("adit_relay_streams_open{{kind=\"{kind}\"}}");
            world.relay.until_metric(&sample, |open| open == 0.0).await;
        }
        world.stop().await;
    });
}

#[test]
fn port_forward_is_a_kind_of_its_own() {
    scenario(async {
        let world = world().await;
        let asked = format!("POST {PODS}/web/portforward/upgrade");
        let mut forward = world.job.raw_asking(&asked, SPDY).await;
        within("101", forward.head()).await.unwrap();
        let relay = world.relay.metrics().await;
        let kind = "port_forward";
        assert_eq!(of_kind(&relay, "adit_relay_streams_open", kind), 1.0);
        forward.write("hello").await.unwrap();
        within("it back", forward.exactly(5)).await.unwrap();
        for direction in ["request", "answer"] {
            let name = "adit_relay_stream_bytes_total";
            let sample = format!("{name}{{kind=\"{kind}\",direction=\"{direction}\"}}");
            let counted = |bytes: f64| bytes == 5.0;
            world.relay.until_metric(&sample, counted).await;
        }
        drop(forward);
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn every_stage_of_a_request_is_timed() {
    scenario(async {
        let world = world().await;
        world.job.get("/version").await.echo();
        let relay = world.relay.metrics().await;
        for stage in ["authenticate", "forward", "answer"] {
            let sample = format!("adit_relay_stage_duration_seconds_count{{stage=\"{stage}\"}}");
            assert_eq!(relay.value(&sample), 1.0, "{stage}");
        }
        world.stop().await;
    });
}
