//! Which addresses may be asked for keys, or be shown tokens. Asked by the checks of configs.

use http::Uri;

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
