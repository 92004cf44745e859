//! Hears of pushes at the relay, beside whichever tunnel is the newest. Run as long as the agent leads.
//! Invariant: a relay that does not tell of pushes is asked again after a while, and no sooner, or when there is another tunnel.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use adit_identity::FullPath;
use adit_process::backoff::Backoff;
use adit_process::chain;
use adit_process::metrics::Held;
use adit_proto::pushes::{FollowRequest, FollowResponse, follow_response::Kind};
use adit_tunnel::{Call, CallError, ConnectError};
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::RETRY;
use super::repositories::Found;
use crate::agent::link::Opened;
use crate::metrics::Metrics;

/// What is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The relay tells of pushes, and takes us for this agent.
    Following(u64),
    /// Somebody has pushed to this project.
    Push(FullPath),
}

/// Where one listens, and for what.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) newest: watch::Receiver<Option<Opened>>,
    pub(super) found: watch::Receiver<Found>,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) metrics: Metrics,
}

/// Why the relay does not tell.
#[derive(Debug, thiserror::Error)]
enum Deaf {
    #[error("the relay does not take the call")]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the call broke off")]
    Http2(#[from] h2::Error),
    #[error("what the relay sent cannot be read")]
    Unreadable(#[from] prost::DecodeError),
    #[error("the relay has ended the call")]
    Ended,
}

impl Listener {
    /// Listens for ever.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(RETRY);
        while let Some(opened) = self.tunnel().await {
            let since = Instant::now();
            let Err(deaf) = tokio::select! {
                biased;
                () = opened.tunnel.draining() => continue,
                deaf = self.listen(&opened) => deaf,
            };
            if since.elapsed() >= HEALTHY {
                backoff.reset();
            }
            let wait = backoff.failed();
            report(&deaf, &opened, wait);
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                _ = self.newest.changed() => {}
            }
        }
    }

    /// Waits for a tunnel that is up; none comes when the agent has ended.
    async fn tunnel(&mut self) -> Option<Opened> {
        let is_up = |opened: &Option<Opened>| {
            let opened = opened.as_ref();
            opened.is_some_and(|opened| opened.tunnel.takes_streams())
        };
        let up = self.newest.wait_for(is_up).await.ok()?;
        up.clone()
    }

    /// Never in vain: it ends with why.
    async fn listen(&mut self, opened: &Opened) -> Result<Infallible, Deaf> {
        let request = self.request(opened.tunnel.peer().session);
        let call = opened.calls.open(PATH, &request, MAX_BYTES).await?;
        let Call {
            mut send,
            mut receive,
        } = call;
        let mut told = None;
        loop {
            tokio::select! {
                biased;
                message = receive.next() => {
                    let message = message?.ok_or(Deaf::Ended)?;
                    match FollowResponse::decode(message)?.kind {
                        Some(Kind::Following(following)) => {
                            told = Some(Held::one(&self.metrics.pushes_told));
                            self.hear(Heard::Following(following.agent_id)).await;
                        }
                        Some(Kind::Push(push)) => {
                            if let Ok(project) = push.project.parse() {
                                self.hear(Heard::Push(project)).await;
                            }
                        }
                        None => {}
                    }
                }
                Ok(()) = self.found.changed(), if told.is_some() => {
                    let request = self.request(String::new());
                    send.send(&request).await?;
                }
            }
        }
    }

    /// Waits until it is taken: the relay keeps the next ones, to a bound.
    async fn hear(&self, heard: Heard) {
        // An error means that nobody leads any more.
        let _ = self.heard.send(heard).await;
    }

    fn request(&mut self, tunnel: String) -> Vec<u8> {
        let found = self.found.borrow_and_update();
        let projects: BTreeSet<_> = found
            .values()
            .map(|repository| repository.project.as_str().to_ascii_lowercase())
            .collect();
        drop(found);
        if projects.len() > MAX_PROJECTS {
            tracing::warn!(
                projects = projects.len(),
                "pushes to no more than {MAX_PROJECTS} projects are passed on"
            );
        }
        let projects = projects.into_iter().take(MAX_PROJECTS).collect();
        FollowRequest { tunnel, projects }.encode_to_vec()
    }
}

fn report(deaf: &Deaf, opened: &Opened, wait: Duration) {
    let tunnel = opened.tunnel.peer().session;
    let retry_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    match deaf {
        // Its tunnel is about to follow.
        Deaf::Ended => tracing::info!(tunnel.id = tunnel, "the relay tells of no more pushes"),
        Deaf::Connect(_) | Deaf::Call(_) | Deaf::Http2(_) | Deaf::Unreadable(_) => tracing::warn!(
            tunnel.id = tunnel,
            error = chain(deaf),
            retry_in_ms,
            "the relay does not tell of pushes"
        ),
    }
}

/// The gRPC method's path.
const PATH: &str = "/adit.pushes.v1.Pushes/Follow";
/// What a relay takes; see `pushes.proto`.
const MAX_PROJECTS: usize = 1000;
/// Of a message of the relay's: it has one path.
const MAX_BYTES: usize = 64 << 10;
/// A call that lasted so long was a good one.
const HEALTHY: Duration = Duration::from_mins(10);
