//! Our codec against the generated types, in both directions; and against bytes that are neither's.

use adit_identity::{ActAs, Extra, Impersonation};
use adit_proto::exchange as proto;
use http::{Method, StatusCode};
use proptest::{collection::vec, prelude::*, sample::select};
use prost::Message;

use super::{
    request::{self, RequestHead},
    *,
};
use crate::answer::Asked;

const LIMITS: HeadLimits = HeadLimits {
    max_fields: 256,
    max_bytes: 64 << 10,
};

fn field(name: &HeaderName, value: &HeaderValue) -> proto::Field {
    let known = names::number(name.as_str()).map_or(0, u32::from);
    let name = if known == 0 {
        Bytes::copy_from_slice(name.as_str().as_bytes())
    } else {
        Bytes::new()
    };
    proto::Field {
        known,
        name,
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

fn fields(headers: &HeaderMap) -> Vec<proto::Field> {
    headers
        .iter()
        .map(|(name, value)| field(name, value))
        .collect()
}

fn identity(act_as: &ActAs) -> proto::Identity {
    use proto::identity::Kind;
    let kind = match act_as {
        ActAs::Agent => Kind::AsAgent(proto::AsAgent {}),
        ActAs::Impersonate(user) => Kind::Impersonation(proto::Impersonation {
            user: user.user().to_owned(),
            uid: user.uid().unwrap_or_default().to_owned(),
            groups: user.groups().to_vec(),
            extra: user
                .extra()
                .iter()
                .map(|Extra { key, values }| proto::Extra {
                    key: key.clone(),
                    values: values.clone(),
                })
                .collect(),
        }),
    };
    proto::Identity { kind: Some(kind) }
}

fn names() -> impl Strategy<Value = HeaderName> {
    let common = select(vec![
        "accept",
        "audit-id",
        "content-length",
        "user-agent",
        "x-stream-protocol-version",
        "cookie",
        "trailer",
    ]);
    let any = "[a-z0-9!#$%&'*+.^_`|~-]{1,40}";
    prop_oneof![common.prop_map(str::to_owned), any]
        .prop_map(|name| HeaderName::from_lowercase(name.as_bytes()).unwrap())
        .prop_filter("crosses", |name| hop::kind(name) == hop::Kind::EndToEnd)
}

/// Every byte that RFC 9110 section 5.5 allows, obs-text included.
fn values() -> impl Strategy<Value = HeaderValue> {
    let allowed = |byte: u8| {
        if (byte < 0x20 && byte != b'\t') || byte == 0x7f {
            byte | 0x80
        } else {
            byte
        }
    };
    vec(any::<u8>(), 0..80).prop_map(move |bytes| {
        HeaderValue::from_bytes(&bytes.into_iter().map(allowed).collect::<Vec<_>>()).unwrap()
    })
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    vec((names(), values()), 0..10).prop_map(|lines| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        headers
    })
}

fn targets() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("%2F".to_owned()),
        Just("%2f".to_owned()),
        Just("//".to_owned()),
        Just(";v=1".to_owned()),
        Just("..".to_owned()),
        Just("?".to_owned()),
        Just("&&=".to_owned()),
        Just("%00".to_owned()),
        Just("/".to_owned()),
        Just("*:!$'()+,@".to_owned()),
        "[a-zA-Z0-9._~-]{1,40}",
    ];
    let long = vec(piece, 0..24).prop_map(|pieces| format!("/{}", pieces.concat()));
    prop_oneof![
        long,
        "[a-z=&]{3000}".prop_map(|query| format!("/api?{query}"))
    ]
}

