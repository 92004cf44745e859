//! Decides how long an HTTP/1 connection may wait for a request: long for the first byte of a head, briefly for the rest.
//!
//! hyper has one timeout for both. A short one closes idle connections under clients that are about to use them (Go's keep
//! theirs for 90 s); a long one lets a thousand slow heads sit. `http1.rs` puts [`Patient`] below hyper. Invariant: while
//! an exchange runs there is no deadline.
//!
//! A head that takes too long is an error; a connection that is idle for too long reads as ended, and is closed in good order.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// How long is long, and how long is brief.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Without a byte of the next request.
    pub(crate) idle: Duration,
    /// From the first byte of a head to its end.
    pub(crate) head: Duration,
}

/// Says that an exchange runs; shared by the connection's IO and its service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_set: AtomicBool,
    /// Also of an exchange that is over: an answer that is ready at once leaves no read in between.
    has_begun: AtomicBool,
}

impl Busy {
    /// The exchange runs until the guard is dropped.
    pub(crate) fn begin(&self) -> Exchange {
        self.0.is_set.store(true, Ordering::Relaxed);
        self.0.has_begun.store(true, Ordering::Relaxed);
        Exchange(self.clone())
    }

    fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::Relaxed)
    }

    /// Whether an exchange has begun since this was asked.
    fn has_begun(&self) -> bool {
        self.0.has_begun.swap(false, Ordering::Relaxed)
    }
}

/// One exchange of a connection.
#[derive(Debug)]
pub(crate) struct Exchange(Busy);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.0.is_set.store(false, Ordering::Relaxed);
    }
}

/// What the connection waits for while no exchange runs.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// Nothing was read or asked for since the last exchange.
    Not,
    /// For the first byte, since then.
    Idle(Instant),
    /// For the rest of a head, since then.
    Head(Instant),
}

/// IO that fails with `TimedOut` when a request takes too long to arrive.
#[derive(Debug)]
pub(crate) struct Patient<IO> {
    io: IO,
    patience: Patience,
    busy: Busy,
    waiting: Waiting,
    /// Kept over many requests and set again only when it fires, so that a request costs no timer.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<IO> Patient<IO> {
    pub(crate) fn new(io: IO, patience: Patience) -> (Self, Busy) {
        let busy = Busy::default();
        let patient = Self {
            io,
            patience,
            busy: busy.clone(),
            waiting: Waiting::Not,
            alarm: None,
        };
        (patient, busy)
    }

    pub(crate) fn into_inner(self) -> IO {
        self.io
    }

    /// Ready when the wait has been too long: with an error during a head, else without.
    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let deadline = match self.waiting {
            Waiting::Not => {
                let now = Instant::now();
                self.waiting = Waiting::Idle(now);
                now + self.patience.idle
            }
            Waiting::Idle(since) => since + self.patience.idle,
            Waiting::Head(since) => since + self.patience.head,
        };
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(match self.waiting {
                    Waiting::Head(_) => Err(io::ErrorKind::TimedOut.into()),
                    Waiting::Not | Waiting::Idle(_) => Ok(()),
                });
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Patient<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        if this.busy.has_begun() {
            // The head that was waited for has come whole.
            this.waiting = Waiting::Not;
        }
        let read = Pin::new(&mut this.io).poll_read(cx, into);
        if this.busy.is_set() {
            this.waiting = Waiting::Not;
            return read;
        }
        match read {
            Poll::Ready(_) => {
                let is_first =
                    !matches!(this.waiting, Waiting::Head(_)) && into.filled().len() > before;
                if is_first {
                    this.waiting = Waiting::Head(Instant::now());
                }
                read
            }
            Poll::Pending => this.poll_too_long(cx),
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Patient<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{advance, timeout},
    };

    use super::*;

    const PATIENCE: Patience = Patience {
        idle: Duration::from_secs(120),
        head: Duration::from_secs(10),
    };

    /// How a read ended, if it did.
    #[derive(Debug, PartialEq, Eq)]
    enum Outcome {
        Byte,
        End,
        Failed(io::ErrorKind),
        Waits,
    }

    async fn read_within(seconds: u64, patient: &mut Patient<tokio::io::DuplexStream>) -> Outcome {
        let mut byte = [0];
        match timeout(Duration::from_secs(seconds), patient.read(&mut byte)).await {
            Ok(Ok(0)) => Outcome::End,
            Ok(Ok(_)) => Outcome::Byte,
            Ok(Err(error)) => Outcome::Failed(error.kind()),
            Err(_) => Outcome::Waits,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connection_is_kept_longer_than_a_slow_head() {
        let (mut client, io) = duplex(64);
        let (mut patient, _busy) = Patient::new(io, PATIENCE);
        assert_eq!(read_within(119, &mut patient).await, Outcome::Waits);
        client.write_all(b"G").await.unwrap();
        assert_eq!(read_within(1, &mut patient).await, Outcome::Byte);
        let slow = Outcome::Failed(io::ErrorKind::TimedOut);
        assert_eq!(read_within(11, &mut patient).await, slow);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connection_ends_in_good_order() {
        let (_client, io) = duplex(64);
        let (mut patient, _busy) = Patient::new(io, PATIENCE);
        assert_eq!(read_within(121, &mut patient).await, Outcome::End);
    }

    #[tokio::test(start_paused = true)]
    async fn trickling_head_gains_no_time() {
        let (mut client, io) = duplex(64);
        let (mut patient, _busy) = Patient::new(io, PATIENCE);
        for _ in 0..9 {
            client.write_all(b"x").await.unwrap();
            assert_eq!(read_within(1, &mut patient).await, Outcome::Byte);
            assert_eq!(read_within(1, &mut patient).await, Outcome::Waits);
        }
        let slow = Outcome::Failed(io::ErrorKind::TimedOut);
        assert_eq!(read_within(2, &mut patient).await, slow);
    }

    /// Once a connection was hung up on ten seconds after a head whose answer was ready at once, whatever had come since.
    #[tokio::test(start_paused = true)]
    async fn head_that_was_answered_at_once_is_waited_for_no_longer() {
        let (mut client, io) = duplex(64);
        let (mut patient, busy) = Patient::new(io, PATIENCE);
        for _ in 0..3 {
            client.write_all(b"G").await.unwrap();
            assert_eq!(read_within(1, &mut patient).await, Outcome::Byte);
            drop(busy.begin());
            assert_eq!(read_within(119, &mut patient).await, Outcome::Waits);
        }
        client.write_all(b"G").await.unwrap();
        assert_eq!(read_within(1, &mut patient).await, Outcome::Byte);
        let slow = Outcome::Failed(io::ErrorKind::TimedOut);
        assert_eq!(read_within(11, &mut patient).await, slow);
    }

    #[tokio::test(start_paused = true)]
    async fn running_exchange_has_no_deadline() {
        let (_client, io) = duplex(64);
        let (mut patient, busy) = Patient::new(io, PATIENCE);
        let exchange = busy.begin();
        assert_eq!(read_within(3600, &mut patient).await, Outcome::Waits);
        drop(exchange);
        advance(Duration::from_secs(1)).await;
        assert_eq!(read_within(119, &mut patient).await, Outcome::Waits);
        assert_eq!(read_within(2, &mut patient).await, Outcome::End);
    }
}
