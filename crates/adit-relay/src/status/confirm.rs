//! Decides whether a request that would cut something is meant by whoever sends it: it says twice what is to be cut, and no page of
//! another site sent it.
//!
//! Asked by `cut.rs`, after the gate: a browser may show the token, or be on the machine, without its user's doing. Invariant: no form
//! and no script of another origin gets through. A browser says whose page asks (`Sec-Fetch-Site`, `Origin`), and sends a field of our
//! own for no other origin without asking first (a CORS preflight), which nobody here answers.

use axum::{
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{HOST, ORIGIN},
    },
    response::{IntoResponse, Response},
};

/// The field that names once more what is to be cut.
pub const CONFIRM: &str = "adit-confirm";
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why it is not meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotMeant {
    #[error("a page of another site asks for this: it is refused")]
    CrossSite,
    #[error("say what is to be cut once more, in a header: `Adit-Confirm: <id>`")]
    Unconfirmed,
}

impl NotMeant {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::CrossSite => "cross_site",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// Whether a request with these headers means to cut what has this id.
pub(super) fn check(id: &str, headers: &HeaderMap) -> Result<(), NotMeant> {
    if is_cross_site(headers) {
        return Err(NotMeant::CrossSite);
    }
    let is_confirmed = headers
        .get(CONFIRM)
        .is_some_and(|said| said.as_bytes() == id.as_bytes());
    if is_confirmed {
        Ok(())
    } else {
        Err(NotMeant::Unconfirmed)
    }
}

/// What is no browser's says neither.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let is_foreign = headers
        .get(SITE)
        .is_some_and(|site| site.as_bytes() != b"same-origin");
    let origin = headers.get(ORIGIN);
    is_foreign || origin.is_some() && own_origin(headers).is_none()
}

/// The origin that asks, if it is the page's own. Whatever ends TLS in front changes the scheme and no more.
fn own_origin(headers: &HeaderMap) -> Option<&str> {
    let origin = headers.get(ORIGIN)?.to_str().ok()?;
    let host = headers.get(HOST)?.to_str().ok()?;
    let (_, authority) = origin.split_once("://")?;
    authority.eq_ignore_ascii_case(host).then_some(origin)
}

impl IntoResponse for NotMeant {
    fn into_response(self) -> Response {
        let status = match self {
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Unconfirmed => StatusCode::BAD_REQUEST,
        };
        (status, format!("{self}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asking(fields: &[(&'static str, &'static str)]) -> Result<(), NotMeant> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8151"));
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        check("5b0c", &headers)
    }

    #[test]
    fn what_is_to_be_cut_is_said_twice() {
        assert_eq!(asking(&[(CONFIRM, "5b0c")]), Ok(()));
        for unconfirmed in [&[][..], &[(CONFIRM, "5b0d")], &[(CONFIRM, "")]] {
            let refused = asking(unconfirmed);
            assert_eq!(refused, Err(NotMeant::Unconfirmed), "{unconfirmed:?}");
        }
    }

    #[test]
    fn pages_of_other_sites_cut_nothing() {
        for own in [
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://127.0.0.1:8151"),
            ("origin", "https://127.0.0.1:8151"),
        ] {
            assert_eq!(asking(&[own, (CONFIRM, "5b0c")]), Ok(()), "{own:?}");
        }
        for foreign in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
            ("origin", "http://evil.example"),
            ("origin", "http://127.0.0.1:8152"),
            ("origin", "http://127.0.0.1"),
            ("origin", "null"),
            ("origin", ""),
        ] {
            let refused = asking(&[foreign, (CONFIRM, "5b0c")]);
            assert_eq!(refused, Err(NotMeant::CrossSite), "{foreign:?}");
        }
    }
}