fn identities() -> impl Strategy<Value = ActAs> {
    let text = "[!-~äß€]{1,24}";
    let extra = (vec(text, 1..4), 0..1000_u32)
        .prop_map(|(values, at)| (format!("agent.gitlab.com/{at}"), values));
    let user = (
        text,
        proptest::option::of(text),
        vec(text, 0..4),
        proptest::collection::btree_map("[a-z]{1,9}", extra, 0..8),
    );
    let impersonation = user.prop_map(|(user, uid, groups, extra)| {
        let extra = extra
            .into_iter()
            .map(|(key, (_, values))| Extra { key, values })
            .collect();
        ActAs::Impersonate(Impersonation::new(user, uid, groups, extra).unwrap())
    });
    prop_oneof![Just(ActAs::Agent), impersonation]
}

#[derive(Debug)]
struct Sample {
    method: Method,
    target: String,
    headers: HeaderMap,
    act_as: ActAs,
    upgrade: &'static str,
    expect_continue: bool,
    request_id: String,
}

fn samples() -> impl Strategy<Value = Sample> {
    let method = select(vec![
        "GET",
        "PATCH",
        "M-SEARCH",
        "VERYLONGMETHODNAMEOFITSOWN",
    ])
    .prop_map(|name| name.parse().unwrap());
    let upgrade = select(vec!["", "SPDY/3.1", "websocket"]);
    (
        method,
        targets(),
        headers(),
        identities(),
        upgrade,
        any::<bool>(),
        "[a-z0-9-]{0,36}",
    )
        .prop_map(
            |(method, target, headers, act_as, upgrade, expect_continue, request_id)| Sample {
                method,
                target,
                headers,
                act_as,
                upgrade,
                expect_continue,
                request_id,
            },
        )
}

impl Sample {
    fn ours(&self) -> Bytes {
        let head = RequestHead {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
            act_as: &self.act_as,
            upgrade: self.upgrade.as_bytes(),
            expect_continue: self.expect_continue,
            request_id: &self.request_id,
        };
        request::encode(head, LIMITS, |_, _| Ok::<_, HeadTooLarge>(true)).unwrap()
    }

    fn theirs(&self) -> proto::RequestHead {
        proto::RequestHead {
            method: self.method.to_string(),
            target: self.target.clone().into(),
            fields: fields(&self.headers),
            identity: Some(identity(&self.act_as)),
            upgrade: self.upgrade.to_owned(),
            expect_continue: self.expect_continue,
            request_id: self.request_id.clone(),
        }
    }

