//! How a moment is told to people: by how far away it is, or by its day.

use std::time::{SystemTime, UNIX_EPOCH};

use adit_process::how_long;

/// Such as `in 3 days`, or `3 days ago`.
pub(super) fn from(now: SystemTime, then: SystemTime) -> String {
    match then.duration_since(now) {
        Ok(left) => format!("in {}", how_long(left)),
        Err(past) => format!("{} ago", how_long(past.duration())),
    }
}

/// Such as ` (06 Nov 2094)`; nothing of a time before 1970, or after the year 9999.
pub(super) fn day(then: SystemTime) -> String {
    let since = then.duration_since(UNIX_EPOCH).unwrap_or_default();
    if since.is_zero() || since.as_secs() >= YEAR_10000 {
        return String::new();
    }
    // `Sun, 06 Nov 2094 08:49:37 GMT`
    let whole = httpdate::fmt_http_date(then);
    whole
        .get(5..16)
        .map_or_else(String::new, |day| format!(" ({day})"))
}

/// In seconds since 1970.
const YEAR_10000: u64 = 253_402_300_800;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_told_as_far_as_they_go() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(day(at(784_111_777)), " (06 Nov 1994)");
        assert_eq!(day(at(YEAR_10000 - 1)), " (31 Dec 9999)");
        assert_eq!(day(at(YEAR_10000)), "");
    }
}
