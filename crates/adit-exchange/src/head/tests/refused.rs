//! Heads that are refused: without an identity or with two, with fields, targets or sizes that must not cross.

use super::*;

fn head(change: impl FnOnce(&mut proto::RequestHead)) -> Result<Asked, BadHead> {
    let mut head = proto::RequestHead {
        method: "GET".into(),
        target: Bytes::from_static(b"/api"),
        identity: Some(identity(&ActAs::Impersonate(
            Impersonation::new("u".into(), None, vec![], vec![]).unwrap(),
        ))),
        ..Default::default()
    };
    change(&mut head);
    Asked::read(&head.encode_to_vec().into(), LIMITS)
}

fn named(name: &'static str, value: &'static str) -> proto::Field {
    proto::Field {
        known: 0,
        name: Bytes::from_static(name.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
    }
}

#[test]
fn a_head_without_identity_is_refused() {
    assert!(head(|_| ()).is_ok());
    assert_eq!(
        head(|head| head.identity = None).unwrap_err(),
        BadHead::Identity(BadIdentity::Absent)
    );
    assert_eq!(
        head(|head| head.identity = Some(proto::Identity { kind: None })).unwrap_err(),
        BadHead::Identity(BadIdentity::Absent)
    );
}

#[test]
fn a_head_with_two_identities_is_refused() {
    let one = proto::RequestHead {
        identity: Some(identity(&ActAs::Agent)),
        method: "GET".into(),
        target: Bytes::from_static(b"/"),
        ..Default::default()
    };
    let twice = [one.encode_to_vec(), one.encode_to_vec()].concat();
    assert_eq!(
        Asked::read(&twice.into(), LIMITS).unwrap_err(),
        BadHead::Identity(BadIdentity::Ambiguous)
    );
}

#[test]
fn fields_that_must_not_cross_are_refused_on_arrival() {
    for name in [
        "connection",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "authorization",
        "proxy-authorization",
        "x-remote-user",
        "impersonate-user",
        "impersonate-extra-x",
    ] {
        let error = head(|head| head.fields.push(named(name, "x"))).unwrap_err();
        assert_eq!(error, BadHead::Forbidden(HeaderName::from_static(name)));
    }
    let known = names::number("impersonate-group").unwrap().into();
    let by_number = proto::Field {
        known,
        name: Bytes::new(),
        value: Bytes::from_static(b"system:masters"),
    };
    assert!(matches!(
        head(|head| head.fields.push(by_number)).unwrap_err(),
        BadHead::Forbidden(_)
    ));
    let token = named(
        "sec-websocket-protocol",
        "base64url.bearer.authorization.k8s.io.eA",
    );
    assert!(matches!(
        head(|head| head.fields.push(token)).unwrap_err(),
        BadHead::Forbidden(_)
    ));
}

#[test]
fn the_agents_own_identity_lets_impersonation_fields_through() {
    let asked = head(|head| {
        // Before the identity in the encoding: the order must not matter.
        head.fields.push(named("impersonate-user", "x"));
        head.identity = Some(identity(&ActAs::Agent));
    });
    assert_eq!(asked.unwrap().headers["impersonate-user"], "x");
}

#[test]
fn names_and_values_that_http_does_not_know_are_refused() {
    for name in ["", "Accept", "a b", "a\r\nb", "ä"] {
        assert_eq!(
            head(|head| head.fields.push(named(name, "x"))).unwrap_err(),
            BadHead::FieldName,
            "{name:?}"
        );
    }
    for value in ["a\r\nimpersonate-user: x", "a\0", "a\n"] {
        assert!(
            matches!(
                head(|head| head.fields.push(named("x-a", value))).unwrap_err(),
                BadHead::FieldValue(_)
            ),
            "{value:?}"
        );
    }
    let both = proto::Field {
        known: 1,
        ..named("x-a", "b")
    };
    assert_eq!(
        head(|head| head.fields.push(both)).unwrap_err(),
        BadHead::FieldName
    );
    let unknown = proto::Field {
        known: 4_000,
        ..named("", "b")
    };
    assert_eq!(
        head(|head| head.fields.push(unknown)).unwrap_err(),
        BadHead::UnknownName(4_000)
    );
}

#[test]
fn targets_that_would_go_elsewhere_are_refused() {
    for target in [
        "",
        "*",
        "api",
        "http://other/api",
        "other:443",
        "/a#b",
        "/a b",
        "/a\r\nb",
        "/a\0",
        "//\u{7f}",
    ] {
        assert_eq!(
            head(|head| head.target = Bytes::from_static(target.as_bytes())).unwrap_err(),
            BadHead::Target,
            "{target:?}"
        );
    }
    for method in ["", "CONNECT", "G T", "GET\r\n"] {
        assert_eq!(
            head(|head| head.method = method.into()).unwrap_err(),
            BadHead::Method,
            "{method:?}"
        );
    }
}

#[test]
fn limits_hold_in_both_directions() {
    let limits = HeadLimits {
        max_fields: 2,
        max_bytes: 60,
    };
    let mut headers = HeaderMap::new();
    headers.append("a", HeaderValue::from_static("1"));
    headers.append("a", HeaderValue::from_static("2"));
    let fits = response::encode(StatusCode::OK, &headers, b"", None, limits).unwrap();
    assert!(response::read(&fits, limits).is_ok());
    headers.append("b", HeaderValue::from_static("3"));
    assert_eq!(
        response::encode(StatusCode::OK, &headers, b"", None, limits),
        Err(HeadTooLarge::Fields(2))
    );
    let three = response::encode(StatusCode::OK, &headers, b"", None, LIMITS).unwrap();
    assert_eq!(
        response::read(&three, limits).unwrap_err(),
        BadHead::TooLarge(HeadTooLarge::Fields(2))
    );
    headers.clear();
    headers.append("a", HeaderValue::from_str(&"x".repeat(60)).unwrap());
    assert_eq!(
        response::encode(StatusCode::OK, &headers, b"", None, limits),
        Err(HeadTooLarge::Bytes(60))
    );
    assert_eq!(
        encode_trailers(&headers, limits),
        Err(HeadTooLarge::Bytes(60))
    );
}

#[test]
fn an_answer_with_an_impossible_status_or_hop_is_refused() {
    let read = |status: u32, name: &'static str, upgrade: &str| {
        let head = proto::ResponseHead {
            status,
            fields: vec![named(name, "x")],
            upgrade: upgrade.to_owned(),
            api_server_microseconds: 0,
        };
        response::read(&head.encode_to_vec().into(), LIMITS).map(|head| head.status.as_u16())
    };
    assert_eq!(read(200, "x-a", ""), Ok(200));
    assert_eq!(read(101, "x-a", "SPDY/3.1"), Ok(101));
    for status in [0, 99, 600, 65_736] {
        assert_eq!(read(status, "x-a", ""), Err(BadHead::Status(status.into())));
    }
    assert_eq!(read(101, "x-a", ""), Err(BadHead::Upgrade));
    assert_eq!(read(200, "x-a", "SPDY/3.1"), Err(BadHead::Upgrade));
    assert!(matches!(
        read(200, "transfer-encoding", ""),
        Err(BadHead::Forbidden(_))
    ));
}
