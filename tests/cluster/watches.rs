//! Two thousand watches at once through one agent, on the real API server.

use std::time::Duration;

use adit_tests::caller::{Http2, get};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use libtest_mimic::Trial;
use serde_json::Value;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::timeout,
};

use crate::{
    harness::{Needs, trials},
    large::caller,
    world::World,
};

const WATCHES: usize = 2000;
/// The relay takes a thousand requests on one.
const CONNECTIONS: usize = 4;

pub fn trials() -> Vec<Trial> {
    trials![Needs::ControlPlane; two_thousand_watches_all_see_an_event]
}

fn two_thousand_watches_all_see_an_event(world: &World) {
    // Several jobs: one may not begin so many requests within a second.
    let jobs: Vec<_> = (0..CONNECTIONS).map(|_| world.any_job()).collect();
    let (job, name) = (world.any_job(), world.name("beacon"));
    job.kubectl("create configmap --from-literal=lit=no")
        .arg(&name)
        .ok();
    let version = job
        .kubectl("get configmap --output jsonpath={.metadata.resourceVersion}")
        .arg(&name)
        .ok();
    let path = format!(
        "/api/v1/namespaces/shop/configmaps?watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={version}"
    );
    let bystander = caller(world, &job);
    runtime().block_on(async {
        let mut connections = Vec::new();
        for job in &jobs {
            connections.push(caller(world, job).http2().await);
        }
        let mut opening = JoinSet::new();
        for at in 0..WATCHES {
            opening.spawn(open(connections[at % CONNECTIONS].clone(), path.clone()));
        }
        let watches = timeout(Duration::from_secs(60), opening.join_all())
            .await
            .expect("all are open within a minute");
        assert_eq!(watches.len(), WATCHES);

        // A small request finds its way among them.
        let answer = bystander
            .get(&format!("/api/v1/namespaces/shop/configmaps/{name}"))
            .await;
        assert_eq!(answer.status, StatusCode::OK);

        let lit = tokio::task::spawn_blocking(move || {
            job.kubectl("patch configmap --type=merge")
                .arg(&name)
                .arg(r#"--patch={"data":{"lit":"yes"}}"#)
                .ok()
        });
        let mut hearing: JoinSet<_> = watches.into_iter().map(first_event).collect();
        let all = async {
            while let Some(event) = hearing.join_next().await {
                let event = event.unwrap();
                assert_eq!(
                    (&event["type"], &event["object"]["data"]["lit"]),
                    (&"MODIFIED".into(), &"yes".into())
                );
            }
        };
        timeout(Duration::from_secs(60), all)
            .await
            .expect("all see the event within a minute");
        lit.await.unwrap();
    });
}

async fn open(connection: Http2, path: String) -> Incoming {
    let response = connection.send(get(&path)).await.expect("the watch begins");
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body()
}

async fn first_event(mut watch: Incoming) -> Value {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let frame = watch
            .frame()
            .await
            .expect("the watch goes on")
            .expect("the watch is not cut");
        line.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    serde_json::from_slice(&line).expect("one event, in JSON")
}

/// A runtime for tests that call without a client library.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
