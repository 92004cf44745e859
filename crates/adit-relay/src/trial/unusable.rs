//! All files that a relay reads when it starts, each read once, for `adit config check`. Invariant: nobody is asked, and nothing is left.

use std::path::PathBuf;

use adit_authority::{
    FetchError,
    oidc::{KeySource, usable_keys},
};
use adit_process::chain;

use super::{Trial, collector};
use crate::{
    audit::{self, AuditTo},
    authenticate::Fetch,
    relay::{
        StartError,
        files::{self, Bundles},
    },
};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoFile {
    /// Without it a relay does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Without it a relay does not get ready.
    #[error("authorities.oidc.issuers[{at}].jwks_file: there are no keys in {}", path.display())]
    Keys {
        /// Which issuer's, counted from 0.
        at: usize,
        /// Where they should be.
        path: PathBuf,
        /// Why not.
        source: FetchError,
    },
}

/// What cannot be used, so far.
#[derive(Default)]
struct Found(Vec<NoFile>);

impl Found {
    /// A file that several depend on is told of once.
    fn note<T>(&mut self, read: Result<T, impl Into<StartError>>) {
        let Err(error) = read else { return };
        let error = NoFile::Start(error.into());
        let text = chain(&error);
        if !self.0.iter().any(|known| chain(known) == text) {
            self.0.push(error);
        }
    }
}

impl Trial {
    /// The files that cannot be used, of all that a start would read.
    pub async fn unusable_files(&self) -> Vec<NoFile> {
        let (config, mut believed) = (&self.config, Bundles::default());
        let mut found = Found::default();
        found.note(self.certificate());
        found.note(self.client_cas());
        found.note(self.admin_certificate());
        found.note(self.admin_client_cas());
        found.note(self.admin_token());
        found.note(self.api_secret());
        found.note(self.read_token());
        found.note(self.gitlab_api());
        found.note(self.webhook_secrets());
        if let Some(gitlab) = &config.gitlab {
            found.note(files::gitlab_roots(config, gitlab, &mut believed));
        }
        found.note(self.gitaly_roots());
        if let AuditTo::File(file) = &config.audit.to {
            let tried = audit::try_out(file);
            found.note(tried.map_err(|source| StartError::Audit {
                to: Box::new(config.audit.to.clone()),
                source,
            }));
        }
        let traces = config.traces.as_ref().map(|traces| &traces.collector);
        for to in [config.audit.to.collector(), traces].into_iter().flatten() {
            found.note(collector(to));
        }
        let roots = files::issuers_roots(config, &mut believed);
        if let Ok(roots) = &roots {
            self.note_keys(&Fetch::new(roots), &mut found).await;
        }
        found.note(roots);
        found.0
    }

    async fn note_keys(&self, fetch: &Fetch, found: &mut Found) {
        for (at, issuer) in self.config.oidc.issuers.iter().enumerate() {
            let KeySource::File(path) = &issuer.keys else {
                continue;
            };
            if let Err(source) = usable_keys(issuer, fetch).await {
                let path = path.clone();
                found.0.push(NoFile::Keys { at, path, source });
            }
        }
    }
}
