//! What a relay does when it starts, and whom it depends on, each by itself and once: for `adit doctor`, which tells what of it fails.
//!
//! Invariant: it is done by the relay's own code, nothing listens, and of tokens GitLab is sent the one that reads agents' files, and a
//! collector its own; of a secret a proof is. A collector is sent nothing else.

use std::{sync::Arc, time::Duration};

use adit_authority::{
    AskGitLab as _, FetchError, GitLabConfig,
    gitlab::{ApiSecret, AskError, ReadToken, Trust},
    oidc::{KeySource, usable_keys},
};
use adit_otlp::{Collector, CollectorConfig, NotTaken, Spans, logs::Logs};
use adit_process::{metrics::Durations, tls::Certificate};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::time::timeout;

use crate::{
    audit::{self, AuditTo},
    authenticate::Fetch,
    config::Config,
    gitlab::Client,
    relay::{
        StartError,
        files::{self, Bundles},
    },
};

mod unusable;

pub use self::unusable::NoFile;

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
    /// Where they are.
    pub from: KeySource,
    /// How many of its keys are of use.
    pub keys: Result<usize, FetchError>,
}

/// What came of trying the token for agents' files.
#[derive(Debug)]
pub enum Reads {
    /// GitLab lets it look for the files of so many agents, all that the configuration has of GitLab's.
    All(usize),
    /// Not for this agent's.
    Not {
        /// As people know it.
        agent: Box<str>,
        /// What GitLab answered.
        status: StatusCode,
    },
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
    /// The bundle of certificates that are believed cannot be used.
    #[error(transparent)]
    Roots(#[from] StartError),
}

/// Why the audit log, or spans, could not be told.
#[derive(Debug, thiserror::Error)]
pub enum NoSink {
    /// The relay would not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The collector takes nothing.
    #[error("{to} takes nothing")]
    Collector {
        /// Which.
        to: Box<CollectorConfig>,
        /// Why not.
        source: NotTaken,
    },
}

impl NoSink {
    fn of(config: &CollectorConfig, source: NotTaken) -> Self {
        Self::Collector {
            to: Box::new(config.clone()),
            source,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Start(error) => error.advice(),
            Self::Collector { source, .. } => source.advice(),
        }
    }
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
    pub fn certificate(&self) -> Result<Option<Certificate>, StartError> {
        let tls = files::certificate(&self.config.front_door)?;
        Ok(tls.map(|tls| tls.own().certificate()))
    }

    /// The CAs that issue to agents; nothing when these need no certificate.
    ///
    /// # Errors
    /// They cannot be used, or what the relay itself shows cannot.
    pub fn client_cas(&self) -> Result<Option<Vec<Certificate>>, StartError> {
        let tls = files::certificate(&self.config.front_door)?;
        let roots = files::client_roots(&self.config, tls.as_ref())?;
        Ok(roots.map(|roots| roots.certificates()))
    }

    /// The certificate that the private port would show; nothing without TLS.
    ///
    /// # Errors
    /// It cannot be used, or its key is another's.
    pub fn admin_certificate(&self) -> Result<Option<Certificate>, StartError> {
        let tls = files::admin_certificate(&self.config.admin)?;
        Ok(tls.map(|tls| tls.own().certificate()))
    }

    /// The CAs that issue to operators; nothing when these need no certificate.
    ///
    /// # Errors
    /// They cannot be used, or what the private port shows cannot.
    pub fn admin_client_cas(&self) -> Result<Option<Vec<Certificate>>, StartError> {
        let tls = files::admin_certificate(&self.config.admin)?;
        let roots = files::operators_roots(&self.config.admin, tls.as_ref())?;
        Ok(roots.map(|roots| roots.certificates()))
    }

    /// Reads the token that opens the private port to operators; nothing when none is configured.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn admin_token(&self) -> Result<Option<()>, StartError> {
        let token = files::admin_token(self.config.admin.token_file.as_deref())?;
        Ok(token.map(drop))
    }

    /// Tries whether the audit log could be opened, without leaving anything there, and whether a collector would take its records; says
    /// where it is, if there is one.
    ///
    /// # Errors
    /// It cannot, by this process.
    pub async fn audit(&self) -> Result<Option<&AuditTo>, NoSink> {
        let to = &self.config.audit.to;
        match to {
            AuditTo::Nowhere => return Ok(None),
            AuditTo::Stdout => {}
            AuditTo::File(file) => audit::try_out(file).map_err(|source| StartError::Audit {
                to: Box::new(to.clone()),
                source,
            })?,
            AuditTo::Collector(config) => {
                let asked = Logs::new(collector(config)?).send(Vec::new()).await;
                asked.map_err(|source| NoSink::of(config, source))?;
            }
        }
        Ok(Some(to))
    }

    /// Asks the collector of requests whether it would take spans, and says where it is, if there is one.
    ///
    /// # Errors
    /// It would not.
    pub async fn traces(&self) -> Result<Option<&CollectorConfig>, NoSink> {
        let Some(traces) = &self.config.traces else {
            return Ok(None);
        };
        let config = &traces.collector;
        let asked = Spans::new(collector(config)?).ask().await;
        asked.map_err(|source| NoSink::of(config, source))?;
        Ok(Some(config))
    }

