//! What the session holds for readers and for the wire, and who lets go when that is too much.

use adit_proto::tunnel::ResetReason;

use crate::{Session, StreamId};

impl Session {
    /// Counts bytes that lie unread, and resets whoever holds most of them when a bound is passed.
    pub(super) fn count_buffered(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.buffered += bytes;
        let fits = self.budget.take(bytes);
        if !fits || self.buffered > self.config.max_buffered_bytes {
            let most = self
                .streams
                .iter()
                .max_by_key(|(_, stream)| stream.recv.buffered)
                .map(|(id, _)| *id);
            if let Some(id) = most {
                self.cut(
                    id,
                    ResetReason::Overloaded,
                    "its reader fell behind, and the bound on unread bytes was reached",
                );
            }
        }
    }

    pub(super) fn drop_received(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let buffered = stream.recv.drop_all();
        self.uncount_buffered(buffered);
    }

    pub(super) fn drop_queued(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.send.data.clear();
        stream.send.heads.clear();
        stream.send.trailers = None;
        let queued = std::mem::take(&mut stream.send.queued);
        self.uncount_queued(queued);
    }

    pub(super) fn uncount_buffered(&mut self, bytes: usize) {
        self.buffered -= bytes;
        self.budget.give_back(bytes);
    }

    pub(super) fn uncount_queued(&mut self, bytes: usize) {
        let was_full = self.queued >= self.config.max_queued_bytes;
        self.queued -= bytes;
        if was_full && self.queued < self.config.max_queued_bytes {
            // Whoever waited for the session's bound rather than its stream's own: rare, so look at all.
            self.wakes.extend(
                self.streams
                    .values_mut()
                    .filter_map(|stream| stream.send.waker.take()),
            );
        }
    }
}
