//! Whether the peer is alive, how far away it is, and what is due when.

use adit_proto::tunnel::{self as proto, ResetReason};

use crate::{
    Config, Distance, Moment, Session, decode::field, encode, error::SessionError, session::Phase,
};

/// What was heard and when, and the pings.
#[derive(Debug)]
pub(super) struct Liveness {
    last_heard: Moment,
    pub(super) pinged: Option<Moment>,
    token: u64,
    distance: Distance,
    last_sample: Option<Moment>,
    /// When the peer was first asked whether it is there, of all that it has not been heard since.
    asked: Option<Moment>,
    use_of_it: Use,
    interval: Moment,
    busy_interval: Moment,
    common_clock: Option<Moment>,
    /// How long the peer's answer may take.
    patience: Moment,
}

/// Whether anybody waits for the peer. It is not asked the moment a stream ends and the next begins, so that an alarm is not set anew for
/// each of many that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// A stream is open, or was since the peer was last heard.
    Busy,
    /// None was for all of the busy interval.
    Idle,
}

impl Liveness {
    pub(super) fn new(config: &Config, now: Moment) -> Self {
        let busy_interval = config.busy_ping_interval.min(config.ping_interval);
        Self {
            last_heard: now,
            pinged: None,
            token: 0,
            distance: Distance::default(),
            last_sample: None,
            asked: None,
            use_of_it: Use::Idle,
            interval: config.ping_interval,
            busy_interval,
            common_clock: config.common_clock,
            patience: config.dead_after.saturating_sub(busy_interval),
        }
    }

    pub(super) fn heard(&mut self, now: Moment) {
        self.last_heard = now;
        self.asked = None;
    }

    /// A stream was opened: somebody waits for the peer from now on.
    pub(super) fn used(&mut self) {
        self.use_of_it = Use::Busy;
    }

    pub(super) fn distance(&self) -> &Distance {
        &self.distance
    }

    /// A pong; false when it answers no ping that is out.
    #[must_use]
    pub(super) fn pong(&mut self, token: u64, now: Moment) -> bool {
        let Some(sent) = self.pinged.take_if(|_| token == self.token) else {
            return false;
        };
        self.distance.measured(now.saturating_sub(sent), now);
        self.last_sample = Some(now);
        true
    }

    /// Whether the round trip is not known, or was measured so long ago.
    fn is_older(&self, age: Moment, now: Moment) -> bool {
        self.last_sample
            .is_none_or(|at| now.saturating_sub(at) >= age)
    }

    /// `None` as long as it was not asked: not having been heard is its fault only then.
    fn dead_at(&self) -> Option<Moment> {
        Some(self.asked? + self.patience)
    }

    fn ping_at(&self) -> Moment {
        // A ping that only measures puts no question off.
        let asked_last = self.asked.and(self.pinged).unwrap_or_default();
        let since = self.last_heard.max(asked_last);
        match self.use_of_it {
            Use::Busy => since + self.busy_interval,
            Use::Idle => self.with_others(since + self.interval),
        }
    }

    /// The last whole step of the common clock until then. A little sooner, not later: what forgets a silent connection does not wait.
    fn with_others(&self, latest: Moment) -> Moment {
        let (Some(clock), step) = (self.common_clock, self.interval / STEPS) else {
            return latest;
        };
        let past_step = (clock + latest).as_nanos().checked_rem(step.as_nanos());
        let past_step = past_step.and_then(|nanos| u64::try_from(nanos).ok());
        latest - Moment::from_nanos(past_step.unwrap_or_default())
    }
}

impl Session {
    /// When [`Session::handle_timeout`] wants to be called next, if nothing happens before. `None` once the session is over.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        match self.phase {
            Phase::Over(_) => None,
            Phase::Handshake { .. } | Phase::Open if self.account.is_called() => Some(self.now),
            Phase::Handshake { deadline } => Some(deadline),
            Phase::Open => {
                let dead_at = self.liveness.dead_at().unwrap_or(Moment::MAX);
                Some(dead_at.min(self.liveness.ping_at()).min(self.next_deadline))
            }
        }
    }

    /// Says what time it is, and does nothing that may be due: for a user who acts while the wire is silent.
    pub fn advance(&mut self, now: Moment) {
        self.now = self.now.max(now);
    }

    /// Does what is due at `now`. Calling it too early or too late is harmless.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.advance(now);
        let now = self.now;
        match self.phase {
            Phase::Over(_) => return,
            Phase::Handshake { deadline } if now >= deadline => {
                return self.close(SessionError::HandshakeTimedOut);
            }
            Phase::Handshake { .. } | Phase::Open => {}
        }
        if self.account.come() {
            self.relieve();
        }
        if self.liveness.dead_at().is_some_and(|dead| now >= dead) {
            let silence = now.saturating_sub(self.liveness.last_heard);
            return self.close(SessionError::Silent(silence.as_secs()));
        }
        if self.is_open() && now >= self.liveness.ping_at() {
            self.ask();
        }
        if now >= self.next_deadline {
            self.cut_expired();
        }
    }

    /// Asks a peer that was silent for long, if that is too long for what is open.
    fn ask(&mut self) {
        if self.streams.is_empty() {
            self.liveness.use_of_it = Use::Idle;
        }
        if self.now >= self.liveness.ping_at() {
            self.liveness.asked.get_or_insert(self.now);
            self.ping();
        }
    }

    /// Measures the path when windows are being judged and the last measure is old.
    pub(super) fn measure_if_stale(&mut self) {
        self.measure_if_older(SAMPLE_AGE);
    }

    /// Measures the path beside a pong, in one write with it: whom the peer keeps asking never asks by itself.
    pub(super) fn measure_along(&mut self) {
        self.measure_if_older(IDLE_SAMPLE_AGE);
    }

    fn measure_if_older(&mut self, age: Moment) {
        if self.liveness.pinged.is_none() && self.liveness.is_older(age, self.now) {
            self.ping();
        }
    }

    fn ping(&mut self) {
        self.liveness.token += 1;
        self.liveness.pinged = Some(self.now);
        let ping = proto::Ping {
            token: self.liveness.token,
        };
        self.control(|out| encode::message(out, 0, field::PING, &ping));
    }

    fn cut_expired(&mut self) {
        let now = self.now;
        let is_expired =
            |deadline: Option<Moment>| deadline.is_some_and(|deadline| deadline <= now);
        let expired: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| is_expired(stream.deadline))
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            self.cut(
                id,
                ResetReason::PermitEnded,
                "the permit it ran under has expired",
            );
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.deadline = None;
                self.deadlines -= 1;
            }
        }
        self.next_deadline = if self.deadlines == 0 {
            Moment::MAX
        } else {
            let next = self
                .streams
                .values()
                .filter_map(|stream| stream.deadline)
                .min();
            next.map_or(Moment::MAX, |next| next.max(now + DEADLINE_STEP))
        };
    }
}

/// Of the common clock, in the interval of questions: a second in that of the product.
const STEPS: u32 = 25;

/// A round trip older than this is measured again while windows are judged.
const SAMPLE_AGE: Moment = Moment::from_secs(1);

/// A round trip older than this is measured again when nothing else happens, for whoever looks at it: each measure wakes a tunnel that
/// has nothing else to do.
const IDLE_SAMPLE_AGE: Moment = Moment::from_secs(300);

/// Deadlines are kept to this precision: looking at all streams costs something.
pub(super) const DEADLINE_STEP: Moment = Moment::from_millis(250);
