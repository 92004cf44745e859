//! Holds records from when they are made until they are written: a queue per shard, so that cores do not wait for each other.
//!
//! `entry.rs` fills it on a request's way, `writer.rs` empties it from a thread of its own. Invariant: it holds no more than it may,
//! but for what a [`Room`] was promised for; whoever holds one will find room.

use std::{sync::Arc, time::SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    clock::Clock,
    json::Object,
    wake::{Call, Wake},
};

/// What one exchange is promised: a record at its beginning and one at its end, of a usual size.
const PROMISED: usize = 2 * USUAL;
/// Bytes of a record, about.
const USUAL: usize = 1 << 10;
/// Bytes that are written at once, without waiting for more.
const MUCH: usize = 256 << 10;

/// The records of one shard.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    room: Notify,
    wake: Arc<Wake>,
}

/// How much may lie in a queue, and come into it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// Bytes.
    pub(super) most: usize,
    pub(super) strangers_per_second: u32,
}

#[derive(Debug, Default)]
struct State {
    bounds: Bounds,
    /// Not taken yet, whole lines.
    lines: Vec<u8>,
    /// Bytes that the writer has taken and not written yet.
    writing: usize,
    /// Bytes for which room is promised.
    promised: usize,
    /// What was asked of the writer since it last came.
    called: Call,
    clock: Clock,
    strangers: Strangers,
    /// Records that are missing since the last that was made.
    gap: Missing,
    stats: Stats,
}

/// Records that nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// For want of room.
    pub(crate) dropped: u64,
    /// Of strangers, who were too many.
    pub(crate) withheld: u64,
    /// Made, and thrown away by the collector.
    pub(crate) rejected: u64,
}

/// What became of all records so far, and what lies here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) made: u64,
    pub(crate) missing: Missing,
    /// Bytes, promised ones included.
    pub(crate) bytes: usize,
}

impl std::iter::Sum for Stats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum.made += one.made;
            sum.missing.add(one.missing);
            sum.bytes += one.bytes;
            sum
        })
    }
}

/// On whose behalf a record is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behalf {
    /// An exchange's that holds a [`Room`].
    Promised,
    /// Some job's.
    Known,
    /// Somebody's without a token that an authority vouches for.
    Stranger,
}

impl Queue {
    pub(super) fn new(bounds: Bounds, wake: Arc<Wake>) -> Arc<Self> {
        let state = State {
            bounds,
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            room: Notify::new(),
            wake,
        })
    }

    /// Has other bounds from now on. What lies here beyond them is written like the rest.
    pub(super) fn bound(&self, bounds: Bounds) {
        self.state.lock().bounds = bounds;
        self.room.notify_waiters();
    }

    /// Bytes that may lie here.
    pub(super) fn most(&self) -> usize {
        self.state.lock().bounds.most
    }

    /// Promises room for one exchange, if there is any.
    pub(super) fn promise(self: &Arc<Self>) -> Option<Room> {
        let mut state = self.state.lock();
        if !state.has_room(PROMISED) {
            return None;
        }
        state.promised += PROMISED;
        drop(state);
        Some(Room(Arc::clone(self)))
    }

    /// Waits until there is room. Cancel-safe.
    pub(super) async fn room(self: &Arc<Self>) -> Room {
        loop {
            let mut freed = std::pin::pin!(self.room.notified());
            freed.as_mut().enable();
            if let Some(room) = self.promise() {
                return room;
            }
            freed.await;
        }
    }

    /// Adds the record that `fill` writes after its time, or counts it as missing.
    pub(super) fn add(&self, behalf: Behalf, fill: impl FnOnce(&mut Object<'_>)) {
        let now = SystemTime::now();
        let mut state = self.state.lock();
        if !state.admits(behalf, now) {
            return;
        }
        state.tell_gap(now);
        state.line(now, fill);
        state.stats.made += 1;
        let call = if state.lines.len() >= MUCH {
            Call::Now
        } else {
            Call::Soon
        };
        let is_new = call > state.called;
        state.called = state.called.max(call);
        drop(state);
        if is_new {
            self.wake.call(call);
        }
    }

    /// For the writer: all lines so far, in exchange for an empty buffer.
    pub(super) fn take(&self, empty: Vec<u8>) -> Vec<u8> {
        let mut state = self.state.lock();
        state.called = Call::default();
        state.writing += state.lines.len();
        std::mem::replace(&mut state.lines, empty)
    }

    /// For the writer: so many of the bytes that it took are gone.
    pub(super) fn gone(&self, bytes: usize) {
        self.state.lock().writing -= bytes;
        self.room.notify_waiters();
    }

    /// For the writer: it lost records that it had taken.
    pub(super) fn lost(&self, records: u64) {
        self.state.lock().stats.missing.dropped += records;
    }

    /// For the writer: of the records that it took, so many are gone because the collector takes no such.
    pub(super) fn rejected(&self, records: u64) {
        let missing = Missing {
            rejected: records,
            ..Missing::default()
        };
        let mut state = self.state.lock();
        state.gap.add(missing);
        state.stats.missing.add(missing);
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.state.lock();
        Stats {
            bytes: state.bytes(),
            ..state.stats
        }
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.lines.len() + self.writing + self.promised
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes() + bytes <= self.bounds.most
    }

    fn admits(&mut self, behalf: Behalf, now: SystemTime) -> bool {
        let strangers_per_second = self.bounds.strangers_per_second;
        let missing = match behalf {
            Behalf::Promised => return true,
            Behalf::Stranger if !self.strangers.admits(now, strangers_per_second) => Missing {
                withheld: 1,
                ..Missing::default()
            },
            Behalf::Known | Behalf::Stranger if self.has_room(USUAL) => return true,
            Behalf::Known | Behalf::Stranger => Missing {
                dropped: 1,
                ..Missing::default()
            },
        };
        self.gap.add(missing);
        self.stats.missing.add(missing);
        false
    }

    /// Says in the log itself that something is missing there.
    fn tell_gap(&mut self, now: SystemTime) {
        let gap = std::mem::take(&mut self.gap);
        if gap == Missing::default() {
            return;
        }
        self.line(now, |record| {
            record.text("event", "gap");
            record.number("dropped", gap.dropped);
            record.number("withheld", gap.withheld);
            if gap.rejected > 0 {
                record.number("rejected", gap.rejected);
            }
        });
    }

    fn line(&mut self, now: SystemTime, fill: impl FnOnce(&mut Object<'_>)) {
        let mut record = Object::begin(&mut self.lines);
        record.raw("time", |into| self.clock.write(now, into));
        fill(&mut record);
        record.end();
        self.lines.push(b'\n');
    }
}

impl Missing {
    fn add(&mut self, more: Self) {
        self.dropped += more.dropped;
        self.withheld += more.withheld;
        self.rejected += more.rejected;
    }
}

/// How many records strangers may still cause in this second.
#[derive(Debug, Default)]
struct Strangers {
    second: u64,
    seen: u32,
}

impl Strangers {
    fn admits(&mut self, now: SystemTime, per_second: u32) -> bool {
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        if second != self.second {
            *self = Self { second, seen: 0 };
        }
        self.seen = self.seen.saturating_add(1);
        self.seen <= per_second
    }
}

/// Room in a queue for the records of one exchange; given back when dropped.
#[derive(Debug)]
pub(super) struct Room(Arc<Queue>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.state.lock().promised -= PROMISED;
        self.0.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
