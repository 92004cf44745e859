//! Tells what of a configuration without mistakes is hardly meant so. Asked by whoever starts a relay or checks its file, and by operators
//! of one that runs.

use std::sync::Arc;

use adit_authority::token::TokenHash;
use adit_identity::mistakes::{Key, Mistake};
use arc_swap::ArcSwap;

use super::Config;

/// Those of the configuration that a relay runs by. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubts(Arc<ArcSwap<Vec<Mistake>>>);

impl Doubts {
    pub(crate) fn all(&self) -> Arc<Vec<Mistake>> {
        self.0.load_full()
    }

    /// Tells those of this configuration, by which the relay runs from now on, and keeps them.
    pub(crate) fn tell(&self, config: &Config) {
        let doubts = config.doubts();
        for doubt in &doubts {
            tracing::warn!(key = %doubt.key, doubt = doubt.what, "the configuration is hardly meant so");
        }
        self.0.store(Arc::new(doubts));
    }
}

impl Config {
    /// What keeps everybody out, or an agent, or lets one do so, or tells everybody too much, each with its key. A relay starts all the same.
    #[must_use]
    pub fn doubts(&self) -> Vec<Mistake> {
        let root = Key::root();
        let mut doubts = Vec::new();
        let mut doubt = |key, what: &str| {
            let what = what.to_owned();
            doubts.push(Mistake { key, what });
        };
        let authorities = root.field("authorities");
        if self.oidc.issuers.is_empty() && self.gitlab.is_none() {
            doubt(authorities.clone(), NO_AUTHORITY);
        }
        let gitlab = self.gitlab.as_ref();
        let asks_about_agents = gitlab.is_some_and(|gitlab| gitlab.api_secret_file.is_some());
        if self.agents.ids().next().is_none() && !asks_about_agents {
            doubt(root.field("agents"), NO_AGENTS);
        }
        if self.agent_series > 0 && !self.admin.address.ip().is_loopback() {
            doubt(root.field("metrics").field("agents"), OPEN_SERIES);
        }
        let example = EXAMPLE.parse::<TokenHash>().ok();
        if example.is_some_and(|token| self.agents.tokens().holder(&token).is_some()) {
            doubt(root.field("agents"), EXAMPLES_TOKEN);
        }
        let limits = &self.limits;
        if limits.connections_per_address >= limits.connections {
            let key = root.field("limits").field("connections_per_address");
            doubt(key, ALL_PLACES);
        }
        let issuers = authorities.field("oidc").field("issuers");
        for (at, issuer) in self.oidc.issuers.iter().enumerate() {
            if issuer.url.ends_with('/') {
                doubt(issuers.index(at).field("url"), SLASH);
            }
        }
        doubts
    }
}

const NO_AUTHORITY: &str = "nobody vouches for jobs or users, so the relay lets none in: name an issuer of ID tokens in authorities.oidc.issuers, or a GitLab in authorities.gitlab";
const NO_AGENTS: &str = "none is named, and GitLab is asked about none (authorities.gitlab.api_secret_file), so none can connect";
const OPEN_SERIES: &str = "/metrics asks nobody who he is, and the private port is not on loopback (admin.address): whoever reaches it learns the ids of these agents, so let scrapers alone reach it";
const ALL_PLACES: &str = "not below limits.connections, so one address may hold every place, without a token: set it lower, and where all come from a balancer's address, leave at least some places";
/// Of `deploy/relay.example.yaml`.
const EXAMPLE: &str = "sha256:5a7729612c59edd8fbe3cdc3cc9dd716c281bd5a96daa1ba141fb5022676db1a";
const EXAMPLES_TOKEN: &str = "one has the token of the example file, which is nobody's: put yours there, from `adit token new`";
const SLASH: &str = "ends with a slash, and then `iss` of its tokens must, too: GitLab's does not";
