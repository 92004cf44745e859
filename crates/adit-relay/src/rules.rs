//! What the configuration says that may be said anew while the relay runs: one value for all stages, replaced as a whole.
//!
//! `relay/configured.rs` makes and replaces it. Invariants: a request is decided by one of them from its token to its permit, that of its
//! [`Bearer`](crate::authenticate::Bearer); and what was permitted by an earlier one begins only if the current one upholds it.

use std::{sync::Arc, time::SystemTime};

use adit_authority::{Agents, Authoriser, Oidc, Permit};
use adit_tunnel::{About, Budget, Options};
use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use crate::{
    audit::AuditConfig,
    config::{Config, FrontDoorConfig, LimitsConfig, RouteConfig, TunnelConfig},
};

/// What one configuration says.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Who vouches for callers, beside GitLab.
    pub(crate) oidc: Oidc,
    /// The agents, and who may use them.
    pub(crate) authoriser: Authoriser,
    /// For connections that are accepted from now on.
    pub(crate) front_door: Arc<FrontDoorConfig>,
    pub(crate) route: RouteConfig,
    /// Of tunnels that are opened from now on.
    pub(crate) options: Options,
    pub(crate) limits: LimitsConfig,
    pub(crate) audit: AuditConfig,
    /// Agents that have metrics of their own.
    pub(crate) agent_series: usize,
}

impl Rules {
    /// Those of a relay that starts. `budget` is what all tunnels share, now and later.
    pub(crate) fn new(
        config: &Config,
        oidc: Oidc,
        authoriser: Authoriser,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            oidc,
            authoriser,
            front_door: Arc::new(config.front_door.clone()),
            route: config.route,
            options: options(config.tunnel, budget),
            limits: config.limits,
            audit: config.audit.clone(),
            agent_series: config.agent_series,
        }
    }

    pub(crate) fn agents(&self) -> &Agents {
        self.authoriser.agents()
    }

    /// Whether what was permitted under `former` rules is permitted still, unchanged.
    pub(crate) fn uphold(&self, permit: &Permit, former: &Self) -> bool {
        let is_trusted = |issuer| self.oidc.covers(&former.oidc, issuer);
        permit.issuer().is_none_or(is_trusted) && self.authoriser.upholds(permit, SystemTime::now())
    }
}

fn options(tunnel: TunnelConfig, budget: Arc<Budget>) -> Options {
    Options {
        about: About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..About::default()
        },
        ping_interval: tunnel.ping_interval,
        // Agents ask after two thirds: as with `ping_interval`, only one that is late is asked.
        busy_ping_interval: tunnel.dead_after * 4 / 5,
        dead_after: tunnel.dead_after,
        handshake_timeout: tunnel.handshake_timeout,
        stream_credit: tunnel.stream_credit,
        max_stream_credit: tunnel.max_stream_credit,
        max_buffered_bytes: tunnel.max_buffered_bytes,
        max_queued_bytes: tunnel.max_queued_bytes,
        stream_queue_bytes: tunnel.stream_queue_bytes,
        budget,
        ..Options::default()
    }
}

/// The rules that hold now. Clones are of the same relay.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rules: ArcSwap<Rules>,
    changed: watch::Sender<()>,
}

impl Current {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(Arc::new(Shared {
            rules: ArcSwap::from_pointee(rules),
            changed: watch::Sender::new(()),
        }))
    }

    /// For a short look: nothing is counted for it.
    pub(crate) fn load(&self) -> Guard<Arc<Rules>> {
        self.0.rules.load()
    }

    /// For keeping.
    pub(crate) fn get(&self) -> Arc<Rules> {
        self.0.rules.load_full()
    }

    pub(crate) fn are(&self, rules: &Arc<Rules>) -> bool {
        Arc::ptr_eq(&self.load(), rules)
    }

    /// Puts others in their place, and gives those that held until now. Nobody is told yet.
    pub(crate) fn replace(&self, rules: Arc<Rules>) -> Arc<Rules> {
        self.0.rules.swap(rules)
    }

    /// Tells who has asked by [`Current::changes`].
    pub(crate) fn announce(&self) {
        self.0.changed.send_replace(());
    }

    /// Changes whenever others were announced after this call.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Resolves once that is so; looks at each of the rules that are announced. Cancel-safe.
    pub(crate) async fn until(&self, is_so: impl Fn(&Rules) -> bool) {
        let mut changes = self.changes();
        while !is_so(&self.load()) {
            changes
                .changed()
                .await
                .expect("self holds a sender for as long as it waits");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::RawConfig;

    /// Those of a configuration, with nobody to fetch keys.
    pub(crate) fn rules(yaml: &str) -> Rules {
        let config = Config::try_from(RawConfig::from_yaml(yaml).unwrap()).unwrap();
        let fetch: Arc<dyn adit_authority::FetchKeys> = Arc::new(Nobody);
        let (oidc, _) = Oidc::new(config.oidc.clone(), &fetch);
        let authoriser = Authoriser::new(config.agents.clone(), Arc::default());
        let budget = Budget::new(config.tunnel.max_buffered_bytes_in_all);
        Rules::new(&config, oidc, authoriser, budget)
    }

    #[derive(Debug)]
    struct Nobody;

    impl adit_authority::FetchKeys for Nobody {
        fn fetch<'a>(&'a self, _url: &'a str) -> adit_authority::oidc::FetchedKeys<'a> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn bounds_of_tunnels_reach_their_sessions() {
        let options = rules(
            "
            listen: {address: '127.0.0.1:0'}
            tunnel:
              stream_credit: 32KiB
              max_stream_credit: 2MiB
              max_buffered: 3MiB
              max_buffered_in_all: 4MiB
              max_queued: 5MiB
              stream_queue: 64KiB
            ",
        )
        .options;
        let found = [
            options.stream_credit as usize,
            options.max_stream_credit as usize,
            options.max_buffered_bytes,
            options.budget.limit(),
            options.max_queued_bytes,
            options.stream_queue_bytes,
        ];
        let said = [32, 2 << 10, 3 << 10, 4 << 10, 5 << 10, 64];
        assert_eq!(found, said.map(|kib| kib << 10));
    }
}
