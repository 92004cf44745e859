//! What a relay does when it starts, and whom it depends on, each by itself and once: for `adit doctor`, which tells what of it fails.
//!
//! Invariant: it is done by the relay's own code, nothing listens, and no token is sent to anybody.

use std::{path::PathBuf, time::Duration};

use adit_authority::{
    AskGitLab as _, FetchError, Secrets,
    gitlab::{ApiSecret, AskError},
    oidc::usable_keys,
};
use adit_process::{
    metrics::Durations,
    tls::{Certificate, ServerTls, TlsError},
};
use bytes::Bytes;
use http::{Request, Response};
use tokio::time::timeout;

use crate::{
    authenticate::Fetch,
    config::Config,
    gitlab::Client,
    relay::client_tls,
    secret_file::{self, SecretError},
};

/// A relay that is not to run.
#[derive(Debug)]
pub struct Trial {
    config: Config,
}

/// What came of fetching an issuer's keys.
#[derive(Debug)]
pub struct IssuerKeys {
    /// The issuer.
    pub issuer: Box<str>,
    /// How many of its keys are of use.
    pub keys: Result<usize, FetchError>,
}

/// Why GitLab did not answer.
#[derive(Debug, thiserror::Error)]
pub enum NoGitLab {
    /// It cannot be reached.
    #[error(transparent)]
    Unanswered(#[from] AskError),
    /// It did not answer in time.
    #[error("it did not answer within {0:?}")]
    Late(Duration),
}

impl Trial {
    /// Of what would run with this configuration.
    #[must_use]
    pub const fn of(config: Config) -> Self {
        Self { config }
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The certificate that would be shown; nothing without TLS.
    ///
    /// # Errors
    /// It cannot be used, or its key is another's.
    pub fn certificate(&self) -> Result<Option<Certificate>, TlsError> {
        let files = self.config.front_door.tls.clone();
        let tls = files.map(|files| ServerTls::load(files, &[])).transpose()?;
        Ok(tls.map(|tls| tls.certificate()))
    }

    /// Fetches the keys of each issuer.
    ///
    /// # Errors
    /// The bundle of certificates that are believed cannot be used.
    pub async fn issuers(&self) -> Result<Vec<IssuerKeys>, TlsError> {
        let fetch = Fetch::new(&client_tls(self.config.ca_file.as_ref())?);
        let mut fetched = Vec::new();
        for issuer in &self.config.oidc.issuers {
            fetched.push(IssuerKeys {
                issuer: issuer.url.clone(),
                keys: usable_keys(issuer, &fetch).await,
            });
        }
        Ok(fetched)
    }

    /// Asks GitLab what it refuses whoever shows no token; nothing when GitLab is no authority here.
    ///
    /// # Errors
    /// The bundle of certificates that are believed cannot be used.
    pub async fn gitlab(&self) -> Result<Option<Result<Response<Bytes>, NoGitLab>>, TlsError> {
        let Some(gitlab) = &self.config.gitlab else {
            return Ok(None);
        };
        let tls = client_tls(gitlab.ca_file.as_ref().or(self.config.ca_file.as_ref()))?;
        let uncounted = Durations::default();
        let client = Client::new(&gitlab.url, &tls, uncounted);
        let request = Request::get("/api/v4/job/allowed_agents").body(Bytes::new());
        let request = request.expect("a path is a target");
        let asked = timeout(gitlab.timeout, client.ask(request)).await;
        let late = |_| NoGitLab::Late(gitlab.timeout);
        Ok(Some(asked.map_err(late).and_then(|asked| Ok(asked?))))
    }

    /// Reads the secret that GitLab shares with its agent server; nothing when none is configured.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn api_secret(&self) -> Result<Option<()>, SecretError> {
        let gitlab = self.config.gitlab.as_ref();
        let file = gitlab.and_then(|gitlab| gitlab.api_secret_file.as_ref());
        let read = |file: &PathBuf| secret_file::load(file, ApiSecret::new);
        Ok(file.map(read).transpose()?.map(drop))
    }

    /// Reads the secrets of GitLab's webhook; nothing when none are configured.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn webhook_secrets(&self) -> Result<Option<()>, SecretError> {
        let gitlab = self.config.gitlab.as_ref();
        let file = gitlab.and_then(|gitlab| gitlab.webhook_secret_file.as_ref());
        let read = |file: &PathBuf| secret_file::load(file, Secrets::new);
        Ok(file.map(read).transpose()?.map(drop))
    }
}
