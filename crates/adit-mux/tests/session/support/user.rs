//! Whoever uses one end of a stream: writes known content, checks what it reads against what the other end wrote.

use std::task::Poll;

use adit_mux::{Read, ResetReason, Session, StreamError, StreamId};
use bytes::Bytes;

use super::{
    alarm::{Alarm, ring},
    content,
    pair::{Pair, Side},
};

/// One end of one stream.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) side: Side,
    pub(crate) id: StreamId,
    pub(crate) is_held: bool,
    pub(crate) sent: Sent,
    pub(crate) seen: Seen,
    /// The one reason why the stream ended before its end, as this user was told.
    pub(crate) failure: Option<String>,
    reader: Alarm,
    writer: Alarm,
}

/// What a user handed to its session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) heads: Vec<usize>,
    pub(crate) bytes: u64,
    pub(crate) end: End,
}

/// How a user's half ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    Open,
    Plain,
    Trailers(usize),
}

/// What a user has read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) heads: usize,
    pub(crate) bytes: u64,
    pub(crate) trailers: bool,
    pub(crate) end: bool,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Something,
    End,
    Failure,
    Nothing,
}

#[derive(Debug)]
enum Item {
    Head(Bytes),
    Read(Read),
    Failure(StreamError),
}

impl User {
    pub(crate) fn new(side: Side, id: StreamId) -> Self {
        Self {
            side,
            id,
            is_held: true,
            sent: Sent::default(),
            seen: Seen::default(),
            failure: None,
            reader: Alarm::default(),
            writer: Alarm::default(),
        }
    }

    /// The bytes of a head, the acceptor's or that of the open.
    pub(crate) fn head_content(side: Side, index: usize, length: usize) -> Bytes {
        content::bytes(3 + side as u64, 1000 * index as u64, length)
    }

    /// Queues body bytes, if there is room; whether there was.
    pub(crate) fn write(&mut self, pair: &mut Pair, length: usize) -> bool {
        if self.sent.end != End::Open || !self.has_room(pair) {
            return false;
        }
        let data = content::bytes(self.seed(), self.sent.bytes, length);
        self.sent.bytes += length as u64;
        self.tell(pair, |session, id| session.write(id, data, false))
    }

    /// Ends this half.
    pub(crate) fn end(&mut self, pair: &mut Pair) -> bool {
        if self.sent.end != End::Open {
            return false;
        }
        self.sent.end = End::Plain;
        self.tell(pair, |session, id| session.write(id, Bytes::new(), true))
    }

    /// Ends this half with trailers.
    pub(crate) fn trailers(&mut self, pair: &mut Pair, length: usize) -> bool {
        if self.sent.end != End::Open {
            return false;
        }
        self.sent.end = End::Trailers(length);
        let trailers = content::bytes(self.seed(), 0, length);
        self.tell(pair, |session, id| session.send_trailers(id, trailers))
    }

    /// Sends a head, which must come before any data.
    pub(crate) fn head(&mut self, pair: &mut Pair, length: usize) -> bool {
        // More at once than is kept for a reader would end the stream.
        let heads: usize = self.sent.heads.iter().map(|length| length + 128).sum();
        if self.sent.end != End::Open || self.sent.bytes > 0 || heads + length > 4 * 65_536 {
            return false;
        }
        let head = Self::head_content(self.side, self.sent.heads.len(), length);
        self.sent.heads.push(length);
        self.tell(pair, |session, id| session.send_head(id, head))
    }

