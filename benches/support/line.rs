//! A long line: what it is given comes out at the other end half a round trip later, and no faster than the line is.
//!
//! It holds what is on its way and a little more, as a router does, and takes no more than that: whoever sends waits then. Bytes take
//! turns in each direction, whatever connections they are of.

use std::{
    net::TcpListener as StdListener,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{
        Mutex, Semaphore,
        mpsc::{self, Receiver, Sender},
    },
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::aside::Aside;

/// The line. Dropping it breaks everything on it off.
#[derive(Debug)]
pub struct Line {
    port: u16,
    to: Arc<AtomicU16>,
    _aside: Aside,
}

impl Line {
    pub fn start(round_trip: Duration, bytes_per_second: f64) -> Result<Self> {
        let listener = StdListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let to = Arc::new(AtomicU16::new(0));
        let leading = Arc::clone(&to);
        let carrying = async move {
            let directions =
                [(); 2].map(|()| Arc::new(Direction::new(round_trip / 2, bytes_per_second)));
            let listener = TcpListener::from_std(listener).expect("it is a listener");
            carry_all(listener, &leading, &directions).await;
        };
        Ok(Self {
            port,
            to,
            _aside: Aside::start("line", carrying)?,
        })
    }

    /// Carries what connects from now on to this port; says to which port to connect instead.
    #[must_use]
    pub fn lead_to(&self, port: u16) -> u16 {
        self.to.store(port, Ordering::Relaxed);
        self.port
    }
}

/// One of the two, for all connections.
struct Direction {
    delay: Duration,
    bytes_per_second: f64,
    /// Room for bytes that are on their way or wait for it.
    room: Semaphore,
    /// When the last byte that was taken will have gone in.
    free_at: Mutex<Instant>,
}

impl Direction {
    fn new(delay: Duration, bytes_per_second: f64) -> Self {
        let on_its_way = (bytes_per_second * delay.as_secs_f64()) as usize;
        Self {
            delay,
            bytes_per_second,
            room: Semaphore::new(on_its_way + WAITING),
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// When bytes that are taken now come out.
    async fn due(&self, bytes: usize) -> Instant {
        let mut free_at = self.free_at.lock().await;
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        *free_at = (*free_at).max(Instant::now()) + takes;
        *free_at + self.delay
    }

    async fn take_in(&self, mut from: OwnedReadHalf, line: Sender<(Instant, Bytes)>) {
        let mut bytes = vec![0; PIECE];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            let Ok(room) = self.room.acquire_many(read as u32).await else {
                return;
            };
            room.forget();
            let piece = (self.due(read).await, Bytes::copy_from_slice(&bytes[..read]));
            if line.send(piece).await.is_err() {
                return;
            }
        }
    }

    async fn give_out(&self, mut line: Receiver<(Instant, Bytes)>, mut to: OwnedWriteHalf) {
        let mut is_broken = false;
        while let Some((due, piece)) = line.recv().await {
            sleep_until(due).await;
            is_broken = is_broken || to.write_all(&piece).await.is_err();
            self.room.add_permits(piece.len());
        }
    }

    async fn carry(&self, from: OwnedReadHalf, to: OwnedWriteHalf) {
        // The room bounds it earlier.
        let (taken, given) = mpsc::channel(1 << 16);
        tokio::join!(self.take_in(from, taken), self.give_out(given, to));
    }
}

async fn carry_all(listener: TcpListener, to: &AtomicU16, directions: &[Arc<Direction>; 2]) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let Ok(far) = TcpStream::connect(("127.0.0.1", to.load(Ordering::Relaxed))).await else {
            continue;
        };
        for socket in [&near, &far] {
            let _ = socket.set_nodelay(true);
        }
        let [there, back] = directions.clone();
        connections.spawn(async move {
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            tokio::join!(
                there.carry(near_read, far_write),
                back.carry(far_read, near_write)
            );
        });
    }
}

/// What is read at once.
const PIECE: usize = 64 << 10;
/// Bytes that a direction holds beside those on their way: what a router queues, 8 ms of 1 Gbit/s.
const WAITING: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aside::runtime;

    #[test]
    fn bytes_come_late_but_at_the_pace_of_the_line() {
        const BYTES: usize = 1 << 20;
        runtime().unwrap().block_on(async {
            let (round_trip, pace) = (Duration::from_millis(60), 10e6);
            let line = Line::start(round_trip, pace).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = line.lead_to(listener.local_addr().unwrap().port());
            let mut near = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut far, _) = listener.accept().await.unwrap();
            let begun = Instant::now();
            let sending = async {
                near.write_all(&vec![1; BYTES]).await.unwrap();
                near.shutdown().await.unwrap();
            };
            let mut came = Vec::new();
            let (_, read) = tokio::join!(sending, far.read_to_end(&mut came));
            assert_eq!(read.unwrap(), BYTES);
            let least = round_trip / 2 + Duration::from_secs_f64(BYTES as f64 / pace);
            assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
        });
    }
}
