//! Decides which keys of a changed configuration wait for the agent's next start: what they say cannot change while it runs.

use adit_process::backoff::BackoffTerms;
use adit_process::tls::CertificateFiles;

use super::{Config, FluxConfig, KubernetesConfig, Limits, PoolLimits, RelayConfig, TokenSource};

impl Config {
    /// The keys of which `next` says something else than this one, and that an agent which runs by this one does not take up.
    #[must_use]
    pub fn pending(&self, next: &Self) -> Vec<String> {
        // All fields are named, here and below, so that nobody adds one without a thought.
        let Self {
            relay,
            kubernetes,
            ceiling: _,
            limits,
            flux,
            admin,
            traces,
            replica,
            log: _,
            drain_grace: _,
        } = self;
        let mut keys = Vec::new();
        of("relay.", relay.differences(&next.relay), &mut keys);
        let of_kubernetes = kubernetes.differences(&next.kubernetes);
        of("kubernetes.", of_kubernetes, &mut keys);
        of("limits.", limits.differences(&next.limits), &mut keys);
        match (flux, &next.flux) {
            (Some(flux), Some(next)) => of("flux.", flux.differences(next), &mut keys),
            (flux, next) => of("", [("flux", flux.is_some() != next.is_some())], &mut keys),
        }
        let of_process = [
            ("admin.address", *admin != next.admin),
            ("traces", *traces != next.traces),
            ("replica", *replica != next.replica),
        ];
        of("", of_process, &mut keys);
        keys
    }
}

