//! Puts together what answers GitLab, and listens for it.

use std::{net::SocketAddr, sync::Arc};

use adit_authority::gitlab::AgentNames;
use adit_process::{
    Stop,
    net::{Listener, ReusePort, listen},
    tls::ServerTls,
};
use tokio::task::JoinSet;

use super::{StartError, of_gitlab::Called};
use crate::{
    config::GitLabApiConfig,
    front_door::Places,
    gitlab::{Api, Calls},
    metrics::Metrics,
    registry::Registry,
    rules::Current,
    seldom::Seldom,
};

/// Where the answers come from.
pub(super) struct Parts {
    pub(super) called: Called,
    pub(super) registry: Arc<Registry>,
    pub(super) rules: Current,
    pub(super) names: Arc<AgentNames>,
    pub(super) stop: Stop,
    pub(super) metrics: Arc<Metrics>,
}

/// The API; nothing listens yet.
pub(super) struct Unopened {
    address: SocketAddr,
    api: Arc<Api>,
}

/// The API, while it runs.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) address: SocketAddr,
    pub(super) running: JoinSet<()>,
}

impl Unopened {
    pub(super) fn new(config: &GitLabApiConfig, tls: Option<ServerTls>, parts: Parts) -> Self {
        let calls = Calls {
            registry: parts.registry,
            rules: parts.rules,
            names: parts.names,
            pushes: parts.called.pushes,
            gitaly: parts.called.gitaly,
        };
        let api = Api {
            tls,
            places: Places::new(),
            connections: config.connections,
            secret: parts.called.secret,
            calls,
            denials: Seldom::default(),
            stop: parts.stop,
            metrics: parts.metrics,
        };
        Self {
            address: config.address,
            api: Arc::new(api),
        }
    }

    pub(super) fn open(self) -> Result<Open, StartError> {
        let Self { address, api } = self;
        let failed = |source| StartError::gitlab_api(address, source);
        let listener = listen(address, ReusePort::Exclusive).and_then(Listener::new);
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let mut running = JoinSet::new();
        running.spawn(api.run(listener));
        Ok(Open { address, running })
    }
}
