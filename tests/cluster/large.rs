//! Much at once: objects at the API server's limit, lists of megabytes, and bodies that are not JSON.

use adit_tests::{
    Caller,
    body::full,
    caller::{get, request},
};
use http::{Method, StatusCode, header};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    harness::{Needs, trials},
    job::Job,
    watches::runtime,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::ControlPlane;
        object_of_900_kilobytes_is_applied_by_the_server,
        list_of_megabytes_is_whole_in_one_piece_and_in_pages,
        object_too_large_is_refused_by_the_api_server,
        protobuf_passes_both_ways,
    ]
}

fn object_of_900_kilobytes_is_applied_by_the_server(world: &World) {
    let (job, name) = (world.any_job(), world.name("large"));
    let text = letters(900 << 10);
    job.kubectl("apply --server-side -f -")
        .input(configmap(&name, "none", &text).to_string())
        .ok();
    let read = job
        .kubectl("get configmap --output jsonpath={.data.text}")
        .arg(&name)
        .ok();
    assert!(read == text, "{} bytes came back", read.len());
    job.kubectl("apply --server-side -f -")
        .input(configmap(&name, "none", "small").to_string())
        .ok();
    assert_eq!(
        job.kubectl("get configmap --output jsonpath={.data.text}")
            .arg(&name)
            .ok(),
        "small"
    );
}

fn object_too_large_is_refused_by_the_api_server(world: &World) {
    let (job, name) = (world.any_job(), world.name("too-large"));
    let said = job
        .kubectl("create -f -")
        .input(configmap(&name, "none", &letters(4 << 20)).to_string())
        .failure();
    assert!(
        said.contains("Request entity too large")
            || said.contains("TooLarge")
            || said.contains("must have at most"),
        "{said}"
    );
}

fn list_of_megabytes_is_whole_in_one_piece_and_in_pages(world: &World) {
    let (job, batch) = (world.any_job(), world.name("batch"));
    let text = letters(100 << 10);
    let items: Vec<_> = (0..60)
        .map(|n| configmap(&format!("{batch}-{n}"), &batch, &format!("{n} {text}")))
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
    job.kubectl("create -f -").input(list.to_string()).ok();
    for chunk in ["--chunk-size=0", "--chunk-size=7"] {
        let listed = job
            .kubectl("get configmaps --output=json")
            .arg(chunk)
            .arg(format!("--selector=batch={batch}"))
            .ok();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let items = listed["items"].as_array().unwrap();
        assert_eq!(items.len(), 60);
        let is_whole = |item: &Value| {
            item["data"]["text"]
                .as_str()
                .is_some_and(|value| value.ends_with(&text))
        };
        assert!(items.iter().all(is_whole), "a value is not whole");
    }
    job.kubectl("delete configmaps --wait=false")
        .arg(format!("--selector=batch={batch}"))
        .ok();
}

fn protobuf_passes_both_ways(world: &World) {
    let (job, name) = (world.any_job(), world.name("wire"));
    job.kubectl("create configmap --from-literal=a=1")
        .arg(&name)
        .ok();
    runtime().block_on(async {
        let caller = caller(world, &job);
        let path = format!("/api/v1/namespaces/shop/configmaps/{name}");
        let connection = caller.http2().await;
        let mut read = get(&path);
        read.headers_mut()
            .insert(header::ACCEPT, PROTOBUF.parse().unwrap());
        let got = connection.answer(read).await;
        assert_eq!(
            (
                got.status,
                got.headers[header::CONTENT_TYPE].to_str().unwrap()
            ),
            (StatusCode::OK, PROTOBUF)
        );
        assert!(got.body.starts_with(b"k8s\0"), "the API server's prefix");

        // What was read may be written: it holds the version that it was read at.
        let mut put = request(Method::PUT, &path, full(got.body.clone()));
        put.headers_mut()
            .insert(header::CONTENT_TYPE, PROTOBUF.parse().unwrap());
        put.headers_mut()
            .insert(header::ACCEPT, PROTOBUF.parse().unwrap());
        let written = connection.answer(put).await;
        assert_eq!(written.status, StatusCode::OK, "{}", written.text());

        // And the relay's own answers come in it to a client that reads nothing else.
        let mut away = get(&path);
        away.headers_mut()
            .insert(header::ACCEPT, PROTOBUF.parse().unwrap());
        away.headers_mut().insert(
            header::AUTHORIZATION,
            format!("Bearer ci:8:{}", job.token).parse().unwrap(),
        );
        let refused = connection.answer(away).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.body.starts_with(b"k8s\0"));
    });
}

/// A caller without a client library, with this job's credential.
pub fn caller(world: &World, job: &Job) -> Caller {
    let credential = format!("Bearer ci:7:{}", job.token);
    Caller::new(world.shared().relay.address, &credential)
}

pub fn configmap(name: &str, batch: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "shop", "labels": { "batch": batch } },
        "data": { "text": text },
    })
}

/// Bytes without a pattern, always the same.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn letters(len: usize) -> String {
    noise(len)
        .into_iter()
        .map(|byte| char::from(b'a' + byte % 26))
        .collect()
}

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
