//! Decides which tunnels of an agent are there now, and remembers since when there are none.
//!
//! `agents.rs` registers a tunnel once its session is open and holds the [`Registration`] as long as it lives; `route.rs`
//! picks from here. Shared by all shards: a tunnel may be used from any of them. Invariant: a registration removes its
//! own session and no other, so a late goodbye never evicts the tunnel that came after it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use adit_identity::AgentId;
use adit_tunnel::Tunnel;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// What the registry must know of a tunnel; a trait so that tests need no session.
pub(crate) trait TakesStreams {
    /// It is neither over nor draining.
    fn takes_streams(&self) -> bool;
}

impl TakesStreams for Tunnel {
    fn takes_streams(&self) -> bool {
        Self::takes_streams(self)
    }
}

/// Agent id to live tunnels.
#[derive(Debug)]
pub(crate) struct Registry<T = Tunnel> {
    agents: DashMap<AgentId, Arc<Presence<T>>>,
}

impl<T: TakesStreams> Registry<T> {
    pub(crate) fn new() -> Self {
        Self {
            agents: DashMap::new(),
        }
    }

    /// Adds a live tunnel; it stays until the registration is dropped. The agent may have so many: replicas and, while they
    /// reconnect, their predecessors.
    pub(crate) fn register(
        &self,
        agent: AgentId,
        session: &str,
        tunnel: T,
        most: usize,
    ) -> Result<Registration<T>, TooManyTunnels> {
        let presence = self.presence(agent);
        let live = Arc::new(Live {
            session: session.to_owned(),
            since: SystemTime::now(),
            tunnel,
            streams: AtomicU32::new(0),
        });
        presence.add(live, most)?;
        Ok(Registration {
            presence,
            session: session.to_owned(),
        })
    }

    /// The agent's place here, made when it has none yet.
    ///
    /// Callers come with a permit or an agent's token, so the ids are those of the configuration, or GitLab's.
    pub(crate) fn presence(&self, agent: AgentId) -> Arc<Presence<T>> {
        if let Some(presence) = self.agents.get(&agent) {
            return Arc::clone(&presence);
        }
        Arc::clone(&self.agents.entry(agent).or_default())
    }

    /// Whether the agent has as many tunnels.
    pub(crate) fn is_full(&self, agent: AgentId, most: usize) -> bool {
        self.presence(agent).state.lock().tunnels.len() >= most
    }

    /// The agent's live tunnel with that session.
    pub(crate) fn tunnel(&self, agent: AgentId, session: &str) -> Option<T>
    where
        T: Clone,
    {
        let presence = self.presence(agent);
        let state = presence.state.lock();
        let live = state.tunnels.iter().find(|live| live.session == session);
        live.map(|live| live.tunnel.clone())
    }

    /// Calls `visit` for each live tunnel.
    pub(crate) fn each_tunnel(&self, mut visit: impl FnMut(AgentId, &T)) {
        for (agent, presence) in self.presences() {
            let tunnels = presence.state.lock().tunnels.clone();
            tunnels.iter().for_each(|live| visit(agent, &live.tunnel));
        }
    }

    /// The live tunnel of this session, and whose it is.
    pub(crate) fn find(&self, session: &str) -> Option<(AgentId, T)>
    where
        T: Clone,
    {
        self.presences().into_iter().find_map(|(agent, presence)| {
            let state = presence.state.lock();
            let mut tunnels = state.tunnels.iter();
            let found = tunnels.find(|live| live.session == session)?;
            Some((agent, found.tunnel.clone()))
        })
    }

    /// Each agent that was here since the start, or was asked for.
    pub(crate) fn seen(&self) -> Vec<Seen<T>>
    where
        T: Clone,
    {
        let seen = |(agent, presence): (AgentId, Arc<Presence<T>>)| {
            let state = presence.state.lock();
            Seen {
                agent,
                tunnels: state.tunnels(),
                offline_since: state
                    .left
                    .filter(|_| state.tunnels.is_empty())
                    .map(|left| left.since),
            }
        };
        self.presences().into_iter().map(seen).collect()
    }

    /// The agents that [`Registry::seen`] has.
    pub(crate) fn agents(&self) -> Vec<AgentId> {
        self.agents.iter().map(|entry| *entry.key()).collect()
    }

    /// An agent's tunnels, each since when. Makes no place for the id: nobody need have vouched for it.
    pub(crate) fn tunnels(&self, agent: AgentId) -> Vec<(SystemTime, T)>
    where
        T: Clone,
    {
        let presence = self.agents.get(&agent).map(|entry| Arc::clone(&entry));
        let tunnels = presence.map(|presence| presence.state.lock().tunnels());
        tunnels.unwrap_or_default()
    }

    fn presences(&self) -> Vec<(AgentId, Arc<Presence<T>>)> {
        self.agents
            .iter()
            .map(|entry| (*entry.key(), Arc::clone(entry.value())))
            .collect()
    }
}

/// What operators see of an agent.
#[derive(Debug)]
pub(crate) struct Seen<T = Tunnel> {
    pub(crate) agent: AgentId,
    /// Each since when.
    pub(crate) tunnels: Vec<(SystemTime, T)>,
    /// When the last tunnel ended, if there is none now.
    pub(crate) offline_since: Option<SystemTime>,
}

impl<T> Seen<T> {
    /// One that was never here.
    pub(crate) fn never(agent: AgentId) -> Self {
        Self {
            agent,
            tunnels: Vec::new(),
            offline_since: None,
        }
    }
}

/// One agent's tunnels, and when it was last here.
pub(crate) struct Presence<T = Tunnel> {
    state: Mutex<State<T>>,
    arrived: Notify,
}

