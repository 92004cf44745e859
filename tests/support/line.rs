//! A line between two ends that can go bad: it carries bytes both ways until it is told to swallow them without a word, to
//! hold them back for a while, or to break off. Stands in for the network between any two hops.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Seen from whoever connects to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    There,
    Back,
}

impl Direction {
    const fn bit(self) -> u8 {
        match self {
            Self::There => 1,
            Self::Back => 2,
        }
    }
}

/// The line. Dropping it breaks everything on it off.
pub struct Line {
    address: SocketAddr,
    state: Arc<State>,
    tasks: JoinSet<()>,
}

struct State {
    to: Mutex<SocketAddr>,
    /// Directions in which bytes vanish.
    swallows: AtomicU8,
    /// Milliseconds by which bytes come later.
    delay: AtomicU64,
    connections: AtomicUsize,
    cut: Notify,
}

impl Line {
    /// A good line to `to`.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            to: Mutex::new(to),
            swallows: AtomicU8::new(0),
            delay: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            cut: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            tasks,
        }
    }

    /// Where to connect instead.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made over it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// From now on bytes in these directions vanish, on old connections and new ones, and nobody is told.
    pub fn swallow(&self, directions: &[Direction]) {
        let bits = directions
            .iter()
            .fold(0, |bits, direction| bits | direction.bit());
        self.state.swallows.store(bits, Ordering::Relaxed);
    }

    /// Carries bytes again; those that vanished stay lost, so old connections are broken for good.
    pub fn mend(&self) {
        self.swallow(&[]);
    }

    /// Bytes take so long from now on, each way.
    pub fn delay(&self, each_way: Duration) {
        self.state
            .delay
            .store(each_way.as_millis() as u64, Ordering::Relaxed);
    }

    /// Carries new connections to another address, as a balancer does; old ones stay where they are.
    pub fn lead_to(&self, to: SocketAddr) {
        *self.state.to.lock() = to;
    }

    /// Breaks off what runs now; new connections are carried.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }

    /// Takes no connection any more, and breaks off those there are.
    pub async fn close(&mut self) {
        self.tasks.shutdown().await;
    }

    /// After [`Line::close`].
    pub async fn reopen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.tasks.spawn(accept(listener, Arc::clone(&self.state)));
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        state.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(carry(near, Arc::clone(&state)));
    }
}

async fn carry(near: TcpStream, state: Arc<State>) {
    let to = *state.to.lock();
    let Ok(far) = TcpStream::connect(to).await else {
        return;
    };
    for socket in [&near, &far] {
        let _ = socket.set_nodelay(true);
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = carry_half(near_read, far_write, Direction::There, &state);
    let back = carry_half(far_read, near_write, Direction::Back, &state);
    tokio::select! {
        () = state.cut.notified() => {}
        _ = async { tokio::join!(there, back) } => {}
    }
}

/// One direction, to its end. An end is swallowed like bytes: whoever waits for it is not told.
async fn carry_half(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    state: &State,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut bytes).await;
        let delay = state.delay.load(Ordering::Relaxed);
        if delay > 0 {
            sleep_until(Instant::now() + Duration::from_millis(delay)).await;
        }
        if state.swallows.load(Ordering::Relaxed) & direction.bit() != 0 {
            match read {
                Ok(1..) => continue,
                // Keeps both halves open, as a line does that carries nothing.
                Ok(0) | Err(_) => std::future::pending().await,
            }
        }
        match read {
            Ok(len @ 1..) => {
                if to.write_all(&bytes[..len]).await.is_err() {
                    return;
                }
            }
            Ok(0) | Err(_) => {
                let _ = to.shutdown().await;
                return;
            }
        }
    }
}
