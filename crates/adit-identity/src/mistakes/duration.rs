//! Durations as config files write them: `500ms`, `30s`, `5m`, `2h`, `1d`. Called by [`super::Section`], and for flags.
//! Invariant: a number without unit is refused, since nobody remembers which one was meant.

use std::time::Duration;

/// The duration that a text such as `30s` stands for.
///
/// # Errors
///
/// There is no whole number, no unit of `ms`, `s`, `m`, `h`, `d` after it, or the whole is past what a duration holds.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or(BadDuration::Unit)?;
    let (number, unit) = text.split_at(unit_at);
    if number.is_empty() {
        return Err(BadDuration::Number);
    }
    let (_, milliseconds) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or(BadDuration::Unit)?;
    let number: u64 = number.parse().map_err(|_| BadDuration::TooLong)?;
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or(BadDuration::TooLong)
}

/// A duration of whole milliseconds as [`parse`] reads it, in the largest unit that it is a multiple of.
pub(super) fn show(duration: Duration) -> String {
    let total = duration.as_millis();
    let (unit, milliseconds) = UNITS
        .into_iter()
        .rfind(|(_, milliseconds)| total > 0 && total.is_multiple_of((*milliseconds).into()))
        .unwrap_or(("s", 1_000));
    format!("{}{unit}", total / u128::from(milliseconds))
}

/// Their names, and their milliseconds, smallest first.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// It does not start with a digit.
    #[error("not a duration: write a whole number and a unit, such as 30s")]
    Number,
    /// No unit, one not listed, or more than a whole number and a unit.
    #[error(
        "a duration is a whole number and one unit of ms, s, m, h, d, with nothing between or after them, such as 30s or 90m"
    )]
    Unit,
    /// Millions of years.
    #[error("duration too long")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_read_and_shown() {
        let cases = [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text:?}"
            );
            assert_eq!(show(Duration::from_millis(milliseconds)), text);
        }
        assert_eq!(show(Duration::from_secs(90)), "90s");
    }

    #[test]
    fn a_doubtful_duration_is_refused() {
        for text in ["", "30", "30 s", "30S", "1h30m", "1.5h", "5 minutes"] {
            assert_eq!(parse(text), Err(BadDuration::Unit), "{text:?}");
        }
        for text in ["s", "-5s", "+5s", " 5s"] {
            assert_eq!(parse(text), Err(BadDuration::Number), "{text:?}");
        }
        assert_eq!(parse("99999999999999999999s"), Err(BadDuration::TooLong));
        assert_eq!(parse("18446744073709551615d"), Err(BadDuration::TooLong));
    }
}
