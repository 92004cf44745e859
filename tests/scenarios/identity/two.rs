//! Many identities share a tunnel, and none of them ever gets another's request: neither its rights nor its answer.

use adit_tests::{
    Caller, World, body,
    caller::{Http2, request},
    kube, pattern, relay, scenario, within, world,
};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Method};

use crate::upgrades::SPDY;

/// More by `ADIT_TEST_ROUNDS`, such as 1000000 over night.
fn rounds() -> u64 {
    std::env::var("ADIT_TEST_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(8000)
}

/// One request with a mark in each part; the answer must hold the same marks and the caller's own identity.
async fn ask(http2: &Http2, job: u64, mark: u64) {
    let path = format!("/api/{job}/{mark}?q={mark}");
    let text = format!("{job}-{mark}-").repeat(1 + (mark % 40) as usize);
    let mut request = request(Method::POST, &path, body::full(text.clone()));
    request
        .headers_mut()
        .insert("x-mark", HeaderValue::from(mark));
    let echo = http2.answer(request).await.echo();
    assert_eq!((echo.target(), echo.body()), (path.as_str(), text.as_str()));
    assert_eq!(echo.values("x-mark"), [mark.to_string()]);
    assert_eq!(
        echo.values("impersonate-user"),
        [format!("gitlab:ci_job:{job}")]
    );
    assert_eq!(
        echo.values("impersonate-extra-agent.gitlab.com%2fci_job_id"),
        [job.to_string()]
    );
    assert_eq!(echo.values("impersonate-group").len(), 3);
}

#[test]
fn identities_never_cross() {
    scenario(async {
        let world = World::of(
            kube(),
            relay().with("limits", "opens_per_second", 1_000_000),
        )
        .await;
        let jobs = [9001, 9002];
        let connections = [
            world.relay.job(jobs[0]).http2().await,
            world.relay.job(jobs[1]).http2().await,
        ];
        // Same order each time, but no order one would think of.
        let marks = (0..rounds()).map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20);
        stream::iter(marks)
            .for_each_concurrent(48, |mark| {
                let which = (mark % 2) as usize;
                ask(&connections[which], jobs[which], mark)
            })
            .await;
        drop(connections);
        world.stop().await;
    });
}

#[test]
fn connection_that_changes_its_credential_changes_its_identity() {
    scenario(async {
        let world = world().await;
        let callers: Vec<Caller> = (0..5).map(|at| world.relay.job(at + 1)).collect();
        let (http2, mut http1) = (callers[0].http2().await, callers[0].http1().await);
        for at in 0..60_usize {
            let job = (at * 7) % 5;
            let with_credential = || {
                let mut request = adit_tests::caller::get("/api");
                let value = callers[job]
                    .authorization
                    .as_ref()
                    .unwrap()
                    .parse()
                    .unwrap();
                request
                    .headers_mut()
                    .insert(http::header::AUTHORIZATION, value);
                request
            };
            for answer in [
                http2.answer(with_credential()).await,
                http1.answer(with_credential()).await,
            ] {
                assert_eq!(
                    answer.echo().values("impersonate-user"),
                    [format!("gitlab:ci_job:{}", job + 1)]
                );
            }
        }
        drop((http2, http1));
        world.stop().await;
    });
}

#[test]
fn upgrades_and_requests_beside_each_other_keep_their_identities() {
    scenario(async {
        let world = world().await;
        let http2 = world.relay.job(9002).http2().await;
        for at in 0..20 {
            let mut exec = world.job.raw_asking("POST /upgrade", SPDY).await;
            let (head, ()) = tokio::join!(exec.head(), ask(&http2, 9002, at));
            assert!(head.unwrap().starts_with("HTTP/1.1 101"));
            let upgrades = world.kube.requests();
            let upgrade = upgrades
                .iter()
                .rfind(|request| request.target == "/upgrade")
                .unwrap();
            assert_eq!(
                upgrade.value("impersonate-user").unwrap(),
                "gitlab:ci_job:9001"
            );
            let piece = pattern::piece(at, 1000);
            exec.write(&piece).await.unwrap();
            assert_eq!(within("it back", exec.exactly(1000)).await.unwrap(), piece);
        }
        drop(http2);
        world.kube.until_open(0).await;
        world.stop().await;
    });
}
