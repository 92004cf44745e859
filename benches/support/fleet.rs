//! Very many agents in one process: each holds a tunnel of its own to a relay, as the agent's link does, and comes back after the same
//! waits when it is lost; but serves nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use adit_agent::dial::Dialler;
use adit_authority::token;
use adit_process::{
    backoff::{Backoff, BackoffTerms},
    tls::H2,
};
use adit_tunnel::{Options, connect};
use anyhow::Result;
use http::HeaderValue;
use secrecy::ExposeSecret as _;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{aside::Aside, caller::dialler, rig::Rig};

#[derive(Debug)]
pub struct Fleet {
    counted: Arc<Counted>,
    _aside: Aside,
}

#[derive(Debug, Default)]
struct Counted {
    up: AtomicUsize,
    lost: AtomicUsize,
}

/// Who they are: an agent's token each.
#[derive(Debug)]
pub struct Crew(Vec<String>);

impl Crew {
    #[must_use]
    pub fn new(count: usize) -> Self {
        let token = |_| token::new().expose_secret().to_owned();
        Self((0..count).map(token).collect())
    }

    /// The relay's list of agents.
    #[must_use]
    pub fn agents(&self) -> String {
        let agent = |(at, token): (usize, &String)| {
            let id = at + 1;
            let hash = token::TokenHash::of(token);
            format!(
                "  - {{id: {id}, name: agent-{id}, project: group/agents, tokens: ['{hash}']}}\n"
            )
        };
        let agents = self.0.iter().enumerate().map(agent);
        format!("agents:\n{}", agents.collect::<String>())
    }
}

impl Fleet {
    /// All of them begin to connect to this port.
    pub fn start(crew: &Crew, rig: &Rig, port: u16) -> Result<Self> {
        let counted = Arc::new(Counted::default());
        let dialler = dialler(rig, port, H2)?;
        let bearers = crew.0.iter().map(|token| format!("Bearer {token}").parse());
        let bearers = bearers.collect::<Result<Vec<HeaderValue>, _>>()?;
        let counts = Arc::clone(&counted);
        let holding = async move {
            let mut agents = JoinSet::new();
            for bearer in bearers {
                agents.spawn(hold(dialler.clone(), bearer, Arc::clone(&counts)));
            }
            while agents.join_next().await.is_some() {}
        };
        Ok(Self {
            counted,
            _aside: Aside::start("fleet", holding)?,
        })
    }

    /// How many tunnels are up.
    #[must_use]
    pub fn up(&self) -> usize {
        self.counted.up.load(Ordering::Relaxed)
    }

    /// How many tunnels have ended since the start.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.counted.lost.load(Ordering::Relaxed)
    }
}

async fn hold(dialler: Dialler, bearer: HeaderValue, counted: Arc<Counted>) {
    let mut backoff = Backoff::new(BackoffTerms {
        base: Duration::from_millis(500),
        cap: Duration::from_secs(10),
    });
    loop {
        let since = Instant::now();
        let authority = dialler.target();
        if let Ok(dialled) = dialler.dial().await
            && let Ok((_tunnel, _calls, driver)) =
                connect(dialled.wire, &authority, &bearer, Options::default()).await
        {
            counted.up.fetch_add(1, Ordering::Relaxed);
            driver.await;
            counted.lost.fetch_add(1, Ordering::Relaxed);
            counted.up.fetch_sub(1, Ordering::Relaxed);
        }
        if since.elapsed() >= HEALTHY {
            backoff.reset();
        }
        sleep(backoff.failed()).await;
    }
}

/// The agent's `relay.healthy_after`.
const HEALTHY: Duration = Duration::from_secs(30);
