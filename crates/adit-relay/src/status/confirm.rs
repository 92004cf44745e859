//! Decides whether a request that would cut something is meant by whoever sends it: it says twice what is to be cut, and no page of
//! another site sent it.
//!
//! Asked by `cut.rs`, after the gate: a browser may show the token, or be on the machine, without its user's doing. Invariant: no form
//! and no script of another origin gets through. A browser says whose page asks (`Sec-Fetch-Site`, `Origin`), and sends a field of our
//! own for no other origin without asking first (a CORS preflight), which nobody here answers.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{HOST, ORIGIN},
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
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Unconfirmed => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::CrossSite => "cross_site",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A program, by the header.
    Header,
    /// Somebody at a browser, by the form of a page of ours.
    Form,
}

/// Who means to cut what has this id, by a request with these headers and this body.
pub(super) fn check(id: &str, headers: &HeaderMap, body: &[u8]) -> Result<By, NotMeant> {
    if is_cross_site(headers) {
        return Err(NotMeant::CrossSite);
    }
    let says_so = |said: &HeaderValue| said.as_bytes() == id.as_bytes();
    // Ids are of letters that a form sends as they are.
    let is_form = body.strip_prefix(b"confirm=") == Some(id.as_bytes());
    match headers.get(CONFIRM) {
        Some(said) if says_so(said) => Ok(By::Header),
        // Any form may say this: it must be known whose it is.
        None if is_form && own_origin(headers).is_some() => Ok(By::Form),
        Some(_) | None => Err(NotMeant::Unconfirmed),
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

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: (&str, &str) = ("origin", "http://127.0.0.1:8151");

    fn asking(fields: &[(&'static str, &'static str)]) -> Result<By, NotMeant> {
        saying(fields, "")
    }

    fn saying(fields: &[(&'static str, &'static str)], body: &str) -> Result<By, NotMeant> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8151"));
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        check("5b0c", &headers, body.as_bytes())
    }

    #[test]
    fn form_is_taken_of_a_page_of_ours_alone() {
        let form = "confirm=5b0c";
        assert_eq!(saying(&[OWN], form), Ok(By::Form));
        assert_eq!(
            saying(&[OWN, ("sec-fetch-site", "same-origin")], form),
            Ok(By::Form)
        );
        assert_eq!(saying(&[], form), Err(NotMeant::Unconfirmed));
        let foreign = ("origin", "http://evil.example");
        assert_eq!(saying(&[foreign], form), Err(NotMeant::CrossSite));
        for other in ["", "confirm=", "confirm=5b0d", "confirm=5b0c&x=y", "5b0c"] {
            assert_eq!(saying(&[OWN], other), Err(NotMeant::Unconfirmed), "{other}");
        }
    }

    #[test]
    fn what_is_to_be_cut_is_said_twice() {
        assert_eq!(asking(&[(CONFIRM, "5b0c")]), Ok(By::Header));
        for unconfirmed in [&[][..], &[(CONFIRM, "5b0d")], &[(CONFIRM, "")]] {
            let refused = asking(unconfirmed);
            assert_eq!(refused, Err(NotMeant::Unconfirmed), "{unconfirmed:?}");
        }
    }

    #[test]
    fn pages_of_other_sites_cut_nothing() {
        for own in [
            ("sec-fetch-site", "same-origin"),
            OWN,
            ("origin", "https://127.0.0.1:8151"),
        ] {
            assert_eq!(asking(&[own, (CONFIRM, "5b0c")]), Ok(By::Header), "{own:?}");
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
