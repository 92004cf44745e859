//! Attempts to say who one is beside the credential: in any spelling, listed in `Connection`, behind the body, in an upgrade.
//! Either the request is refused, or it arrives with the identity of its permit and nothing else.

use adit_tests::{
    Answer, World, body,
    caller::{Http2, get, request},
    scenario, within, world,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::of_job;
use crate::upgrades::{SPDY, WEBSOCKET};

/// Header lines that would make the caller somebody else if the API server saw them.
const LINES: [&str; 18] = [
    "Impersonate-User: system:admin",
    "impersonate-user: system:admin",
    "IMPERSONATE-USER: system:admin",
    "iMpErSoNaTe-UsEr: system:admin",
    "Impersonate-User:",
    "Impersonate-User: gitlab:ci_job:9001",
    "Impersonate-Group: system:masters",
    "impersonate-group: system:masters",
    "Impersonate-Uid: 0",
    "Impersonate-Extra-Scopes: all",
    "impersonate-extra-agent.gitlab.com%2fid: 2",
    "Impersonate-Anything: x",
    "Impersonate-User: a\r\nImpersonate-User: b",
    "X-Remote-User: system:admin",
    "x-remote-group: system:masters",
    "X-Remote-Extra-Scopes: all",
    "Authorization: Bearer other",
    "Proxy-Authorization: Bearer other",
];

/// Sends a head by hand and checks that it was refused, or came as the job and as nobody else.
async fn try_head(world: &World, request: &str, fields: &str) {
    let head = world.job.head(request, fields);
    let before = world.kube.request_count();
    let mut connection = world.job.raw().await;
    connection.write(&head).await.unwrap();
    let status = match within("an answer or the end", connection.answer()).await {
        Some((status, _, _)) => status,
        // Refused without a word.
        None => 400,
    };
    let came = world.kube.requests().split_off(before);
    for request in &came {
        assert_eq!(request.identity(), of_job(9001), "{head}");
    }
    let is_refused = matches!(status, 400 | 401) && came.is_empty();
    assert!(
        is_refused || matches!(status, 101 | 200),
        "{status}: {head}"
    );
}

fn nobody_of_the_system_came(world: &World) {
    let came = world.kube.requests();
    assert!(!format!("{came:?}").contains("system:"), "{came:?}");
}

#[test]
fn headers_that_name_somebody_else_never_arrive() {
    scenario(async {
        let world = world().await;
        for line in LINES {
            for request in ["GET /api", "POST /api", "DELETE /api"] {
                try_head(&world, request, &format!("{line}\r\n")).await;
            }
        }
        nobody_of_the_system_came(&world);
        world.stop().await;
    });
}

#[test]
fn connection_cannot_strip_the_identity() {
    scenario(async {
        let world = world().await;
        let names = [
            "Impersonate-User",
            "impersonate-group",
            "Authorization",
            "impersonate-uid",
            "Impersonate-Extra-agent.gitlab.com%2fid",
            "host",
            "x-request-id",
        ];
        for name in names {
            for list in [
                name.to_owned(),
                format!("close, {name}"),
                format!("{name},{name}"),
                format!("keep-alive\r\nConnection: {name}"),
                format!(" ,, {name} ,"),
            ] {
                try_head(&world, "GET /api", &format!("Connection: {list}\r\n")).await;
            }
        }
        for list in ["\"impersonate-user\"", "a b", "im personate-user", "@"] {
            try_head(&world, "GET /api", &format!("Connection: {list}\r\n")).await;
        }
        world.stop().await;
    });
}

#[test]
fn upgrades_carry_no_other_identity() {
    scenario(async {
        let world = world().await;
        for line in LINES {
            for fields in [SPDY, WEBSOCKET] {
                try_head(&world, "POST /upgrade", &format!("{fields}{line}\r\n")).await;
            }
        }
        for fields in [SPDY, WEBSOCKET] {
            let fields = fields.replacen("Connection: ", "Connection: Impersonate-User, ", 1);
            try_head(&world, "POST /upgrade", &fields).await;
        }
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn trailers_are_no_place_for_an_identity() {
    scenario(async {
        let world = world().await;
        let names = [
            "impersonate-user",
            "impersonate-group",
            "authorization",
            "x-remote-user",
            "content-length",
            "host",
            "transfer-encoding",
        ];
        let http2 = world.job.http2().await;
        for name in names {
            // hyper's client sends no `Transfer-Encoding` over HTTP/2.
            if name != "transfer-encoding" {
                try_trailer(&http2, name).await;
            }
            let mut connection = world.job.raw().await;
            let head = world.job.head(
                "POST /api",
                &format!("Transfer-Encoding: chunked\r\nTrailer: {name}\r\n"),
            );
            connection
                .write(format!("{head}1\r\nx\r\n0\r\n{name}: system:admin\r\n\r\n"))
                .await
                .unwrap();
            if let Some((200, _, body)) = within("an answer or the end", connection.answer()).await
            {
                assert!(
                    !String::from_utf8_lossy(&body).contains("system:admin"),
                    "{name}"
                );
            }
        }
        nobody_of_the_system_came(&world);
        drop(http2);
        world.stop().await;
    });
}

async fn try_trailer(http2: &Http2, name: &'static str) {
    let (hand, body) = body::by_hand();
    let mut trailers = HeaderMap::new();
    trailers.insert(
        HeaderName::from_static(name),
        HeaderValue::from_static("system:admin"),
    );
    hand.data("body").await;
    hand.trailers(trailers).await;
    let answer = within(
        "an answer or the end",
        http2.send(request(Method::POST, "/api", body)),
    )
    .await;
    if let Ok(answer) = answer
        && answer.status() == 200
    {
        let echo = within("its body", Answer::of(answer)).await.unwrap().echo();
        assert!(
            echo.trailer(name).is_empty() && !echo.0.to_string().contains("system:admin"),
            "{name}"
        );
    }
}

#[test]
fn http_2_headers_that_name_somebody_else_never_arrive() {
    scenario(async {
        let world = world().await;
        for (name, value) in [
            ("impersonate-user", "system:admin"),
            ("impersonate-group", "system:masters"),
            ("impersonate-uid", "0"),
            ("impersonate-extra-scopes", "all"),
            ("x-remote-user", "system:admin"),
            ("x-remote-group", "system:masters"),
        ] {
            let before = world.kube.request_count();
            let mut request = get("/api");
            request.headers_mut().insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            let answer = world.job.http2().await.answer(request).await;
            let came = world.kube.requests().split_off(before);
            if name.starts_with("impersonate-") {
                assert_eq!(
                    (answer.refused().reason.as_str(), came.len()),
                    ("bad_request", 0),
                    "{name}"
                );
            }
            assert!(
                came.iter()
                    .all(|request| request.identity() == of_job(9001)),
                "{name}"
            );
        }
        world.stop().await;
    });
}

#[test]
fn two_credentials_are_none() {
    scenario(async {
        let world = world().await;
        let mut request = get("/api");
        let credential = HeaderValue::from_str(world.job.authorization.as_ref().unwrap()).unwrap();
        request
            .headers_mut()
            .append(header::AUTHORIZATION, credential.clone());
        request
            .headers_mut()
            .append(header::AUTHORIZATION, credential);
        let refused = world.job.http2().await.answer(request).await.refused();
        assert_eq!(
            (refused.status, refused.reason.as_str()),
            (401, "credential_repeated")
        );
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}

#[test]
fn method_of_the_head_is_not_overridden() {
    scenario(async {
        let world = world().await;
        let mut request = request(Method::POST, "/api", body::full(Bytes::from_static(b"x")));
        request
            .headers_mut()
            .insert("x-http-method-override", HeaderValue::from_static("DELETE"));
        assert_eq!(
            world.job.http2().await.answer(request).await.echo().0["method"],
            "POST"
        );
        world.stop().await;
    });
}
