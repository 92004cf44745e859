//! Reads the files that a configuration names, without which a relay does not start: certificates, bundles of those that are believed,
//! secrets. Each mistake is told with the key that names the file.
//!
//! Called by `built.rs` for a relay that is to run, and by `trial.rs` for one that is looked at. Invariant: both read a file by the same
//! call, so that what keeps a relay from starting is what `adit doctor` tells.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use adit_authority::{
    GitLabConfig, Secrets,
    gitlab::{AgentFilesConfig, ApiSecret, ReadToken},
};
use adit_otlp::{Collector, CollectorConfig, Counts, Exporter, Instance, Token, Traces};
use adit_process::{
    replica_name,
    secret_file::{Loaded, SecretError, load},
    tls::{
        CertificateFiles, ClientRoots, ClientTls, H2, HTTP_1_1, ServerRoots, ServerTls, TlsError,
        TrustRoots,
    },
};

use super::StartError;
use crate::{
    audit::{AuditTo, Sink},
    config::{AdminConfig, Config, FrontDoorConfig, GitLabApiConfig},
};

/// A secret, where one is named.
type Named<T> = Result<Option<Loaded<T>>, SecretError>;

/// What the public port shows; nothing without TLS.
pub(crate) fn certificate(config: &FrontDoorConfig) -> Result<Option<ServerTls>, StartError> {
    server_tls(
        config.tls.as_ref(),
        "listen.certificate, listen.key",
        &[H2, HTTP_1_1],
    )
}

/// What the private port shows; nothing without TLS.
pub(crate) fn admin_certificate(config: &AdminConfig) -> Result<Option<ServerTls>, StartError> {
    server_tls(
        config.tls.as_ref(),
        "admin.certificate, admin.key",
        &[HTTP_1_1],
    )
}

/// Who issues to agents, and is asked for by what the public port speaks; nothing when agents need no certificate.
pub(crate) fn client_roots(
    config: &Config,
    tls: Option<&ServerTls>,
) -> Result<Option<ClientRoots>, StartError> {
    asked_for(config.client_ca_file.as_ref(), tls, "tunnel.client_ca_file")
}

/// Who issues to operators; nothing when they are known by a token alone.
pub(crate) fn operators_roots(
    config: &AdminConfig,
    tls: Option<&ServerTls>,
) -> Result<Option<ClientRoots>, StartError> {
    asked_for(config.client_ca_file.as_ref(), tls, "admin.client_ca_file")
}

fn asked_for(
    file: Option<&PathBuf>,
    tls: Option<&ServerTls>,
    key: &'static str,
) -> Result<Option<ClientRoots>, StartError> {
    // There is TLS, or the configuration would not have passed.
    let named = file.zip(tls);
    let roots = named.map(|(file, tls)| ClientRoots::load(file.clone(), tls));
    let roots = roots.transpose();
    roots.map_err(|error| unusable(key, error))
}

/// What the port shows that GitLab calls; nothing without TLS.
pub(crate) fn gitlab_api_certificate(
    config: &GitLabApiConfig,
) -> Result<Option<ServerTls>, StartError> {
    server_tls(
        config.tls.as_ref(),
        "gitlab_api.certificate, gitlab_api.key",
        &[H2],
    )
}

/// Bundles of those that are believed where the relay dials, each once: a relay that runs keeps them.
#[derive(Debug, Default)]
pub(crate) struct Bundles(Vec<ServerRoots>);

impl Bundles {
    fn roots(&mut self, key: &'static str, from: TrustRoots) -> Result<ServerRoots, StartError> {
        if let Some(known) = self.0.iter().find(|known| known.key() == key) {
            return Ok(known.clone());
        }
        let roots = ServerRoots::load(key, from).map_err(|error| unusable(key, error))?;
        self.0.push(roots.clone());
        Ok(roots)
    }

    /// Those with a file.
    pub(crate) fn into_kept(self) -> impl Iterator<Item = ServerRoots> {
        let all = self.0.into_iter();
        all.filter(|roots| roots.file().is_some())
    }
}

/// Whom the relay believes to be an issuer.
pub(crate) fn issuers_roots(
    config: &Config,
    believed: &mut Bundles,
) -> Result<ClientTls, StartError> {
    client_tls(&[in_general(config)], &[], believed)
}

/// Whom it believes to be GitLab.
pub(crate) fn gitlab_roots(
    config: &Config,
    gitlab: &GitLabConfig,
    believed: &mut Bundles,
) -> Result<ClientTls, StartError> {
    client_tls(&[of_gitlab(gitlab), in_general(config)], &[], believed)
}

/// Whom it believes to be Gitaly.
pub(crate) fn gitaly_roots(
    config: &Config,
    gitlab: &GitLabConfig,
    believed: &mut Bundles,
) -> Result<ClientTls, StartError> {
    let own = (
        "authorities.gitlab.gitaly.ca_file",
        gitlab.gitaly.ca_file.as_deref(),
    );
    let bundles = [own, of_gitlab(gitlab), in_general(config)];
    client_tls(&bundles, &[H2], believed)
}

