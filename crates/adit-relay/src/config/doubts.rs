//! Tells what of a configuration without mistakes is hardly meant so. Asked by whoever starts a relay or checks its file.

use adit_identity::mistakes::{Key, Mistake};

use super::Config;

impl Config {
    /// What keeps everybody out, each with its key. A relay starts all the same.
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
const SLASH: &str = "ends with a slash, and then `iss` of its tokens must, too: GitLab's does not";
