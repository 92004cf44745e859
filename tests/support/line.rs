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
    time::{Instant, sleep_until, timeout},
};

/// Seen from whoever connects to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    There,
    Back,
}

impl Direction {
    fn bits(directions: &[Self]) -> u8 {
        directions
            .iter()
            .fold(0, |bits, direction| bits | direction.bit())
    }

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
    /// The same, of connections that are made from now on.
    swallows_of_new: AtomicU8,
    /// Milliseconds without a byte after which a connection is broken off; 0 for never.
    idle: AtomicU64,
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
            swallows_of_new: AtomicU8::new(0),
            idle: AtomicU64::new(0),
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
        let bits = Direction::bits(directions);
        self.state.swallows.store(bits, Ordering::Relaxed);
    }

    /// Bytes of connections that are made from now on vanish both ways; those there are already go on.
    pub fn swallow_new(&self) {
        let bits = Direction::bits(&[Direction::There, Direction::Back]);
        self.state.swallows_of_new.store(bits, Ordering::Relaxed);
    }

    /// Breaks off, without a word to either end before, what has carried nothing for so long, as balancers do. For connections that
    /// are made from now on.
    pub fn cut_idle(&self, after: Duration) {
        self.state
            .idle
            .store(after.as_millis() as u64, Ordering::Relaxed);
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
    let connection = Connection {
        swallows: state.swallows_of_new.load(Ordering::Relaxed),
        moved: Notify::new(),
        line: &state,
    };
    let there = connection.carry(near_read, far_write, Direction::There);
    let back = connection.carry(far_read, near_write, Direction::Back);
    tokio::select! {
        () = state.cut.notified() => {}
        () = connection.is_idle() => {}
        _ = async { tokio::join!(there, back) } => {}
    }
}

struct Connection<'a> {
    /// Directions in which bytes vanish on this one.
    swallows: u8,
    /// Told when bytes have come.
    moved: Notify,
    line: &'a State,
}

impl Connection<'_> {
    /// One direction, to its end. An end is swallowed like bytes: whoever waits for it is not told.
    async fn carry(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, direction: Direction) {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut bytes).await;
            self.moved.notify_one();
            let delay = self.line.delay.load(Ordering::Relaxed);
            if delay > 0 {
                sleep_until(Instant::now() + Duration::from_millis(delay)).await;
            }
            if self.swallows(direction) {
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

    fn swallows(&self, direction: Direction) -> bool {
        (self.swallows | self.line.swallows.load(Ordering::Relaxed)) & direction.bit() != 0
    }

    /// Waits until nothing has come for as long as the line bears.
    async fn is_idle(&self) {
        let after = match self.line.idle.load(Ordering::Relaxed) {
            0 => return std::future::pending().await,
            millis => Duration::from_millis(millis),
        };
        while timeout(after, self.moved.notified()).await.is_ok() {}
    }
}