    fn is(&self, asked: &Asked) {
        assert_eq!(asked.method, self.method);
        assert_eq!(asked.target.as_str(), self.target);
        assert_eq!(asked.headers, self.headers);
        assert!(
            asked.headers.iter().eq(self.headers.iter()),
            "lines keep their order"
        );
        assert_eq!(asked.act_as, self.act_as);
        assert_eq!(
            asked
                .upgrade
                .as_ref()
                .map_or("", |value| value.to_str().unwrap()),
            self.upgrade
        );
        assert_eq!(asked.expect_continue, self.expect_continue);
        assert_eq!(asked.request_id, self.request_id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn request_heads_are_those_of_the_generated_types(sample in samples()) {
        let (ours, theirs) = (sample.ours(), sample.theirs());
        prop_assert_eq!(&ours[..], &theirs.encode_to_vec()[..]);
        prop_assert_eq!(proto::RequestHead::decode(ours.clone()).unwrap(), theirs);
        sample.is(&request::read(&ours, LIMITS).unwrap());
    }

    #[test]
    fn response_heads_are_those_of_the_generated_types(headers in headers(), status in 200..600_u16) {
        let status = StatusCode::from_u16(status).unwrap();
        let ours = response::encode(status, &headers, b"", LIMITS).unwrap();
        let theirs = proto::ResponseHead { status: status.as_u16().into(), fields: fields(&headers), upgrade: String::new() };
        prop_assert_eq!(&ours[..], &theirs.encode_to_vec()[..]);
        let read = response::read(&ours, LIMITS).unwrap();
        prop_assert_eq!(read.status, status);
        prop_assert!(read.headers.iter().eq(headers.iter()));
    }

    #[test]
    fn trailers_are_those_of_the_generated_types(mut headers in headers()) {
        headers.remove("content-length");
        headers.remove("cookie");
        headers.remove("trailer");
        let ours = encode_trailers(&headers, LIMITS).unwrap().unwrap_or_default();
        prop_assert_eq!(&ours[..], &proto::Trailers { fields: fields(&headers) }.encode_to_vec()[..]);
        prop_assert_eq!(read_trailers(&ours, LIMITS).unwrap(), headers);
    }

    /// Fields of later versions: anywhere, of any type.
    #[test]
    fn unknown_fields_are_skipped(sample in samples(), number in 8..(1_u32 << 29), before in any::<bool>(), of_type in 0..4_usize) {
        let mut unknown = Vec::new();
        let key = |kind: u32| u64::from(number << 3 | kind);
        match of_type {
            0 => { prost::encoding::encode_varint(key(0), &mut unknown); unknown.push(7); }
            1 => { prost::encoding::encode_varint(key(1), &mut unknown); unknown.extend([0; 8]); }
            2 => { prost::encoding::encode_varint(key(2), &mut unknown); unknown.extend([3, 1, 2, 3]); }
            _ => { prost::encoding::encode_varint(key(5), &mut unknown); unknown.extend([0; 4]); }
        }
        let ours = sample.ours();
        let bytes = if before { [&unknown[..], &ours].concat() } else { [&ours, &unknown[..]].concat() };
        sample.is(&request::read(&bytes.into(), LIMITS).unwrap());
    }

    #[test]
    fn a_head_that_was_cut_off_or_changed_is_no_panic(sample in samples(), at in any::<prop::sample::Index>(), byte: u8) {
        let ours = sample.ours();
        let at = at.index(ours.len());
        let _ = request::read(&ours.slice(..at), LIMITS);
        let mut changed = ours.to_vec();
        changed[at] = byte;
        let _ = request::read(&changed.clone().into(), LIMITS);
        let _ = response::read(&changed.clone().into(), LIMITS);
        let _ = read_trailers(&changed.into(), LIMITS);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = request::read(&bytes, LIMITS);
        let _ = response::read(&bytes, LIMITS);
        let _ = read_trailers(&bytes, LIMITS);
    }
}

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
    request::read(&head.encode_to_vec().into(), LIMITS)
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
        request::read(&twice.into(), LIMITS).unwrap_err(),
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
    let fits = response::encode(StatusCode::OK, &headers, b"", limits).unwrap();
    assert!(response::read(&fits, limits).is_ok());
    headers.append("b", HeaderValue::from_static("3"));
    assert_eq!(
        response::encode(StatusCode::OK, &headers, b"", limits),
        Err(HeadTooLarge::Fields(2))
    );
    let three = response::encode(StatusCode::OK, &headers, b"", LIMITS).unwrap();
    assert_eq!(
        response::read(&three, limits).unwrap_err(),
        BadHead::TooLarge(HeadTooLarge::Fields(2))
    );
    headers.clear();
    headers.append("a", HeaderValue::from_str(&"x".repeat(60)).unwrap());
    assert_eq!(
        response::encode(StatusCode::OK, &headers, b"", limits),
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

#[test]
fn an_answer_loses_what_belongs_to_its_hop() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, x-private"),
        ("x-private", "1"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("x-kept", "1"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let head = response::encode(StatusCode::OK, &headers, b"", LIMITS).unwrap();
    let read = response::read(&head, LIMITS).unwrap().headers;
    assert_eq!(
        read.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
        ["trailer", "x-kept"]
    );
}

#[test]
fn values_are_slices_of_the_head() {
    let mut headers = HeaderMap::new();
    headers.append("x-a", HeaderValue::from_static("value"));
    let head = response::encode(StatusCode::OK, &headers, b"", LIMITS).unwrap();
    let read = response::read(&head, LIMITS).unwrap();
    let range = head.as_ptr_range();
    assert!(range.contains(&read.headers["x-a"].as_bytes().as_ptr()));
}
