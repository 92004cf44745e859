//! Which paths every program on the way to an API's server reads alike. The relay asks before it forwards anything, and the agent before
//! it lets something pass because of what it is.

use percent_encoding::percent_decode_str;

/// Whether some decoder on the way could see a `.` or `..` segment: separators and dots count in their encoded forms too.
#[must_use]
pub fn has_dot_segment(path: &str) -> bool {
    // Nearly every path: no dot at all, or none at the start of a segment.
    if !path.contains("/.") && !path.contains(['%', '\\']) {
        return false;
    }
    let mut plain = path.to_ascii_lowercase();
    for (encoded, meant) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/")] {
        plain = plain.replace(encoded, meant);
    }
    plain
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
}

/// Whether each of the first `read` segments is a name and nothing else, encoded or not. What follows them is nobody's on the way if it
/// `may_go_on`, as a path at a service that is proxied to does; else it is one slash at most.
pub(super) fn is_plain(path: &str, read: usize, may_go_on: bool) -> bool {
    if path == "/" {
        return true;
    }
    let Some(below) = path.strip_prefix('/') else {
        return false;
    };
    let mut segments = below.split('/');
    segments.by_ref().take(read).all(is_name)
        && (may_go_on || matches!((segments.next(), segments.next()), (None | Some(""), None)))
        && !has_dot_segment(path)
}

/// One of at most [`MAX_NAME_BYTES`], of characters that no program takes for anything but themselves, decoded once or twice.
fn is_name(segment: &str) -> bool {
    let stands_for_itself = |byte: u8| byte.is_ascii_graphic() && !b"/\\%?#;".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&segment.len())
        && percent_decode_str(segment).all(stands_for_itself)
}

/// As many as Kubernetes allows for any name.
const MAX_NAME_BYTES: usize = 253;
