//! What the stages know of a request besides the request: its id, its connection, and when it began.
//!
//! Made by the fronts, read by every stage. Invariant: nothing here comes from the caller but its address.

use std::{
    fmt::{self, Display},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, StatusCode};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    agents::Shown, audit::OfConnection, authenticate::Bearer, client::Client,
    config::FrontDoorConfig, refusal::Hop,
};

/// One request, without the request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) id: RequestId,
    pub(crate) began: Instant,
    pub(crate) connection: &'a Connection,
    /// From where it comes.
    pub(crate) client: Client,
    /// Where informational answers go, if the front can send them.
    pub(crate) early: Option<&'a Early>,
    pub(crate) took: Took,
}

impl<'a> Call<'a> {
    /// `headers` are those of the request.
    pub(crate) fn new(
        connection: &'a Connection,
        headers: &HeaderMap,
        early: Option<&'a Early>,
    ) -> Self {
        Self {
            id: RequestId::new(),
            began: Instant::now(),
            connection,
            client: connection.client_of(headers),
            early,
            took: Took::default(),
        }
    }
}

/// How long the stages took that may take any time. Each tells it once.
#[derive(Debug, Default)]
pub(crate) struct Took {
    pub(crate) authenticate: Lap,
    /// Waiting for room in the audit log.
    pub(crate) audit: Lap,
    pub(crate) turn: Lap,
    pub(crate) route: Lap,
    /// The way to the API server and back, the agent's share included; told with the next.
    pub(crate) tunnel: Lap,
    /// Told by the agent.
    pub(crate) api_server: Lap,
}

impl Took {
    /// A request got no answer in the tunnel or behind it. Nobody says how much of the time was whose: it is that of the hop that failed.
    pub(crate) fn failed(&self, hop: Hop, time: Duration) {
        match hop {
            Hop::ApiServer => self.api_server.set(time),
            Hop::Client | Hop::Relay | Hop::Agent => self.tunnel.set(time),
        }
    }
}

/// A time that is told later, through a shared reference.
#[derive(Debug, Default)]
pub(crate) struct Lap(AtomicU64);

impl Lap {
    pub(crate) fn set(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.store(micros, Ordering::Relaxed);
    }

    /// 0 until it is told.
    pub(crate) fn micros(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One client connection, as far as the stages care.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    /// The certificate with which it came, where agents are asked for one.
    pub(crate) shown: Option<Arc<Shown>>,
    /// On what terms it was accepted.
    pub(crate) config: Arc<FrontDoorConfig>,
    /// The last credential that was verified here; see `authenticate.rs`.
    pub(crate) bearer: Mutex<Option<Arc<Bearer>>>,
    /// Where its requests are written down, if they are.
    pub(crate) audit: Option<Arc<OfConnection>>,
}

impl Connection {
    /// From where a request comes that has these headers.
    pub(crate) fn client_of(&self, headers: &HeaderMap) -> Client {
        let proxies = &self.config.forwarded_for_from;
        self.client.forwarded(headers, proxies)
    }
}

/// Names one request in answers, in both ends' logs and in the API server's audit log: 16 hexadecimal digits, random.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    pub(crate) fn new() -> Self {
        let digit = |random: u8| match random & 0xf {
            small @ 0..10 => b'0' + small,
            large => b'a' + large - 10,
        };
        Self(rand::random::<[u8; 16]>().map(digit))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }

    pub(crate) fn to_header(self) -> HeaderValue {
        HeaderValue::from_str(self.as_str()).expect("hexadecimal digits are visible ASCII")
    }
}

impl Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// Informational answers (RFC 9110 section 15.2) on their way to a client that can take them before the final one.
///
/// Filled while a request is driven and emptied by the front right after, in the same task. An agent that sends more than
/// [`Early::MOST`] before the front comes round loses the rest: they are hints.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early(Arc<Mutex<Vec<(StatusCode, HeaderMap)>>>);

impl Early {
    const MOST: usize = 8;

    pub(crate) fn push(&self, status: StatusCode, headers: HeaderMap) {
        let mut waiting = self.0.lock();
        if waiting.len() < Self::MOST {
            waiting.push((status, headers));
        }
    }

    pub(crate) fn sink(&self) -> impl FnMut(StatusCode, HeaderMap) + Send + 'static {
        let early = self.clone();
        move |status, headers| early.push(status, headers)
    }

    pub(crate) fn take(&self) -> Vec<(StatusCode, HeaderMap)> {
        std::mem::take(&mut *self.0.lock())
    }
}
