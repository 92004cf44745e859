//! How a time is told to people: in the largest unit that says enough. For the log, and for `adit doctor`.

use std::time::Duration;

/// Such as `3 days`, or `2 s`.
#[must_use]
pub fn how_long(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    // Two of them, so that 61 minutes are not an hour.
    let unit = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{} {name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(how_long(Duration::from_secs(seconds)), told);
        }
    }
}
