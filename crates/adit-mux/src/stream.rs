//! One stream: two halves that end separately, and the one reason when both end by accident.
//!
//! ```text
//!  receiving half                         sending half
//!  Open ──end or trailers──▶ Ended        Open ──write(.., end)──▶ Ending ──last frame pulled──▶ Ended
//!    └────────── reset by either side, or the session's end: `failure`, for both at once ──────────┘
//! ```

use std::task::{Context, Waker};

use bytes::Bytes;

use crate::{Moment, error::StreamError, queue::Queue, window::Window};

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) recv: Receiving,
    pub(crate) send: Sending,
    /// Set once: why the stream ended before its end.
    pub(crate) failure: Option<StreamError>,
    /// Whoever waits to hear of the failure beside something else.
    pub(crate) failure_waker: Option<Waker>,
    /// Whether someone holds a handle to it. Without one it stays only to send what was already written.
    pub(crate) is_held: bool,
    /// When it is cut.
    pub(crate) deadline: Option<Moment>,
    /// On whose behalf it runs; an opaque number.
    pub(crate) owner: u64,
}

#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) heads: Queue<Bytes>,
    /// What `heads` take.
    pub(crate) head_bytes: usize,
    /// Whether a head came: nothing else may come before it. The acceptor, whose head came with the open, starts with true.
    pub(crate) has_begun: bool,
    pub(crate) data: Queue<Bytes>,
    /// What `heads`, `data` and `trailers` take, see [`cost`].
    pub(crate) buffered: usize,
    pub(crate) trailers: Option<Bytes>,
    pub(crate) has_ended: bool,
    pub(crate) window: Window,
    pub(crate) waker: Option<Waker>,
}

#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) heads: Queue<Bytes>,
    pub(crate) data: Queue<Bytes>,
    /// Bytes in `data`.
    pub(crate) queued: usize,
    pub(crate) trailers: Option<Bytes>,
    pub(crate) state: SendState,
    pub(crate) credit: u64,
    /// What is left of this stream's turn.
    pub(crate) turn: usize,
    /// Whether a head was sent: the acceptor has done its work then, and being cancelled is no abuse any more.
    pub(crate) has_begun: bool,
    /// Whether it stands in the session's list of those with something to send.
    pub(crate) is_ready: bool,
    /// Whether it has data and no credit: counted once per stall.
    pub(crate) is_stalled: bool,
    pub(crate) waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendState {
    Open,
    Ending,
    Ended,
}

impl Stream {
    pub(crate) fn new(window: Window, credit: u32) -> Self {
        Self {
            recv: Receiving {
                heads: Queue::default(),
                head_bytes: 0,
                has_begun: false,
                data: Queue::default(),
                buffered: 0,
                trailers: None,
                has_ended: false,
                window,
                waker: None,
            },
            send: Sending {
                heads: Queue::default(),
                data: Queue::default(),
                queued: 0,
                trailers: None,
                state: SendState::Open,
                credit: credit.into(),
                turn: 0,
                has_begun: false,
                is_ready: false,
                is_stalled: false,
                waker: None,
            },
            failure: None,
            failure_waker: None,
            is_held: true,
            deadline: None,
            owner: 0,
        }
    }

    /// Nothing more will happen on the wire.
    pub(crate) fn is_over(&self) -> bool {
        self.failure.is_some() || (self.recv.has_ended && self.send.state == SendState::Ended)
    }
}

impl Receiving {
    /// Keeps a head; says what that takes.
    pub(crate) fn push_head(&mut self, head: Bytes) -> usize {
        let cost = cost(&head);
        self.head_bytes += cost;
        self.buffered += cost;
        self.heads.push(head);
        cost
    }

    /// Keeps data; says what that takes.
    pub(crate) fn push_data(&mut self, data: Bytes) -> usize {
        let cost = cost(&data);
        self.buffered += cost;
        self.data.push(data);
        cost
    }

    /// Keeps trailers, which come once; says what that takes.
    pub(crate) fn put_trailers(&mut self, trailers: Bytes) -> usize {
        let cost = cost(&trailers);
        self.buffered += cost;
        self.trailers = Some(trailers);
        cost
    }

    /// The next head, and what it took.
    pub(crate) fn pop_head(&mut self) -> Option<(Bytes, usize)> {
        let head = self.heads.pop()?;
        let cost = cost(&head);
        self.head_bytes -= cost;
        self.buffered -= cost;
        Some((head, cost))
    }

    /// The next data, and what it took.
    pub(crate) fn pop_data(&mut self) -> Option<(Bytes, usize)> {
        let data = self.data.pop()?;
        let cost = cost(&data);
        self.buffered -= cost;
        Some((data, cost))
    }

    /// The trailers, and what they took.
    pub(crate) fn take_trailers(&mut self) -> Option<(Bytes, usize)> {
        let trailers = self.trailers.take()?;
        let cost = cost(&trailers);
        self.buffered -= cost;
        Some((trailers, cost))
    }

    /// Lets go of everything; says what it took.
    pub(crate) fn drop_all(&mut self) -> usize {
        self.heads.clear();
        self.head_bytes = 0;
        self.data.clear();
        self.trailers = None;
        std::mem::take(&mut self.buffered)
    }

    /// What `buffered` must be.
    pub(crate) fn count(&self) -> usize {
        self.heads
            .iter()
            .chain(self.data.iter())
            .chain(&self.trailers)
            .map(cost)
            .sum()
    }

    /// The peer's half ended, and everything it held was read.
    pub(crate) fn is_drained(&self) -> bool {
        self.has_ended && self.data.is_empty() && self.trailers.is_none()
    }
}

impl Sending {
    /// What `queued` must be.
    pub(crate) fn count(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }

    /// Whether a turn would get something onto the wire.
    pub(crate) fn can_send(&self) -> bool {
        if self.data.is_empty() {
            self.state == SendState::Ending
        } else {
            self.credit > 0
        }
    }
}

/// Leaves a waker, without cloning one that is already there.
pub(crate) fn wait(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// What an item that was received counts for: a byte in a frame of its own takes far more than a byte to keep, and a peer that
/// sends nothing else must not get around the bounds.
fn cost(item: &Bytes) -> usize {
    item.len().max(MIN_ITEM_COST)
}

/// A place in a queue, which doubles as it grows, and a small buffer's share of the allocator.
const MIN_ITEM_COST: usize = 128;
