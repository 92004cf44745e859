//! What the session holds for readers and for the wire, and who lets go when that is too much.

use adit_proto::tunnel::ResetReason;

use crate::{Session, StreamId, budget::Pressure};

impl Session {
    /// Counts bytes that lie unread. Past the session's bound, the stream that holds most of them is reset; past the process's,
    /// that of the session that holds most.
    pub(super) fn count_buffered(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        match self.account.take(bytes) {
            Pressure::None => {}
            Pressure::Own => {
                // It holds no less than what has just come.
                self.cut_largest();
            }
            Pressure::Other(driver) => self.wakes.push(driver),
        }
        if self.account.held() > self.config.max_buffered_bytes {
            self.cut_largest();
        }
    }

    /// Lets go until the process holds no more than it should. Done when this session was called on, since it held most.
    pub(super) fn relieve(&mut self) {
        while self.account.is_pressed() && self.cut_largest() {}
    }

    /// Resets the stream that holds most of what lies unread; whether there was one.
    fn cut_largest(&mut self) -> bool {
        let largest = self
            .streams
            .iter()
            .max_by_key(|(_, stream)| stream.recv.buffered)
            .filter(|(_, stream)| stream.recv.buffered > 0)
            .map(|(id, _)| *id);
        if let Some(id) = largest {
            self.account.overloaded();
            self.cut(
                id,
                ResetReason::Overloaded,
                "its reader fell behind, and the bound on unread bytes was reached",
            );
        }
        largest.is_some()
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
        self.account.give_back(bytes);
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