    /// Fetches the keys of each issuer.
    ///
    /// # Errors
    /// The bundle of certificates that are believed cannot be used.
    pub async fn issuers(&self) -> Result<Vec<IssuerKeys>, StartError> {
        let fetch = Fetch::new(&files::issuers_roots(
            &self.config,
            &mut Bundles::default(),
        )?);
        let mut fetched = Vec::new();
        for issuer in &self.config.oidc.issuers {
            fetched.push(IssuerKeys {
                issuer: issuer.url.clone(),
                from: issuer.keys.clone(),
                keys: usable_keys(issuer, &fetch).await,
            });
        }
        Ok(fetched)
    }

    /// Asks GitLab what it refuses whoever shows no token; nothing when GitLab is no authority here.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn gitlab(&self) -> Result<Option<Response<Bytes>>, NoGitLab> {
        let Some(gitlab) = &self.config.gitlab else {
            return Ok(None);
        };
        let client = self.client(gitlab)?;
        let request = Request::get("/api/v4/job/allowed_agents").body(Bytes::new());
        let request = request.expect("a path is a target");
        in_time(gitlab, client.ask(request)).await.map(Some)
    }

    /// Reads the secret that GitLab shares with its agent server; nothing when none is configured.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn api_secret(&self) -> Result<Option<ApiSecret>, StartError> {
        let loaded = self.config.gitlab.as_ref().map(files::api_secret);
        Ok(loaded.transpose()?.flatten().map(|loaded| loaded.secret))
    }

    /// Asks GitLab whether that is its own; nothing when GitLab is no authority here.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn trust(&self, secret: &ApiSecret) -> Result<Option<Trust>, NoGitLab> {
        let Some(gitlab) = &self.config.gitlab else {
            return Ok(None);
        };
        let client = self.client(gitlab)?;
        in_time(gitlab, secret.try_out(&client)).await.map(Some)
    }

    /// Reads the token that may read agents' files; nothing when none is configured.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn read_token(&self) -> Result<Option<ReadToken>, StartError> {
        let gitlab = self.config.gitlab.as_ref();
        let how = gitlab.and_then(|gitlab| gitlab.agent_files.as_ref());
        let loaded = how.map(files::read_token).transpose()?.flatten();
        Ok(loaded.map(|loaded| loaded.secret))
    }

    /// Shows GitLab that token, for the file of one agent after the other until one is refused; nothing when GitLab is no authority here.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn reads(&self, token: &ReadToken) -> Result<Option<Reads>, NoGitLab> {
        let Some(gitlab) = &self.config.gitlab else {
            return Ok(None);
        };
        let client = self.client(gitlab)?;
        let mut agents: Vec<_> = self.config.agents.at_gitlab().collect();
        agents.sort_unstable_by_key(|agent| agent.id());
        for agent in &agents {
            if let Some(status) = in_time(gitlab, token.try_out(agent, &client)).await? {
                let agent = agent.context().into();
                return Ok(Some(Reads::Not { agent, status }));
            }
        }
        Ok(Some(Reads::All(agents.len())))
    }

    /// Reads the certificates by which Gitaly is known.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn gitaly_roots(&self) -> Result<(), StartError> {
        let gitlab = self.config.gitlab.as_ref();
        let mut believed = Bundles::default();
        let roots = gitlab.map(|gitlab| files::gitaly_roots(&self.config, gitlab, &mut believed));
        roots.transpose().map(drop)
    }

    /// Reads the certificate and the secret of the port that GitLab calls, and gives the certificate; nothing without TLS, or when there is
    /// no such port.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn gitlab_api(&self) -> Result<Option<Certificate>, StartError> {
        let Some(api) = &self.config.gitlab_api else {
            return Ok(None);
        };
        let tls = files::gitlab_api_certificate(api)?;
        if files::gitlab_api_secret(api)?.is_none() {
            // Then it is the one that GitLab shares with its agent server.
            self.api_secret()?;
        }
        Ok(tls.map(|tls| tls.own().certificate()))
    }

    /// Reads the secrets of GitLab's webhook; nothing when none are configured.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn webhook_secrets(&self) -> Result<Option<()>, StartError> {
        let loaded = self.config.gitlab.as_ref().map(files::webhook_secrets);
        Ok(loaded.transpose()?.flatten().map(drop))
    }

    fn client(&self, gitlab: &GitLabConfig) -> Result<Client, StartError> {
        let tls = files::gitlab_roots(&self.config, gitlab, &mut Bundles::default())?;
        let uncounted = Durations::default();
        Ok(Client::new(&gitlab.url, &tls, uncounted))
    }
}

fn collector(config: &CollectorConfig) -> Result<Collector, StartError> {
    let token = files::collector_token(Some(config))?;
    let token = token.map(|loaded| Arc::new(loaded.secret));
    files::collector(config, token, &mut Bundles::default())
}

async fn in_time<T>(
    gitlab: &GitLabConfig,
    asked: impl Future<Output = Result<T, AskError>>,
) -> Result<T, NoGitLab> {
    match timeout(gitlab.timeout, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(NoGitLab::Late(gitlab.timeout)),
    }
}
