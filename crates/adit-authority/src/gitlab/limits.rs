//! What GitLab says about how often it may be asked: `Retry-After` and `RateLimit-*`. Read by [`super::line`] from every answer.
//! Invariant: a limit that is a user's own stops questions about that user's token alone, so that a user who has used up what
//! GitLab allows them does not lock out everybody else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header::RETRY_AFTER};

/// Whom a limit holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The user behind the token.
    Token,
    /// This relay.
    Relay,
}

/// After a 429 that does not say more.
const UNSAID: Duration = Duration::from_secs(10);
/// Beyond that somebody has made a mistake.
const MOST: Duration = Duration::from_mins(10);

/// How long to wait after a 429.
pub(super) fn after_too_many(headers: &HeaderMap, now: SystemTime) -> Duration {
    retry_after(headers)
        .or_else(|| reset(headers, now))
        .unwrap_or(UNSAID)
        .clamp(Duration::from_secs(1), MOST)
}

/// How long to wait after any other answer, if it says that it was the last for now.
pub(super) fn after_the_last(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let remaining = number(headers, "ratelimit-remaining")?;
    (remaining == 0).then(|| reset(headers, now).unwrap_or(UNSAID).min(MOST))
}

/// Seconds; GitLab sends no dates.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = number(headers, RETRY_AFTER.as_str())?;
    Some(Duration::from_secs(seconds).min(MOST))
}

/// GitLab names its limits; those of users begin with `throttle_authenticated_`.
pub(super) fn whose(headers: &HeaderMap) -> Whose {
    let name = headers.get("ratelimit-name").map(|name| name.as_bytes());
    match name {
        Some(name) if name.starts_with(b"throttle_authenticated_") => Whose::Token,
        Some(_) | None => Whose::Relay,
    }
}

/// `RateLimit-Reset`: a moment, in seconds since 1970.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let moment =
        UNIX_EPOCH.checked_add(Duration::from_secs(number(headers, "ratelimit-reset")?))?;
    Some(moment.duration_since(now).unwrap_or_default())
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn headers(fields: &[(&'static str, String)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn seconds(fields: &[(&'static str, String)]) -> u64 {
        after_too_many(&headers(fields), now()).as_secs()
    }

    #[test]
    fn a_429_says_how_long_to_wait() {
        assert_eq!(seconds(&[("retry-after", "42".into())]), 42);
        let reset = |in_seconds: i64| {
            let moment = NOW.checked_add_signed(in_seconds).unwrap();
            ("ratelimit-reset", moment.to_string())
        };
        assert_eq!(seconds(&[reset(30)]), 30);
        assert_eq!(seconds(&[reset(-30)]), 1);
        assert_eq!(seconds(&[reset(30), ("retry-after", "7".into())]), 7);
        for odd in ["", "soon", "-1", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(seconds(&[("retry-after", odd.into())]), 10, "{odd}");
        }
        assert_eq!(seconds(&[("retry-after", u64::MAX.to_string())]), 600);
        assert_eq!(seconds(&[("ratelimit-reset", u64::MAX.to_string())]), 10);
    }

    #[test]
    fn the_last_answer_for_now_says_so() {
        let last = |remaining: &str| {
            let fields = [
                ("ratelimit-remaining", remaining.to_owned()),
                ("ratelimit-reset", (NOW + 20).to_string()),
            ];
            after_the_last(&headers(&fields), now())
        };
        assert_eq!(last("0"), Some(Duration::from_secs(20)));
        assert_eq!(last("1"), None);
        assert_eq!(after_the_last(&HeaderMap::new(), now()), None);
    }

    #[test]
    fn a_users_own_limit_is_told_from_one_of_all() {
        let named = |name: &str| whose(&headers(&[("ratelimit-name", name.into())]));
        assert_eq!(named("throttle_authenticated_api"), Whose::Token);
        assert_eq!(named("throttle_unauthenticated_api"), Whose::Relay);
        assert_eq!(named("anything"), Whose::Relay);
        assert_eq!(whose(&HeaderMap::new()), Whose::Relay);
    }
}