/// What opens the private port to operators.
pub(crate) fn admin_token(file: Option<&Path>) -> Named<Secrets> {
    named("admin.token_file", file, Secrets::new)
}

/// What a collector is shown.
pub(crate) fn collector_token(
    config: Option<&CollectorConfig>,
) -> Result<Option<Loaded<Token>>, StartError> {
    let token = config.map(CollectorConfig::token).transpose();
    Ok(token.map_err(adit_otlp::StartError::from)?.flatten())
}

/// What is called there.
pub(crate) fn collector(
    config: &CollectorConfig,
    token: Option<Arc<Token>>,
    believed: &mut Bundles,
) -> Result<Collector, StartError> {
    let instance = Instance {
        service: "adit-relay",
        version: env!("CARGO_PKG_VERSION"),
        id: replica_name("relay"),
    };
    let collector = Collector::new(config, token, instance)?;
    believed.0.extend(collector.roots().cloned());
    Ok(collector)
}

/// Where the audit log goes, with what the collector is shown if that is one; nothing without an audit log.
pub(crate) fn audit(
    config: &Config,
    token: Option<Arc<Token>>,
    believed: &mut Bundles,
) -> Result<Option<Sink>, StartError> {
    let to = &config.audit.to;
    let sink = match to {
        AuditTo::Nowhere => return Ok(None),
        AuditTo::Stdout => Sink::stdout(),
        AuditTo::File(file) => Sink::file(file.clone()),
        AuditTo::Collector(to) => Ok(Sink::collector(collector(to, token, believed)?)),
    };
    let sink = sink.map_err(|source| StartError::Audit {
        to: Box::new(to.clone()),
        source,
    })?;
    Ok(Some(sink))
}

/// What tells the collector of requests; nothing without one.
pub(crate) fn traces(
    config: &Config,
    token: Option<Arc<Token>>,
    counts: Counts,
    believed: &mut Bundles,
) -> Result<Option<(Traces, Exporter)>, StartError> {
    let Some(config) = &config.traces else {
        return Ok(None);
    };
    let collector = collector(&config.collector, token, believed)?;
    Ok(Some(Traces::new(config, collector, counts)))
}

/// What the relay proves itself with to GitLab.
pub(crate) fn api_secret(gitlab: &GitLabConfig) -> Named<ApiSecret> {
    let file = gitlab.api_secret_file.as_deref();
    named("authorities.gitlab.api_secret_file", file, ApiSecret::new)
}

/// What GitLab proves itself with to the relay, where that is another one.
pub(crate) fn gitlab_api_secret(api: &GitLabApiConfig) -> Named<ApiSecret> {
    let file = api.secret_file.as_deref();
    named("gitlab_api.secret_file", file, ApiSecret::new)
}

/// What GitLab shows with its events.
pub(crate) fn webhook_secrets(gitlab: &GitLabConfig) -> Named<Secrets> {
    let file = gitlab.webhook_secret_file.as_deref();
    named("authorities.gitlab.webhook_secret_file", file, Secrets::new)
}

/// What may read agents' files.
pub(crate) fn read_token(files: &AgentFilesConfig) -> Named<ReadToken> {
    let file = files.token_file.as_deref();
    named(
        "authorities.gitlab.agent_files.token_file",
        file,
        ReadToken::new,
    )
}

/// A bundle, if it is named, and the key that names it.
type Bundle<'a> = (&'static str, Option<&'a Path>);

fn in_general(config: &Config) -> Bundle<'_> {
    ("authorities.ca_file", config.ca_file.as_deref())
}

fn of_gitlab(gitlab: &GitLabConfig) -> Bundle<'_> {
    ("authorities.gitlab.ca_file", gitlab.ca_file.as_deref())
}

/// Believes the first bundle that is named, beside the system's.
fn client_tls(
    bundles: &[Bundle<'_>],
    alpn: &[&[u8]],
    believed: &mut Bundles,
) -> Result<ClientTls, StartError> {
    let named = bundles
        .iter()
        .find_map(|(key, file)| Some((*key, (*file)?)));
    let (key, roots) = named.map_or(
        ("the system's certificates", TrustRoots::System),
        |(key, file)| (key, TrustRoots::SystemAnd(file.to_owned())),
    );
    let roots = believed.roots(key, roots)?;
    ClientTls::by(&roots, alpn).map_err(|error| unusable(key, error))
}

fn server_tls(
    files: Option<&CertificateFiles>,
    key: &'static str,
    alpn: &[&[u8]],
) -> Result<Option<ServerTls>, StartError> {
    let load = |files: &CertificateFiles| ServerTls::load(files.clone(), alpn);
    let tls = files.map(load).transpose();
    tls.map_err(|error| unusable(key, error))
}

fn unusable(key: &'static str, error: TlsError) -> StartError {
    StartError::Tls {
        key,
        source: Box::new(error),
    }
}

fn named<T, E: std::fmt::Display>(
    key: &'static str,
    file: Option<&Path>,
    take: fn(&str) -> Result<T, E>,
) -> Named<T> {
    file.map(|file| load(key, file, take)).transpose()
}
