//! How a time is told to people: in the largest unit that says enough.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Such as `3 days`, or `2 s`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    // Two of them, so that 61 minutes are not an hour.
    let unit = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

/// Such as `in 3 days`, or `3 days ago`.
pub(super) fn from(now: SystemTime, then: SystemTime) -> String {
    match then.duration_since(now) {
        Ok(left) => format!("in {}", span(left)),
        Err(past) => format!("{} ago", span(past.duration())),
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
    use super::*;

    #[test]
    fn days_are_told_as_far_as_they_go() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(day(at(784_111_777)), " (06 Nov 1994)");
        assert_eq!(day(at(YEAR_10000 - 1)), " (31 Dec 9999)");
        assert_eq!(day(at(YEAR_10000)), "");
    }

    #[test]
    fn times_are_told_in_units_that_say_enough() {
        let cases = [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (172_800, "2 days"),
        ];
        for (seconds, told) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), told);
        }
    }
}
