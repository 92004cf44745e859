//! Decides what ends with a job, or a user's access: every exchange that runs under the token, or those at the agents that it lost.
//!
//! Called by `adit-authority` when GitLab takes its word back, from whatever thread that is. Invariant: a caller that has ended is
//! marked so before this is called, and `forward.rs` looks at the mark after it opened a stream: so nothing is missed in between.

use std::sync::Arc;

use adit_authority::{Affected, Ended, Running};
use adit_tunnel::ResetReason;

use crate::{jobs::Jobs, metrics::Metrics, registry::Registry};

/// Ends exchanges.
#[derive(Debug)]
pub(crate) struct Cuts {
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Running for Cuts {
    fn cut(&self, owner: u64, agents: Affected<'_>, why: Ended) {
        if !self.jobs.runs(owner) {
            return;
        }
        let mut count = 0;
        self.registry.each_tunnel(|agent, tunnel| {
            if agents.contains(agent) {
                count += tunnel.end_streams(owner, ResetReason::PermitEnded, message(why));
            }
        });
        self.metrics.exchanges_cut(why.into(), count);
        tracing::info!(
            exchanges = count,
            ended = why.as_str(),
            "cut what ran under a token"
        );
    }
}

/// For the agent's log, and for the caller where there is no answer yet.
const fn message(why: Ended) -> &'static str {
    match why {
        Ended::Over => "the job has ended, or the user's access",
        Ended::Changed => "GitLab has taken the agent away from the job, or roles from the user",
        Ended::Unproved => "GitLab has not answered for too long",
    }
}
