//! One direction of a connection: it takes a batch when its line is free, and gives it out later, in other pieces.

use std::collections::VecDeque;

use adit_mux::{Batch, Moment};
use bytes::{Buf, Bytes};

/// Bytes under way.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// How long a byte is under way.
    pub(crate) delay: Moment,
    /// How fast the line takes bytes; `None` for at once.
    pub(crate) bytes_per_second: Option<u64>,
    /// Sizes that pieces are cut to, one after the other and round again; empty for as they were sent.
    pub(crate) pieces: Vec<usize>,
    /// A connection that is lost takes everything and gives nothing.
    pub(crate) is_lost: bool,
    /// Bytes taken since the start.
    pub(crate) carried: u64,
    next_piece: usize,
    free_at: Moment,
    under_way: VecDeque<(Moment, Bytes)>,
}

impl Wire {
    /// Whether the line has room for a batch.
    pub(crate) fn is_free(&self, now: Moment) -> bool {
        self.free_at <= now
    }

    /// Takes a batch.
    pub(crate) fn carry(&mut self, mut batch: Batch, now: Moment) {
        let bytes = batch.copy_to_bytes(batch.remaining());
        self.carried += bytes.len() as u64;
        if let Some(rate) = self.bytes_per_second {
            let takes = Moment::from_nanos(bytes.len() as u64 * 1_000_000_000 / rate);
            self.free_at = self.free_at.max(now) + takes;
        }
        if !self.is_lost {
            let at = self.free_at.max(now) + self.delay;
            self.under_way.push_back((at, bytes));
        }
    }

    /// The next piece that has arrived, of at most so many bytes.
    pub(crate) fn arrived(&mut self, now: Moment, at_most: usize) -> Option<Bytes> {
        let has_arrived = |(at, _): &(Moment, Bytes)| *at <= now;
        let size = self.next_piece().min(at_most).max(1);
        let (_, bytes) = self
            .under_way
            .front_mut()
            .filter(|front| has_arrived(front))?;
        let piece = bytes.split_to(size.min(bytes.len()));
        if bytes.is_empty() {
            self.under_way.pop_front();
        }
        Some(piece)
    }

    /// When something can happen here that cannot now.
    pub(crate) fn next_event(&self, now: Moment) -> Option<Moment> {
        let free = (self.free_at > now).then_some(self.free_at);
        let arrival = self.under_way.front().map(|(at, _)| *at);
        free.into_iter().chain(arrival).min()
    }

    fn next_piece(&mut self) -> usize {
        if self.pieces.is_empty() {
            return usize::MAX;
        }
        self.next_piece = (self.next_piece + 1) % self.pieces.len();
        self.pieces[self.next_piece]
    }
}
