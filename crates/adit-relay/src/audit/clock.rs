//! Writes the time of a record. Most records fall into the same second as the one before, whose text is kept.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::refusal::Moment;

/// Remembers one second.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: u64,
    /// As RFC 3339, without the `Z`.
    text: String,
}

impl Clock {
    /// A JSON text: RFC 3339 in UTC, to the microsecond.
    pub(super) fn write(&mut self, now: SystemTime, into: &mut Vec<u8>) {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.text.is_empty() || since.as_secs() != self.second {
            self.second = since.as_secs();
            self.text = Moment(now).to_string();
            self.text.truncate(self.text.len() - 1);
        }
        into.push(b'"');
        into.extend_from_slice(self.text.as_bytes());
        into.push(b'.');
        let mut unit = 100_000;
        while unit > 0 {
            let digit = since.subsec_micros() / unit % 10;
            into.extend(char::from_digit(digit, 10).map(|digit| digit as u8));
            unit /= 10;
        }
        into.extend_from_slice(b"Z\"");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_told_to_the_microsecond() {
        let mut clock = Clock::default();
        let mut told = |micros| {
            let mut text = Vec::new();
            clock.write(UNIX_EPOCH + Duration::from_micros(micros), &mut text);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(told(0), r#""1970-01-01T00:00:00.000000Z""#);
        assert_eq!(
            told(1_795_629_888_000_042),
            r#""2026-11-25T18:04:48.000042Z""#
        );
        assert_eq!(
            told(1_795_629_888_999_999),
            r#""2026-11-25T18:04:48.999999Z""#
        );
        assert_eq!(
            told(1_795_629_889_120_000),
            r#""2026-11-25T18:04:49.120000Z""#
        );
    }
}
