//! Which addresses may be asked for keys, or be shown tokens. Asked by the checks of configs.

use http::Uri;

/// Whether it is a whole URL, of a host.
pub(crate) fn is_url(text: &str) -> bool {
    let url = text.parse::<Uri>();
    url.is_ok_and(|url| url.scheme().is_some() && url.host().is_some())
}

/// What is wrong with a text that is none.
pub(crate) const NO_URL: &str = "not a URL, such as https://gitlab.example.com";

/// Whether there is a user or a password in it.
pub(crate) fn has_userinfo(text: &str) -> bool {
    let url = text.parse::<Uri>();
    url.is_ok_and(|url| url.authority().is_some_and(|at| at.as_str().contains('@')))
}

/// What is wrong with one that has.
pub(crate) const USERINFO: &str =
    "has a user or a password before its host, which logs would show: take it out";

/// TLS, or never leaving this machine.
pub(crate) fn is_private_enough(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else {
        return false;
    };
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => matches!(host, "127.0.0.1" | "[::1]" | "localhost"),
        _ => false,
    }
}
