//! Heads of any kind: names, values, targets, identities, and what both codecs make of them.

use http::Method;
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

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

pub(super) fn headers() -> impl Strategy<Value = HeaderMap> {
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
pub(super) struct Sample {
    method: Method,
    target: String,
    headers: HeaderMap,
    act_as: ActAs,
    upgrade: &'static str,
    expect_continue: bool,
    request_id: String,
}

pub(super) fn samples() -> impl Strategy<Value = Sample> {
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
    pub(super) fn ours(&self) -> Bytes {
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

    pub(super) fn theirs(&self) -> proto::RequestHead {
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

    pub(super) fn is(&self, asked: &Asked) {
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
