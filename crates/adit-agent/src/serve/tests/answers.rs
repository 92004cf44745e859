//! Requests that are answered: with the right identity, while bodies flow, many at once, within bounds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn request_arrives_with_its_identity_and_the_agents_credential() {
    let server = ApiServer::start(Speaks::default(), |request| async move {
        let names = [
            "authorization",
            "impersonate-user",
            "impersonate-group",
            "audit-id",
        ];
        let values = names.map(|name| request.headers()[name].to_str().unwrap().to_owned());
        full(format!(
            "{} {}",
            values.join(" "),
            request.uri().path_and_query().unwrap()
        ))
    })
    .await;
    let near = serving(&server).await;
    let answer = near
        .ask(get(), &as_user("gitlab:ci_job:1", &["gitlab:ci_job"]))
        .await
        .unwrap();
    let want =
        "Bearer agent-secret gitlab:ci_job:1 gitlab:ci_job 0123456789abcdef /api/v1/pods?watch=1";
    assert_eq!(text(answer).await, want);
    assert_eq!(near.metrics.streams.get(), 0);
}

#[tokio::test]
async fn identity_beyond_the_ceiling_is_refused_and_never_sent() {
    let asked = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&asked);
    let server = ApiServer::start(Speaks::default(), move |_| {
        mark.store(true, Ordering::SeqCst);
        async { empty() }
    })
    .await;
    let near = serving(&server).await;
    let beyond = as_user("gitlab:ci_job:1", &["system:masters"]);
    let (reason, message) = reset(near.ask(get(), &beyond).await.unwrap_err());
    assert_eq!(reason, ResetReason::BeyondCeiling);
    assert!(message.contains("system:masters"), "{message}");
    assert!(!asked.load(Ordering::SeqCst));
}

