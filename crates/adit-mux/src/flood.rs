//! How many frames that get nobody anywhere a peer may send: a bucket that refills with time and with finished streams.
//!
//! The abuse it stops is that of HTTP/2's rapid reset (CVE-2023-44487) and ping floods (CVE-2019-9512): frames that cost their
//! sender nothing and the receiver work.

use crate::{Moment, error::Misbehaviour};

/// A bucket of tokens. An honest peer never comes near its end: it pings once a second, and at worst all its streams are
/// cancelled at once, which is why the bucket holds several tokens for each stream that may run.
#[derive(Debug)]
pub(crate) struct Tolerance {
    tokens: u32,
    capacity: u32,
    per_millisecond: u32,
    refilled: Moment,
}

impl Tolerance {
    /// What a side that runs so many streams at most tolerates of its peer.
    pub(crate) fn new(max_streams: u32, now: Moment) -> Self {
        Self::sized(max_streams, 1, now)
    }

    /// What an opener allows itself, so that its peer, which runs so many streams at most, never loses patience: half of that,
    /// because what is in flight is counted here first.
    pub(crate) fn of_opener(max_streams: u32, now: Moment) -> Self {
        Self::sized(max_streams, 2, now)
    }

    fn sized(max_streams: u32, share: u32, now: Moment) -> Self {
        let whole = max_streams.saturating_mul(PER_STREAM).saturating_add(BASE);
        let capacity = whole / share;
        Self {
            tokens: capacity,
            capacity,
            per_millisecond: PER_MILLISECOND / share,
            refilled: now,
        }
    }

    /// Whether so many frames could be paid for at once.
    pub(crate) fn affords(&mut self, frames: usize, now: Moment) -> bool {
        if (self.tokens as usize) < frames {
            self.refill(now);
        }
        self.tokens as usize >= frames
    }

    /// Pays for a frame; an error when nothing is left.
    pub(crate) fn spend(
        &mut self,
        cost: u32,
        what: &'static str,
        now: Moment,
    ) -> Result<(), Misbehaviour> {
        if self.tokens < cost {
            self.refill(now);
        }
        self.tokens = self
            .tokens
            .checked_sub(cost)
            .ok_or(Misbehaviour::Flood(what))?;
        Ok(())
    }

    /// A stream came to its proper end: what opening it may have cost is forgiven.
    pub(crate) fn reward(&mut self) {
        self.tokens = self.capacity.min(self.tokens + 1);
    }

    fn refill(&mut self, now: Moment) {
        let passed = now.saturating_sub(self.refilled).as_millis();
        let earned = u32::try_from(passed)
            .unwrap_or(self.capacity)
            .saturating_mul(self.per_millisecond);
        if earned > 0 {
            self.tokens = self.capacity.min(self.tokens.saturating_add(earned));
            self.refilled = now;
        }
    }
}

/// A reset, an unknown frame, a frame for a stream that is gone and has nothing in flight.
pub(crate) const COST: u32 = 1;
/// A ping makes us answer.
pub(crate) const PING_COST: u32 = 20;

const BASE: u32 = 10_000;
const PER_STREAM: u32 = 3;
const PER_MILLISECOND: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_an_error_and_patience_returns_with_time() {
        let mut tolerance = Tolerance::new(0, Moment::ZERO);
        for _ in 0..BASE {
            tolerance.spend(COST, "resets", Moment::ZERO).unwrap();
        }
        assert_eq!(
            tolerance.spend(COST, "resets", Moment::ZERO),
            Err(Misbehaviour::Flood("resets"))
        );
        tolerance
            .spend(PING_COST, "pings", Moment::from_millis(10))
            .unwrap();
        assert!(
            tolerance
                .spend(COST, "pings", Moment::from_millis(10))
                .is_err()
        );
    }

    #[test]
    fn finished_streams_pay_for_themselves() {
        let mut tolerance = Tolerance::new(0, Moment::ZERO);
        for _ in 0..3 * BASE {
            tolerance.spend(COST, "resets", Moment::ZERO).unwrap();
            tolerance.reward();
        }
    }
}
