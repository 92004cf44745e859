//! In which form a refusal comes: JSON, protobuf for those who ask for it, and no body to HEAD.

use adit_tests::{
    body,
    caller::{PROTOBUF, get, request},
    scenario, world,
};
use http::{HeaderValue, Method, header};

#[test]
fn typed_clients_get_protobuf() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.anonymous().http2().await;
        for (accept, is_protobuf) in [
            (PROTOBUF, true),
            ("application/vnd.kubernetes.protobuf,application/json", true),
            ("application/vnd.kubernetes.protobuf;q=1, */*", true),
            (
                "application/json, application/vnd.kubernetes.protobuf",
                false,
            ),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                false,
            ),
            ("*/*", false),
            ("text/html", false),
        ] {
            let mut request = get("/api");
            request
                .headers_mut()
                .insert(header::ACCEPT, HeaderValue::from_static(accept));
            let answer = http2.answer(request).await;
            assert_eq!(
                answer.headers[header::CONTENT_TYPE] == PROTOBUF,
                is_protobuf,
                "{accept}"
            );
            assert_eq!(
                answer.refused().told(),
                (401, "credential_missing", "client", None)
            );
        }
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn refused_head_has_no_body() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (
            world.job.anonymous().http1().await,
            world.job.anonymous().http2().await,
        );
        for answer in [
            http1
                .answer(request(Method::HEAD, "/api", body::empty()))
                .await,
            http2
                .answer(request(Method::HEAD, "/api", body::empty()))
                .await,
        ] {
            assert_eq!((answer.status.as_u16(), answer.body.len()), (401, 0));
            assert!(answer.headers.contains_key("x-request-id"));
        }
        // The connection is not out of step.
        assert_eq!(
            http1.get("/api").await.refused().reason,
            "credential_missing"
        );
        drop((http1, http2));
        world.stop().await;
    });
}

#[test]
fn request_ids_differ() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.anonymous().http2().await;
        let mut ids = std::collections::HashSet::new();
        for _ in 0..50 {
            assert!(ids.insert(http2.get("/api").await.refused().request_id));
        }
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn request_ids_are_in_the_log() {
    scenario(async {
        let world = world().await;
        let refused = world.job.anonymous().get("/api").await.refused();
        let line = adit_tests::logs()
            .lines()
            .find(|line| line.contains(&refused.request_id))
            .map(str::to_owned)
            .unwrap();
        assert!(
            line.contains("credential_missing") && line.contains("refused"),
            "{line}"
        );
        world.stop().await;
    });
}