#[tokio::test]
async fn relay_that_was_taken_over_gets_nothing_past_the_ceiling() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = ApiServer::start(Speaks::default(), move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { empty() }
    })
    .await;
    let only = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let ceiling = Ceiling {
        agent: false,
        users: only(&["gitlab:*"]),
        groups: only(&["gitlab:*"]),
        namespaces: only(&["shop"]),
        cluster_scope: false,
        verbs: only(&["get", "list", "watch", "create"]),
        subresources: only(&["log"]),
    };
    let near = serving_below(server.kube().await, ceiling).await;
    let job = as_user("gitlab:ci_job:1", &["gitlab:ci_job"]);
    let pod = "/api/v1/namespaces/shop/pods/p";
    let as_others = [
        ("agent", pod.to_owned(), ActAs::Agent),
        ("users", pod.to_owned(), as_user("root", &[])),
        ("groups", pod.to_owned(), as_user("gitlab:a", &["admins"])),
    ];
    let others = as_others.map(|(key, target, act_as)| ("GET", key, target, act_as, None));
    let deeds = [
        (
            "GET",
            "namespaces",
            "/api/v1/namespaces/kube-system/secrets",
        ),
        (
            "GET",
            "namespaces",
            "/api/v1/watch/namespaces/default/secrets",
        ),
        (
            "GET",
            "namespaces",
            "/api/v1/namespaces/shop/../default/secrets",
        ),
        (
            "GET",
            "namespaces",
            "/api/v1/namespaces/shop%2f..%2fdefault/secrets",
        ),
        ("GET", "namespaces", "//api/v1/namespaces/default/secrets"),
        ("GET", "namespaces", "/api/v1/namespaces//secrets"),
        (
            "GET",
            "namespaces",
            "/api/v1/proxy/namespaces/default/services/s",
        ),
        ("GET", "cluster_scope", "/api/v1/secrets"),
        ("GET", "cluster_scope", "/api/v1/nodes/n/proxy/runningpods/"),
        ("POST", "cluster_scope", "/api/v1/namespaces"),
        ("GET", "cluster_scope", "/metrics"),
        ("DELETE", "verbs", pod),
        ("PATCH", "verbs", "/api/v1/namespaces/shop"),
        ("DELETE", "verbs", "/api/v1/namespaces/shop/pods?watch=1"),
        (
            "POST",
            "subresources",
            "/api/v1/namespaces/shop/pods/p/eviction",
        ),
        (
            "POST",
            "subresources",
            "/api/v1/namespaces/shop/serviceaccounts/a/token",
        ),
        (
            "GET",
            "subresources",
            "/api/v1/namespaces/shop/pods/p/%65xec",
        ),
    ];
    let deeds =
        deeds.map(|(method, key, target)| (method, key, target.to_owned(), job.clone(), None));
    let upgrades = ["exec", "attach", "portforward", "proxy/x"].map(|below| {
        let websocket = HeaderValue::from_static("websocket");
        (
            "GET",
            "subresources",
            format!("{pod}/{below}"),
            job.clone(),
            Some(websocket),
        )
    });
    for (method, key, target, act_as, upgrade) in others.into_iter().chain(deeds).chain(upgrades) {
        let mut request = get();
        *request.method_mut() = method.parse().unwrap();
        let refused = near
            .put_at(&target, request, &act_as, upgrade.as_ref())
            .await;
        let (reason, message) = reset(refused.unwrap_err());
        assert_eq!(reason, ResetReason::BeyondCeiling, "{method} {target}");
        assert!(
            message.contains(&format!("`ceiling.{key}")),
            "{target}: {message}"
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    for target in [
        pod,
        "/api/v1/namespaces/shop/pods/p/log?follow=1",
        "/version",
    ] {
        near.put_at(target, get(), &job, None).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn body_is_echoed_while_it_flows_over_both_protocols() {
    for speaks in [Speaks::default(), Speaks::http1()] {
        let server = ApiServer::start(speaks, |request| async move {
            Response::new(
                request
                    .into_body()
                    .map_err(|_| unreachable!("it ends well"))
                    .boxed_unsync(),
            )
        })
        .await;
        let near = serving(&server).await;
        let (give, mut take) = mpsc::channel::<Bytes>(1);
        let stream = futures_util::stream::poll_fn(move |cx| {
            take.poll_recv(cx)
                .map(|data| data.map(|data| Ok(Frame::data(data))))
        });
        give.send("first".into()).await.unwrap();
        let answer = near
            .ask(post(StreamBody::new(stream).boxed_unsync()), &ActAs::Agent)
            .await
            .unwrap();
        let mut body = answer.into_body();
        let mut echoed = soon(body.frame())
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .to_vec();
        assert_eq!(echoed, b"first");
        give.send(Bytes::from(vec![b'x'; 1 << 20])).await.unwrap();
        drop(give);
        while let Some(frame) = soon(body.frame()).await {
            echoed.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(echoed.len(), 5 + (1 << 20));
    }
}

#[tokio::test]
async fn hundred_requests_at_once_are_all_answered() {
    let server = ApiServer::start(
        Speaks {
            max_streams: 40,
            ..Speaks::default()
        },
        |_| async { full("ok") },
    )
    .await;
    let near = serving(&server).await;
    let act_as = as_user("gitlab:ci_job:1", &["gitlab:ci_job"]);
    let answers = futures_util::future::join_all((0..100).map(|_| near.ask(get(), &act_as))).await;
    for answer in answers {
        assert_eq!(text(answer.unwrap()).await, "ok");
    }
    assert!(server.connections() <= 3, "{}", server.connections());
}

#[tokio::test]
async fn requests_go_on_while_the_api_server_rotates_its_connections() {
    let server = ApiServer::start(Speaks::default(), |_| async { full("ok") }).await;
    let near = serving(&server).await;
    for _ in 0..20 {
        let connections = server.connections();
        let asking = futures_util::future::join_all((0..8).map(|_| near.get()));
        let rotating = async { server.go_away() };
        for answer in tokio::join!(asking, rotating).0 {
            assert_eq!(text(answer.unwrap()).await, "ok");
        }
        assert!(server.connections() <= connections + 2);
    }
    assert!(server.connections() > 1);
}

#[tokio::test]
async fn handler_of_a_plain_request_is_small() {
    let server = ApiServer::start(Speaks::default(), |_| async { empty() }).await;
    let near = serving(&server).await;
    let terms = Terms::default();
    let stream = near
        .tunnel
        .open(Bytes::new(), adit_tunnel::RequestBody::Absent, terms)
        .unwrap();
    let size = size_of_val(&handle(
        Arc::new(service(server.kube().await, Ceiling::default())),
        stream,
        Bytes::new(),
    ));
    assert!(
        size <= 2304,
        "ten thousand idle watches hold one each: {size} bytes"
    );
}

#[tokio::test]
async fn bodies_that_the_api_server_does_not_take_are_bounded() {
    // It reads nothing of any body.
    let server = ApiServer::start(Speaks::default(), |request| async move {
        std::future::pending::<()>().await;
        drop(request);
        empty()
    })
    .await;
    let near = serving(&server).await;
    let endless = || {
        let chunk = || Ok(Frame::data(Bytes::from_static(&[0; 16 << 10])));
        let endless = futures_util::stream::repeat_with(chunk);
        near.ask(post(StreamBody::new(endless).boxed_unsync()), &ActAs::Agent)
    };
    // More than the bound, if each has a chunk of 16 KiB in hand.
    let mut asking: futures_util::stream::FuturesUnordered<_> =
        (0..40).map(|_| endless()).collect();
    let ended = soon(futures_util::StreamExt::next(&mut asking))
        .await
        .unwrap();
    let (reason, message) = reset(ended.map(|_| ()).unwrap_err());
    assert_eq!(reason, ResetReason::Overloaded, "{message}");
    assert!(near.metrics.in_hand.get() <= i64::try_from(MAX_IN_HAND).unwrap());
    drop(asking);
    near.until_none(&near.metrics.in_hand).await;
}

#[tokio::test]
async fn head_is_let_go_of_once_the_answer_has_come() {
    let server = ApiServer::start(Speaks::default(), |_| async {
        Response::new(StreamBody::new(futures_util::stream::pending()).boxed_unsync())
    })
    .await;
    let near = serving(&server).await;
    let answer = near.get().await.unwrap();
    assert_eq!(near.metrics.streams.get(), 1);
    assert_eq!(near.metrics.in_hand.get(), 0);
    drop(answer);
}