struct State<T> {
    tunnels: Vec<Arc<Live<T>>>,
    /// Where the next search begins, so that equally loaded replicas take turns.
    turn: usize,
    left: Option<Left>,
}

/// When the last tunnel went, by both clocks: one for people, one for measuring.
#[derive(Clone, Copy, Debug)]
struct Left {
    since: SystemTime,
    at: Instant,
}

/// Why an agent has no tunnel that takes an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// No tunnel since the relay started.
    NeverConnected,
    /// The last tunnel ended.
    Offline {
        /// When it ended.
        since: SystemTime,
        /// How long ago that is.
        ago: Duration,
    },
    /// Every tunnel is about to end; a successor is due.
    Draining,
    /// Every tunnel has as many exchanges as it may.
    Full,
}

impl<T: TakesStreams> Presence<T> {
    /// The least loaded tunnel that takes streams, other than `not`, if it carries fewer than so many. It counts the stream at once.
    pub(crate) fn pick(&self, not: Option<&str>, most: u32) -> Result<OnTunnel<T>, Absent> {
        let mut state = self.state.lock();
        state.turn = state.turn.wrapping_add(1);
        let turn = state.turn;
        let others = state
            .tunnels
            .iter()
            .filter(|live| not != Some(live.session.as_str()));
        let mut best: Option<(&Arc<Live<T>>, u32)> = None;
        let count = state.tunnels.len().max(1);
        let open = others.filter(|live| live.tunnel.takes_streams());
        let rotated = open
            .clone()
            .skip(turn % count)
            .chain(open.take(turn % count));
        for live in rotated {
            let streams = live.streams.load(Ordering::Relaxed);
            if best.is_none_or(|(_, least)| streams < least) {
                best = Some((live, streams));
            }
        }
        match best {
            Some((live, _)) => OnTunnel::begin(live, most).ok_or(Absent::Full),
            None => Err(state.absent()),
        }
    }

    /// Resolves with a tunnel as soon as one takes streams; as [`Presence::pick`]. Cancel-safe.
    pub(crate) async fn arrival(&self, not: Option<&str>, most: u32) -> OnTunnel<T> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if let Ok(found) = self.pick(not, most) {
                return found;
            }
            arrived.await;
        }
    }

    /// Tunnels now, for operators.
    #[cfg(test)]
    pub(crate) fn tunnels(&self) -> usize {
        self.state.lock().tunnels.len()
    }

    fn add(&self, live: Arc<Live<T>>, most: usize) -> Result<(), TooManyTunnels> {
        let mut state = self.state.lock();
        if state.tunnels.len() >= most {
            return Err(TooManyTunnels { most });
        }
        state.tunnels.push(live);
        drop(state);
        self.arrived.notify_waiters();
        Ok(())
    }
}

impl<T> Presence<T> {
    fn remove(&self, session: &str) {
        let mut state = self.state.lock();
        state.tunnels.retain(|live| live.session != session);
        if state.tunnels.is_empty() {
            state.left = Some(Left {
                since: SystemTime::now(),
                at: Instant::now(),
            });
        }
    }
}

impl<T> State<T> {
    fn tunnels(&self) -> Vec<(SystemTime, T)>
    where
        T: Clone,
    {
        let tunnels = self.tunnels.iter();
        tunnels
            .map(|live| (live.since, live.tunnel.clone()))
            .collect()
    }

    fn absent(&self) -> Absent {
        match self.left {
            _ if !self.tunnels.is_empty() => Absent::Draining,
            Some(left) => Absent::Offline {
                since: left.since,
                ago: left.at.elapsed(),
            },
            None => Absent::NeverConnected,
        }
    }
}

impl<T> Default for Presence<T> {
    fn default() -> Self {
        let state = State {
            tunnels: Vec::new(),
            turn: 0,
            left: None,
        };
        Self {
            state: Mutex::new(state),
            arrived: Notify::new(),
        }
    }
}

impl<T> fmt::Debug for Presence<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Presence")
            .field("tunnels", &state.tunnels.len())
            .field("left", &state.left)
            .finish()
    }
}

/// A registered tunnel and how much it carries.
#[derive(Debug)]
struct Live<T> {
    session: String,
    since: SystemTime,
    tunnel: T,
    streams: AtomicU32,
}

/// A place for one exchange on one tunnel; given back when dropped.
#[derive(Debug)]
pub(crate) struct OnTunnel<T = Tunnel> {
    live: Arc<Live<T>>,
}

impl<T> OnTunnel<T> {
    fn begin(live: &Arc<Live<T>>, most: u32) -> Option<Self> {
        let taken = live.streams.fetch_add(1, Ordering::Relaxed);
        let place = Self {
            live: Arc::clone(live),
        };
        (taken < most).then_some(place)
    }

    pub(crate) fn tunnel(&self) -> &T {
        &self.live.tunnel
    }

    /// Which session it is, to avoid it in a second try.
    pub(crate) fn session(&self) -> &str {
        &self.live.session
    }
}

impl<T> Drop for OnTunnel<T> {
    fn drop(&mut self) {
        self.live.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The agent has as many tunnels as it may: more replicas than the limit, or a loop that never hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent has {most} tunnels already, which is as many as it may")]
pub(crate) struct TooManyTunnels {
    most: usize,
}

/// Keeps a tunnel registered; dropping it takes the tunnel out.
#[derive(Debug)]
pub(crate) struct Registration<T = Tunnel> {
    presence: Arc<Presence<T>>,
    session: String,
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        self.presence.remove(&self.session);
    }
}

#[cfg(test)]
mod tests;
