//! What must hold of a session between any two calls, as one function. Called by simulations and fuzz targets after every step.

use rustc_hash::FxHashSet;

use crate::{
    Session, StreamId,
    config::MAX_CREDIT,
    session::{Phase, Role},
    stream::{SendState, Stream},
};

impl Session {
    /// Looks at everything, which takes time in proportion to what the session holds.
    ///
    /// # Panics
    /// Something that the crate's documentation promises does not hold: a bug in this crate, whatever the peer did.
    #[doc(hidden)]
    pub fn assert_invariants(&self) {
        self.assert_sums();
        for (id, stream) in &self.streams {
            stream.assert_invariants(*id);
        }
        // What is due does not matter any more once the session is over.
        if self.end().is_none() {
            self.assert_nothing_is_forgotten();
        }
    }

    fn assert_sums(&self) {
        let sum = |of: fn(&Stream) -> usize| self.streams.values().map(of).sum::<usize>();
        assert_eq!(
            self.account.held(),
            sum(|stream| stream.recv.buffered),
            "unread bytes"
        );
        assert_eq!(
            self.queued,
            sum(|stream| stream.send.queued),
            "unsent bytes"
        );
        assert_eq!(
            self.deadlines,
            sum(|stream| usize::from(stream.deadline.is_some())),
            "streams with a deadline"
        );
        assert!(
            self.account.held() <= self.config.max_buffered_bytes,
            "the session's bound on unread bytes"
        );
        let start = self.config.limits.stream_credit;
        let grown: usize = self
            .streams
            .values()
            .map(|stream| stream.recv.window.beyond(start))
            .sum();
        assert_eq!(self.grown, grown, "growth of windows");
    }

    fn assert_nothing_is_forgotten(&self) {
        let heads: FxHashSet<StreamId> = self.outgoing.heads.iter().copied().collect();
        let ready: FxHashSet<StreamId> = self.outgoing.ready.iter().copied().collect();
        let accepted: FxHashSet<StreamId> = self.accepted.iter().copied().collect();
        assert_eq!(
            ready.len(),
            self.outgoing.ready.len(),
            "each stream has one turn"
        );
        let bound = 2 * (self.config.limits.max_streams as usize + 1);
        assert!(
            self.accepted.len() <= bound,
            "streams nobody accepts yet: {}",
            self.accepted.len()
        );
        for (id, stream) in &self.streams {
            let (send, is_well) = (&stream.send, stream.failure.is_none());
            assert!(
                !is_well || send.heads.is_empty() || heads.contains(id),
                "stream {id} has a head to send and no place"
            );
            assert!(
                !is_well || !send.can_send() || send.is_ready,
                "stream {id} has data to send and no turn"
            );
            assert!(
                !send.is_ready || !is_well || ready.contains(id),
                "stream {id} has lost its turn"
            );
            assert!(
                stream.is_held || !stream.is_over(),
                "stream {id} is over and stays"
            );
            let is_answering = self.role == Role::Acceptor && send.state == SendState::Open;
            assert!(
                stream.is_held || !is_answering || accepted.contains(id),
                "stream {id} can never be accepted"
            );
            if matches!(self.phase, Phase::Open)
                && let Some(deadline) = stream.deadline
            {
                let step = super::liveness::DEADLINE_STEP;
                assert!(
                    self.next_deadline <= deadline.max(self.now) + step,
                    "stream {id} outlives its deadline"
                );
            }
        }
    }
}

impl Stream {
    fn assert_invariants(&self, id: StreamId) {
        let (recv, send) = (&self.recv, &self.send);
        recv.window.assert_invariants();
        assert_eq!(recv.buffered, recv.count(), "stream {id}: unread bytes");
        assert_eq!(send.queued, send.count(), "stream {id}: unsent bytes");
        assert!(
            send.credit <= MAX_CREDIT.into(),
            "stream {id}: credit of {}",
            send.credit
        );
        assert!(
            send.state != SendState::Ended || send.data.is_empty(),
            "stream {id}: data behind the end"
        );
        let is_empty = send.heads.is_empty() && send.data.is_empty() && send.trailers.is_none();
        assert!(
            self.failure.is_none() || is_empty,
            "stream {id}: something to send after it failed"
        );
    }
}
