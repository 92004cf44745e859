//! Decides which keys of a changed configuration wait for the relay's next start: what they say cannot change while it runs.

use std::sync::Arc;

use adit_process::tls::CertificateFiles;
use arc_swap::ArcSwap;

use super::{AdminConfig, Config, FrontDoorConfig, GitLabApiConfig, TunnelConfig};
use crate::audit::AuditTo;

/// The keys that wait. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending(Arc<ArcSwap<Vec<String>>>);

impl Pending {
    pub(crate) fn keys(&self) -> Arc<Vec<String>> {
        self.0.load_full()
    }

    pub(crate) fn set(&self, keys: Vec<String>) {
        self.0.store(Arc::new(keys));
    }
}

impl Config {
    /// The keys of which `next` says something else than this one, and that a relay which runs by this one does not take up.
    #[must_use]
    pub fn pending(&self, next: &Self) -> Vec<String> {
        // All fields are named, so that nobody adds one without a thought.
        let Self {
            front_door,
            admin,
            gitlab_api,
            agent_series: _,
            shards,
            oidc: _,
            gitlab,
            ca_file,
            agents: _,
            route: _,
            tunnel,
            client_ca_file,
            limits: _,
            audit,
            traces,
            log: _,
            drain_grace: _,
        } = self;
        let mut keys = Keys::default();
        front_door.pending(&next.front_door, &mut keys);
        admin.pending(&next.admin, &mut keys);
        match (gitlab_api, &next.gitlab_api) {
            (Some(api), Some(next)) => api.pending(next, &mut keys),
            (api, next) => keys.differ("gitlab_api", api.is_some() != next.is_some()),
        }
        keys.differ("shards", *shards != next.shards);
        match (gitlab, &next.gitlab) {
            (Some(gitlab), Some(next)) => {
                for key in gitlab.differences(next) {
                    keys.differ(&format!("authorities.gitlab.{key}"), true);
                }
            }
            (gitlab, next) => {
                keys.differ("authorities.gitlab", gitlab.is_some() != next.is_some());
            }
        }
        keys.differ("authorities.ca_file", *ca_file != next.ca_file);
        keys.differ(
            "tunnel.client_ca_file",
            *client_ca_file != next.client_ca_file,
        );
        tunnel.pending(&next.tunnel, &mut keys);
        audit.to.pending(&next.audit.to, &mut keys);
        keys.differ("traces", *traces != next.traces);
        keys.0
    }
}

/// Those that were found to differ.
#[derive(Debug, Default)]
struct Keys(Vec<String>);

impl Keys {
    fn differ(&mut self, key: &str, differs: bool) {
        if differs {
            self.0.push(key.to_owned());
        }
    }

    fn of_files(
        &mut self,
        section: &str,
        files: Option<&CertificateFiles>,
        next: Option<&CertificateFiles>,
    ) {
        let certificate = |files: &CertificateFiles| files.certificate.clone();
        let differs = files.map(certificate) != next.map(certificate);
        self.differ(&format!("{section}.certificate"), differs);
        let key = |files: &CertificateFiles| files.key.clone();
        self.differ(&format!("{section}.key"), files.map(key) != next.map(key));
    }
}

impl FrontDoorConfig {
    fn pending(&self, next: &Self, keys: &mut Keys) {
        keys.differ("listen.address", self.address != next.address);
        keys.of_files("listen", self.tls.as_ref(), next.tls.as_ref());
        let ended_before = self.tls_ended_before != next.tls_ended_before;
        keys.differ("listen.tls_ended_before", ended_before);
    }
}

impl AdminConfig {
    fn pending(&self, next: &Self, keys: &mut Keys) {
        let Self {
            address,
            tls,
            client_ca_file,
            token_file,
        } = self;
        keys.differ("admin.address", *address != next.address);
        keys.of_files("admin", tls.as_ref(), next.tls.as_ref());
        let cas = *client_ca_file != next.client_ca_file;
        keys.differ("admin.client_ca_file", cas);
        keys.differ("admin.token_file", *token_file != next.token_file);
    }
}

impl GitLabApiConfig {
    fn pending(&self, next: &Self, keys: &mut Keys) {
        let Self {
            address,
            tls,
            secret_file,
            connections,
        } = self;
        keys.differ("gitlab_api.address", *address != next.address);
        keys.of_files("gitlab_api", tls.as_ref(), next.tls.as_ref());
        keys.differ("gitlab_api.secret_file", *secret_file != next.secret_file);
        keys.differ("gitlab_api.connections", *connections != next.connections);
    }
}

impl TunnelConfig {
    /// All tunnels share one budget, those that are open among them.
    fn pending(&self, next: &Self, keys: &mut Keys) {
        let differs = self.max_buffered_bytes_in_all != next.max_buffered_bytes_in_all;
        keys.differ("tunnel.max_buffered_in_all", differs);
    }
}

impl AuditTo {
    fn pending(&self, next: &Self, keys: &mut Keys) {
        match (self, next) {
            (Self::Nowhere, Self::Nowhere) | (Self::Stdout, Self::Stdout) => {}
            (Self::File(file), Self::File(next)) => {
                keys.differ("audit.file", file.path != next.path);
                keys.differ("audit.file_size", file.max_bytes != next.max_bytes);
                keys.differ("audit.files", file.keep != next.keep);
            }
            (Self::Collector(collector), Self::Collector(next)) => {
                keys.differ("audit.otlp", collector != next);
            }
            (Self::Nowhere | Self::Stdout | Self::File(_) | Self::Collector(_), _) => {
                keys.differ("audit.to", true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    fn config(more: &str) -> Config {
        let yaml = format!("listen: {{address: '127.0.0.1:0'}}\n{more}");
        Config::try_from(RawConfig::from_yaml(&yaml).unwrap()).unwrap()
    }

    #[test]
    fn what_waits_for_a_start_is_told_by_key_and_nothing_else_is() {
        let started = config("tunnel: {max_buffered_in_all: 2MiB}\naudit: {to: file, file: /a}");
        assert_eq!(started.pending(&started), [""; 0]);
        let taken_up = "tunnel: {max_buffered_in_all: 2MiB, dead_after: 1m}\n\
                        audit: {to: file, file: /a, queue: 1MiB}\n\
                        limits: {connections: 7}\nlog: {filter: debug}\ndrain: {grace: 1s}";
        assert_eq!(started.pending(&config(taken_up)), [""; 0]);
        let pending = "tunnel: {max_buffered_in_all: 3MiB}\n\
                       audit: {to: file, file: /b, files: 2}\nshards: 77\n\
                       admin: {address: '127.0.0.1:1', token_file: /t}\n\
                       authorities: {ca_file: /ca, gitlab: {url: 'https://gitlab.example.com'}}";
        let expected = [
            "admin.address",
            "admin.token_file",
            "shards",
            "authorities.gitlab",
            "authorities.ca_file",
            "tunnel.max_buffered_in_all",
            "audit.file",
            "audit.files",
        ];
        assert_eq!(started.pending(&config(pending)), expected);
        let expected = ["tunnel.max_buffered_in_all", "audit.to"];
        assert_eq!(config("").pending(&started), expected);
        let gitlab = |key: &str| {
            let url = "url: 'https://gitlab.example.com'";
            config(&format!("authorities: {{gitlab: {{{url}, {key}}}}}"))
        };
        let (before, after) = (gitlab("recheck: 1m"), gitlab("timeout: 1s"));
        let expected = ["authorities.gitlab.recheck", "authorities.gitlab.timeout"];
        assert_eq!(before.pending(&after), expected);
    }
}