/// Adds those that differ, each below its section.
fn of(
    section: &str,
    differences: impl IntoIterator<Item = (&'static str, bool)>,
    keys: &mut Vec<String>,
) {
    let differing = differences.into_iter().filter(|(_, differs)| *differs);
    keys.extend(differing.map(|(key, _)| format!("{section}{key}")));
}

impl RelayConfig {
    fn differences(&self, next: &Self) -> [(&'static str, bool); 12] {
        let Self {
            url,
            roots,
            certificate,
            token,
            proxy,
            connect_timeout,
            backoff: BackoffTerms { base, cap },
            healthy_after,
            ping_interval,
            dead_after,
        } = self;
        let certificate_file = |files: &CertificateFiles| files.certificate.clone();
        let key_file = |files: &CertificateFiles| files.key.clone();
        let (files, next_files) = (certificate.as_ref(), next.certificate.as_ref());
        [
            ("url", *url != next.url),
            ("ca_file", *roots != next.roots),
            (
                "client_certificate",
                files.map(certificate_file) != next_files.map(certificate_file),
            ),
            (
                "client_key",
                files.map(key_file) != next_files.map(key_file),
            ),
            ("token_file", token.is_other_than(&next.token)),
            ("proxy", *proxy != next.proxy),
            ("connect_timeout", *connect_timeout != next.connect_timeout),
            ("backoff_base", *base != next.backoff.base),
            ("backoff_cap", *cap != next.backoff.cap),
            ("healthy_after", *healthy_after != next.healthy_after),
            ("ping_interval", *ping_interval != next.ping_interval),
            ("dead_after", *dead_after != next.dead_after),
        ]
    }
}

impl TokenSource {
    /// The environment of a process does not change.
    fn is_other_than(&self, next: &Self) -> bool {
        match (self, next) {
            (Self::File(file), Self::File(next)) => file != next,
            (Self::Given(_), Self::Given(_)) => false,
            (Self::File(_), Self::Given(_)) | (Self::Given(_), Self::File(_)) => true,
        }
    }
}

impl KubernetesConfig {
    fn differences(&self, next: &Self) -> [(&'static str, bool); 10] {
        let Self {
            kubeconfig,
            context,
            connect_timeout,
            pool:
                PoolLimits {
                    max_connections,
                    max_upgrades,
                    max_read_ahead_bytes,
                    max_streams_per_connection,
                    ping_interval,
                    dead_after,
                    idle_after,
                },
        } = self;
        let pool = &next.pool;
        [
            ("kubeconfig", *kubeconfig != next.kubeconfig),
            ("context", *context != next.context),
            ("connect_timeout", *connect_timeout != next.connect_timeout),
            ("max_connections", *max_connections != pool.max_connections),
            ("max_upgrades", *max_upgrades != pool.max_upgrades),
            (
                "max_read_ahead_bytes",
                *max_read_ahead_bytes != pool.max_read_ahead_bytes,
            ),
            (
                "max_streams_per_connection",
                *max_streams_per_connection != pool.max_streams_per_connection,
            ),
            ("ping_interval", *ping_interval != pool.ping_interval),
            ("dead_after", *dead_after != pool.dead_after),
            ("idle_after", *idle_after != pool.idle_after),
        ]
    }
}

impl Limits {
    fn differences(&self, next: &Self) -> [(&'static str, bool); 8] {
        let Self {
            max_streams,
            max_head_bytes,
            max_fields,
            max_buffered_bytes,
            max_queued_bytes,
            stream_queue_bytes,
            stream_credit,
            max_stream_credit,
        } = self;
        [
            ("max_streams", *max_streams != next.max_streams),
            ("max_head_bytes", *max_head_bytes != next.max_head_bytes),
            ("max_fields", *max_fields != next.max_fields),
            (
                "max_buffered_bytes",
                *max_buffered_bytes != next.max_buffered_bytes,
            ),
            (
                "max_queued_bytes",
                *max_queued_bytes != next.max_queued_bytes,
            ),
            (
                "stream_queue_bytes",
                *stream_queue_bytes != next.stream_queue_bytes,
            ),
            ("stream_credit_bytes", *stream_credit != next.stream_credit),
            (
                "max_stream_credit_bytes",
                *max_stream_credit != next.max_stream_credit,
            ),
        ]
    }
}

impl FluxConfig {
    fn differences(&self, next: &Self) -> [(&'static str, bool); 5] {
        let Self {
            gitlab,
            namespaces,
            receivers,
            lease_name,
            lease_namespace,
        } = self;
        [
            ("gitlab_url", *gitlab != next.gitlab),
            ("namespaces", *namespaces != next.namespaces),
            ("webhook_receiver_url", *receivers != next.receivers),
            ("lease_name", *lease_name != next.lease_name),
            ("lease_namespace", *lease_namespace != next.lease_namespace),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawConfig;

    fn config(relay: &str, more: &str) -> Config {
        let yaml = format!("relay: {{token_file: /t, proxy: none, {relay}}}\nreplica: a\n{more}");
        Config::try_from(RawConfig::from_yaml(&yaml).unwrap()).unwrap()
    }

    #[test]
    fn what_waits_for_a_start_is_told_by_key_and_nothing_else_is() {
        let url = "url: 'https://relay.example.com'";
        let started = config(url, "");
        assert_eq!(started.pending(&started), [""; 0]);
        let taken_up = config(
            url,
            "ceiling: {agent: false, users: ['a'], groups: ['b'], namespaces: ['c'], verbs: [get]}\nlog: {filter: debug}\ndrain_grace: 1s",
        );
        assert_eq!(started.pending(&taken_up), [""; 0]);
        let pending = config(
            "url: 'https://elsewhere.example.com', dead_after: 1m, client_certificate: /c, client_key: /k",
            "kubernetes: {context: b}\nlimits: {max_streams: 7}\nadmin: {address: '127.0.0.1:1'}\n\
             flux: {gitlab_url: 'https://gitlab.example.com', lease_namespace: adit}",
        );
        let expected = [
            "relay.url",
            "relay.client_certificate",
            "relay.client_key",
            "relay.dead_after",
            "kubernetes.context",
            "limits.max_streams",
            "flux",
            "admin.address",
        ];
        assert_eq!(started.pending(&pending), expected);
    }
}
