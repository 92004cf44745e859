//! What the relay holds while strangers invent tokens, looked at every second.

use std::{fmt, time::Duration};

use adit_tests::Metrics;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::place::Place;

/// By then connections are made and queues have filled: whatever grows afterwards grows with the tokens.
const FIRST: usize = 10;

/// One look after the other.
#[derive(Debug)]
pub(super) struct Held(Vec<Look>);

#[derive(Clone, Copy, Debug)]
struct Look {
    mib: f64,
    tokens: f64,
    token_bytes: f64,
}

impl Held {
    /// From now until then.
    pub(super) async fn of(place: &Place, until: Instant) -> Self {
        let mut looks = Vec::new();
        let mut turns = interval(Duration::from_secs(1));
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < until {
            turns.tick().await;
            looks.push(Look::at(&place.metrics().await));
        }
        Self(looks)
    }

    fn mib_at(&self, second: usize) -> f64 {
        let at = second.min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(0.0, |look| look.mib)
    }

    fn most(&self, of: impl Fn(&Look) -> f64) -> f64 {
        self.0.iter().map(of).fold(0.0, f64::max)
    }
}

impl Look {
    fn at(metrics: &Metrics) -> Self {
        Self {
            mib: metrics.value("process_resident_memory_bytes") / f64::from(1 << 20),
            tokens: metrics.sum("adit_relay_gitlab_tokens"),
            token_bytes: metrics.sum("adit_relay_gitlab_token_bytes"),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [start, first, last] = [0, FIRST, usize::MAX].map(|second| self.mib_at(second));
        let [mib, tokens, bytes] = [
            self.most(|look| look.mib),
            self.most(|look| look.tokens),
            self.most(|look| look.token_bytes),
        ];
        write!(
            f,
            "{start:.1} MiB, {first:.1} after {FIRST} s, {last:.1} at the end, {mib:.1} at most; {tokens} tokens at most, of {bytes} bytes"
        )
    }
}