    /// Whether the stream takes more data now.
    pub(crate) fn has_room(&mut self, pair: &mut Pair) -> bool {
        let id = self.id;
        match self.writer.poll(pair.session(self.side), |session, cx| {
            session.poll_room(id, cx)
        }) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(failure)) => {
                self.failed(&failure);
                false
            }
            Poll::Pending => false,
        }
    }

    /// Reads one thing and compares it with what the other end sent.
    pub(crate) fn read(&mut self, pair: &mut Pair, peer: &Sent) -> Found {
        if self.seen.end {
            return Found::End;
        }
        let (id, side) = (self.id, self.side);
        let item = self.reader.poll(pair.session(side), |session, cx| {
            if side == Side::Opener
                && let Poll::Ready(Ok(head)) = session.poll_head(id, cx)
            {
                return Poll::Ready(Item::Head(head));
            }
            session.poll_read(id, cx).map(|read| match read {
                Ok(read) => Item::Read(read),
                Err(failure) => Item::Failure(failure),
            })
        });
        match item {
            Poll::Pending => return Found::Nothing,
            Poll::Ready(Item::Head(head)) => self.check_head(&head, peer),
            Poll::Ready(Item::Read(read)) => self.check_read(read, peer),
            Poll::Ready(Item::Failure(failure)) => {
                self.failed(&failure);
                return Found::Failure;
            }
        }
        if self.seen.end {
            assert!(pair.session(side).is_read_end(id));
            Found::End
        } else {
            Found::Something
        }
    }

    /// Reads what there is.
    pub(crate) fn read_all(&mut self, pair: &mut Pair, peer: &Sent) -> bool {
        let mut has_read = false;
        while self.read(pair, peer) == Found::Something {
            has_read = true;
        }
        has_read
    }

    pub(crate) fn reset(&mut self, pair: &mut Pair, reason: ResetReason) {
        let session = pair.session(self.side);
        session.reset(self.id, reason, "on purpose");
        ring(session);
        pair.check();
    }

    pub(crate) fn release(&mut self, pair: &mut Pair) {
        if std::mem::take(&mut self.is_held) {
            let session = pair.session(self.side);
            session.release(self.id);
            ring(session);
            pair.check();
        }
    }

    /// What distinguishes this half's content from any other's.
    pub(crate) fn seed(&self) -> u64 {
        2 * self.id + self.side as u64
    }

    fn peer_seed(&self) -> u64 {
        2 * self.id + self.side.other() as u64
    }

    /// Calls the session, which may only refuse a stream that has failed.
    fn tell(
        &mut self,
        pair: &mut Pair,
        call: impl FnOnce(&mut Session, StreamId) -> Result<(), StreamError>,
    ) -> bool {
        let session = pair.session(self.side);
        let told = call(session, self.id);
        ring(session);
        if let Err(failure) = &told {
            self.failed(failure);
        }
        told.is_ok()
    }

    fn check_head(&mut self, head: &Bytes, peer: &Sent) {
        assert_eq!(self.seen.bytes, 0, "a head behind data");
        let length = peer.heads[self.seen.heads];
        let expected = Self::head_content(self.side.other(), self.seen.heads, length);
        assert_eq!(head, &expected, "head of stream {}", self.id);
        self.seen.heads += 1;
    }

    fn check_read(&mut self, read: Read, peer: &Sent) {
        let id = self.id;
        match read {
            Read::Data(data) => {
                assert!(!data.is_empty());
                let expected = content::bytes(self.peer_seed(), self.seen.bytes, data.len());
                assert!(data == expected, "data of stream {id}");
                self.seen.bytes += data.len() as u64;
            }
            Read::Trailers(trailers) => {
                assert!(!self.seen.trailers, "trailers of stream {id} come twice");
                assert_eq!(End::Trailers(trailers.len()), peer.end);
                assert_eq!(
                    trailers,
                    content::bytes(self.peer_seed(), 0, trailers.len())
                );
                self.seen.trailers = true;
            }
            Read::End => {
                assert_ne!(peer.end, End::Open, "stream {id} looks complete and is not");
                assert_eq!(self.seen.bytes, peer.bytes, "stream {id} lost data");
                let has_trailers = matches!(peer.end, End::Trailers(_));
                assert_eq!(self.seen.trailers, has_trailers, "trailers of stream {id}");
                self.seen.end = true;
            }
        }
    }

    /// A stream ends with one reason, however often one asks.
    fn failed(&mut self, failure: &StreamError) {
        let failure = format!("{failure:?}");
        let first = self.failure.get_or_insert_with(|| failure.clone());
        assert_eq!(*first, failure, "a second reason for stream {}", self.id);
    }
}
