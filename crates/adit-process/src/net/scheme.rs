//! Tells an address that was written without its scheme, so that whoever checks URLs can say what is missing.

use http::Uri;

/// Whether a text would be a URL with `https://` before it, and is none: `relay.example.com`.
#[must_use]
pub fn lacks_scheme(text: &str) -> bool {
    let whole = format!("https://{}", text.trim());
    let has_host = |url: &Uri| url.host().is_some_and(|host| !host.is_empty());
    !text.contains("://") && whole.parse::<Uri>().is_ok_and(|url| has_host(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_scheme_are_told_from_what_is_none() {
        for text in ["relay.test", "relay.test:8150/", " 127.0.0.1:8150"] {
            assert!(lacks_scheme(text), "{text}");
        }
        for text in [
            "",
            "/relay",
            "https://relay.test",
            "ftp://relay.test",
            "a b",
        ] {
            assert!(!lacks_scheme(text), "{text}");
        }
    }
}
