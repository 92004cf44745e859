//! Names of fields that are common enough to cross as a number. `head` looks them up in both directions.
//!
//! Invariant: **[`NAMES`] only ever grows, and only at its end.** Relay and agent may differ by many versions; a number means
//! the same name in all of them. A name that is added is used once every agent in the field can be expected to know it: the
//! receiver refuses a number it does not know, rather than lose a field.

use std::sync::LazyLock;

use http::HeaderName;

/// The number of a name, if it has one.
pub(crate) fn number(name: &str) -> Option<u8> {
    let mut slot = slot(name.as_bytes());
    loop {
        let number = *SLOTS.get(slot)?;
        let candidate = NAMES.get(usize::from(number).checked_sub(1)?)?;
        if *candidate == name {
            return Some(number);
        }
        slot = (slot + 1) % SLOT_COUNT;
    }
}

/// The name of a number.
pub(crate) fn name(number: u64) -> Option<&'static HeaderName> {
    HEADER_NAMES.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// The table; the first has number 1. What kubectl, helm, Go's client and browsers send, and what kube-apiserver, the servers
/// behind its proxy, and gateways answer.
const NAMES: [&str; 104] = [
    // Every request and answer of kubectl and client-go.
    "accept",
    "accept-encoding",
    "audit-id",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "kubectl-command",
    "kubectl-session",
    "user-agent",
    "vary",
    "warning",
    "x-kubernetes-pf-flowschema-uid",
    "x-kubernetes-pf-prioritylevel-uid",
    // Discovery and conditional requests.
    "etag",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "x-from-cache",
    "x-varied-accept",
    // Refusals and redirections.
    "allow",
    "location",
    "retry-after",
    "www-authenticate",
    // exec, attach, port-forward.
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "x-accepted-stream-protocol-versions",
    "x-stream-protocol-version",
    // As callers that act as the agent may send.
    "impersonate-group",
    "impersonate-uid",
    "impersonate-user",
    // Tracing.
    "b3",
    "baggage",
    "traceparent",
    "tracestate",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-correlation-id",
    "x-request-id",
    // Gateways.
    "age",
    "alt-svc",
    "forwarded",
    "server",
    "server-timing",
    "via",
    "x-envoy-upstream-service-time",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-original-uri",
    "x-real-ip",
    // The rest of HTTP that services behind the API server's proxy and browsers use.
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-request-headers",
    "access-control-request-method",
    "content-disposition",
    "content-language",
    "content-location",
    "content-range",
    "content-security-policy",
    "cookie",
    "deprecation",
    "digest",
    "expect",
    "from",
    "last-event-id",
    "link",
    "max-forwards",
    "origin",
    "pragma",
    "prefer",
    "priority",
    "range",
    "referer",
    "referrer-policy",
    "set-cookie",
    "strict-transport-security",
    "trailer",
    "upgrade-insecure-requests",
    "x-accel-buffering",
    "x-content-type-options",
    "x-csrf-token",
    "x-frame-options",
    "x-requested-with",
];

/// Ready to be cloned, which costs nothing for these.
static HEADER_NAMES: LazyLock<Vec<HeaderName>> = LazyLock::new(|| {
    NAMES
        .iter()
        .map(|name| HeaderName::from_static(name))
        .collect()
});

/// Numbers by the hash of their names, 0 for an empty slot; a name stands in its slot or right after it.
static SLOTS: [u8; SLOT_COUNT] = slots();

/// Some five times the names, so that most lookups compare one name or none.
const SLOT_COUNT: usize = 512;

const _: () = assert!(
    NAMES.len() < 128,
    "the table is sized for numbers of one byte"
);

/// Where a name belongs: from its length and its ends, which tell common names apart.
const fn slot(name: &[u8]) -> usize {
    match name {
        [first, .., last] => {
            (name.len() * 31 + *first as usize * 7 + *last as usize * 113) % SLOT_COUNT
        }
        _ => 0,
    }
}

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs when compiled, where either fails the build"
)]
const fn slots() -> [u8; SLOT_COUNT] {
    let mut slots = [0; SLOT_COUNT];
    let mut at = 0;
    while at < NAMES.len() {
        let mut slot = slot(NAMES[at].as_bytes());
        while slots[slot] != 0 {
            slot = (slot + 1) % SLOT_COUNT;
        }
        slots[slot] = at as u8 + 1;
        at += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_finds_its_number_and_back() {
        for (at, text) in NAMES.iter().enumerate() {
            let number = number(text).unwrap();
            assert_eq!(
                usize::from(number),
                at + 1,
                "{text} stands twice or is not found"
            );
            assert_eq!(name(number.into()).unwrap(), text);
        }
    }

    #[test]
    fn other_names_have_no_number() {
        for text in [
            "",
            "x",
            "authorization",
            "x-kubernetes-pf-flowschema-uie",
            "accepts",
            "Accept",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(name(0), None);
        assert_eq!(name(NAMES.len() as u64 + 1), None);
        assert_eq!(name(u64::MAX), None);
    }

    /// These are on the wire between versions. A failure here means that the table was changed other than at its end.
    #[test]
    fn numbers_do_not_move() {
        for (expected, text) in [
            (1, "accept"),
            (15, "x-kubernetes-pf-prioritylevel-uid"),
            (36, "x-stream-protocol-version"),
            (104, "x-requested-with"),
        ] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn few_names_share_a_slot() {
        let longest = NAMES.iter().map(|text| {
            let number = number(text).unwrap();
            let at = SLOTS.iter().position(|slot| *slot == number).unwrap();
            (at + SLOT_COUNT - slot(text.as_bytes())) % SLOT_COUNT
        });
        assert!(longest.max().unwrap() <= 4);
    }
}
