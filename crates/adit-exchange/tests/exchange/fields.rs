//! What crosses of a head, and what does not.

use std::sync::Arc;

use adit_exchange::{Ask, AskError, Asked, BadRequest, HeadLimits, Question, answer};
use adit_identity::{ActAs, Impersonation};
use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use tokio::task::JoinSet;

use crate::support::{Pair, headers, job, pair, question, side_by_side, whole, within};

fn get(lines: &[(&'static str, &'static str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::get("https://relay.test/api")
        .body(Empty::new())
        .unwrap();
    *request.headers_mut() = headers(lines);
    request
}

fn refused(lines: &[(&'static str, &'static str)]) -> BadRequest {
    match question(get(lines)) {
        Err(AskError::BadRequest(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_and_its_answer_cross_as_they_were() {
    let agent = async |pair: &Pair| {
        let (asked, stream) = pair.asked().await;
        assert_eq!(asked.method, Method::GET);
        assert_eq!(asked.target, "/api//v1/%2Fx;y?labelSelector=a%3Db&&limit=5");
        assert_eq!(
            asked.headers,
            headers(&[("accept", "b"), ("accept", "a"), ("x-own", "\t!~")])
        );
        assert_eq!(asked.act_as, job());
        assert_eq!(asked.request_id, "r-1");
        assert_eq!(asked.upgrade, None);
        assert!(asked.body(&stream).is_end_stream());
        let mut response = Response::new(Full::new(Bytes::from_static(b"pods")));
        *response.headers_mut() = headers(&[
            ("warning", "299 - one"),
            ("warning", "299 - two"),
            ("connection", "close"),
        ]);
        answer(&stream, response, None).await.unwrap();
    };
    let relay = async |pair: &Pair| {
        let mut request = get(&[
            ("accept", "b"),
            ("x-own", "\t!~"),
            ("accept", "a"),
            ("authorization", "Bearer secret"),
        ]);
        *request.uri_mut() = "https://relay.test/api//v1/%2Fx;y?labelSelector=a%3Db&&limit=5"
            .parse()
            .unwrap();
        let response = pair.ask(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            *response.headers(),
            headers(&[("warning", "299 - one"), ("warning", "299 - two")])
        );
        let mut body = response.into_body();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "pods"
        );
        assert!(body.is_end_stream(), "the end came with the last bytes");
        assert!(body.frame().await.is_none());
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn an_answer_without_body_keeps_its_content_length() {
    let agent = async |pair: &Pair| {
        let (_, stream) = pair.asked().await;
        let response = Response::builder()
            .status(304)
            .header("content-length", "77")
            .body(Empty::<Bytes>::new())
            .unwrap();
        answer(&stream, response, None).await.unwrap();
    };
    let relay = async |pair: &Pair| {
        let response = pair.ask(get(&[])).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()["content-length"], "77");
        assert!(whole(response).await.is_empty());
    };
    side_by_side(agent, relay).await;
}

#[tokio::test]
async fn credentials_and_hop_by_hop_fields_stay_behind() {
    within(async {
        let pair = pair().await;
        let request = get(&[
            ("authorization", "Bearer secret"),
            ("proxy-authorization", "Basic x"),
            ("host", "relay.test"),
            ("te", "trailers"),
            ("connection", "X-Private, close"),
            ("x-private", "1"),
            ("keep-alive", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy-connection", "x"),
            ("x-remote-user", "root"),
            ("x-kept", "1"),
        ]);
        let relay = async { drop(pair.ask(request).await) };
        let agent = async {
            let (asked, _) = pair.asked().await;
            assert_eq!(
                asked
                    .headers
                    .keys()
                    .map(HeaderName::as_str)
                    .collect::<Vec<_>>(),
                ["x-kept"]
            );
        };
        tokio::join!(agent, relay);
    })
    .await;
}

#[test]
fn impersonation_by_the_caller_is_refused() {
    for name in [
        "impersonate-user",
        "Impersonate-Group",
        "IMPERSONATE-EXTRA-x",
        "impersonate-uid",
        "impersonate-",
    ] {
        let mut request = get(&[]);
        request
            .headers_mut()
            .append(HeaderName::try_from(name).unwrap(), "root".parse().unwrap());
        assert!(
            matches!(
                question(request),
                Err(AskError::BadRequest(BadRequest::Impersonation))
            ),
            "{name}"
        );
    }
}

#[test]
fn who_acts_as_the_agent_may_impersonate() {
    let ask = Ask {
        target: "/api",
        act_as: &ActAs::Agent,
        request_id: "",
        upgrade: None,
        limits: HeadLimits::default(),
    };
    assert!(Question::new(get(&[("impersonate-user", "jane")]), ask).is_ok());
    let listed = Question::new(
        get(&[
            ("impersonate-user", "jane"),
            ("connection", "impersonate-user"),
        ]),
        ask,
    );
    assert!(matches!(
        listed,
        Err(AskError::BadRequest(BadRequest::ConnectionListsIdentity))
    ));
}

#[test]
fn identity_listed_in_connection_is_refused() {
    for list in [
        "impersonate-user",
        "close, Impersonate-Group",
        "AUTHORIZATION",
        "x, x-remote-user",
    ] {
        assert_eq!(
            refused(&[("connection", list)]),
            BadRequest::ConnectionListsIdentity,
            "{list}"
        );
    }
    assert_eq!(refused(&[("connection", "a b")]), BadRequest::Connection);
}

#[test]
fn a_token_as_a_subprotocol_is_refused() {
    let protocols = "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0";
    assert_eq!(
        refused(&[("sec-websocket-protocol", protocols)]),
        BadRequest::TokenInSubprotocol
    );
}

#[test]
fn connect_and_targets_that_are_no_path_are_refused() {
    let mut request = get(&[]);
    *request.method_mut() = Method::CONNECT;
    assert!(matches!(
        question(request),
        Err(AskError::BadRequest(BadRequest::Method))
    ));
    for target in ["", "*", "api", "http://other/", "/a b", "/a#b", "/a\r\nb"] {
        let ask = Ask {
            target,
            act_as: &job(),
            request_id: "",
            upgrade: None,
            limits: HeadLimits::default(),
        };
        assert!(
            matches!(
                Question::new(get(&[]), ask),
                Err(AskError::BadRequest(BadRequest::Target))
            ),
            "{target:?}"
        );
    }
}

#[test]
fn a_head_past_the_limits_is_refused() {
    let limits = HeadLimits {
        max_fields: 2,
        max_bytes: 100,
    };
    let ask = |lines: &[(&'static str, &'static str)]| {
        Question::new(
            get(lines),
            Ask {
                target: "/",
                act_as: &ActAs::Agent,
                request_id: "",
                upgrade: None,
                limits,
            },
        )
        .map(drop)
    };
    assert!(ask(&[("a", "1"), ("b", "1"), ("authorization", "does not count")]).is_ok());
    assert!(matches!(
        ask(&[("a", "1"), ("b", "1"), ("c", "1")]),
        Err(AskError::HeadTooLarge)
    ));
    const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    assert!(matches!(ask(&[("a", LONG)]), Err(AskError::HeadTooLarge)));
}

/// A tunnel carries many callers at once: each is answered for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identities_never_cross_over() {
    within(async {
        let pair = Arc::new(pair().await);
        let mut tasks = JoinSet::new();
        let agent = pair.agent.clone();
        tasks.spawn(async move {
            let mut answers = JoinSet::new();
            while let Some((stream, head)) = agent.accept().await {
                let asked = Asked::read(&head, HeadLimits::default()).unwrap();
                let ActAs::Impersonate(user) = asked.act_as else {
                    panic!("nobody asked that")
                };
                let body = Full::new(Bytes::from(format!("{} {}", user.user(), asked.target)));
                answers.spawn(
                    async move { answer(&stream, Response::new(body), None).await.unwrap() },
                );
            }
        });
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let pair = Arc::clone(&pair);
            callers.spawn(async move {
                let user = format!("gitlab:ci_job:{caller}");
                let act_as = ActAs::Impersonate(
                    Impersonation::new(user.clone(), None, vec![], vec![]).unwrap(),
                );
                for at in 0..250 {
                    let target = format!("/api/{caller}/{at}");
                    let ask = Ask {
                        target: &target,
                        act_as: &act_as,
                        request_id: "",
                        upgrade: None,
                        limits: HeadLimits::default(),
                    };
                    let response =
                        adit_exchange::ask(&pair.relay, get(&[]), ask, Default::default())
                            .await
                            .unwrap();
                    let body = whole(response).await;
                    assert_eq!(body, format!("{user} {target}"));
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            done.unwrap();
        }
    })
    .await;
}
