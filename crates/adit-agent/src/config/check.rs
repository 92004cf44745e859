//! Decides whether a configuration is right: every value is looked at, and everything that is wrong is told at once, each with
//! its key.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use adit_identity::mistakes::{Key, Mistakes, Section};
use adit_otlp::TracesConfig;
use adit_process::backoff::BackoffTerms;
use adit_process::replica_name;
use adit_process::tls::{CertificateFiles, TrustRoots};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Config, DEAD_AFTER, FluxConfig, KubernetesConfig, Limits, PoolLimits, RawAdmin, RawCeiling,
    RawConfig, RawKubernetes, RawLimits, RawRelay, RelayConfig, RelayUrl, TokenSource,
};
use crate::dial::proxy::{Proxy, ProxyEnvironment};
use crate::impersonate::{BadPattern, Ceiling, Pattern, cover_all};

const DEFAULT_ADMIN: &str = "127.0.0.1:8152";
const DEFAULT_GRACE: Duration = Duration::from_secs(25);

impl TryFrom<RawConfig> for Config {
    type Error = Mistakes;

    fn try_from(raw: RawConfig) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::new();
        let config = check(raw, &mut mistakes);
        mistakes.finish(config)
    }
}

fn check(raw: RawConfig, mistakes: &mut Mistakes) -> Option<Config> {
    let relay = relay(raw.relay, raw.token, mistakes);
    let kubernetes = kubernetes(raw.kubernetes, mistakes);
    let ceiling = ceiling(raw.ceiling, mistakes);
    let limits = limits(&raw.limits, mistakes);
    let flux = raw.flux.map(|raw| FluxConfig::check(raw, mistakes));
    let admin = admin(&raw.admin, mistakes);
    let traces = raw.traces.map(|raw| TracesConfig::check(raw, mistakes));
    let drain_grace = Section::at(Key::root(), mistakes).time(
        "drain_grace",
        raw.drain_grace.as_deref(),
        DEFAULT_GRACE,
    );
    let log = raw.log.filter.and_then(|filter| {
        let mut section = Section::new("log", mistakes);
        section.check("filter", filter.parse())
    });
    let replica = raw
        .replica
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| replica_name("agent"));
    Some(Config {
        relay: relay?,
        kubernetes,
        ceiling,
        limits,
        flux: flux.flatten(),
        admin: admin?,
        traces: traces.flatten(),
        replica,
        log,
        drain_grace,
    })
}

fn relay(
    raw: RawRelay,
    given: Option<SecretString>,
    mistakes: &mut Mistakes,
) -> Option<RelayConfig> {
    let mut section = Section::new("relay", mistakes);
    let url = match &raw.url {
        Some(url) => section.check("url", url.parse::<RelayUrl>()),
        None => {
            section.mistake(
                "url",
                "missing: the relay's address, such as https://relay.example.com",
            );
            None
        }
    };
    let given_proxy = raw.proxy.as_ref().map(ExposeSecret::expose_secret);
    let proxy = proxy(given_proxy, url.as_ref(), &mut section);
    let token = token(raw.token_file, given, &mut section);
    let certificate = certificate(raw.client_certificate, raw.client_key, &mut section);
    if certificate.is_some() && url.as_ref().is_some_and(|url| !url.is_tls) {
        section.mistake(
            "client_certificate",
            "is shown in TLS, and relay.url has none: begin it with https://, or leave the certificate out",
        );
    }
    let connect_timeout = section.time(
        "connect_timeout",
        raw.connect_timeout.as_deref(),
        Duration::from_secs(10),
    );
    let backoff = BackoffTerms {
        base: section.time(
            "backoff_base",
            raw.backoff_base.as_deref(),
            Duration::from_millis(500),
        ),
        cap: section.time(
            "backoff_cap",
            raw.backoff_cap.as_deref(),
            Duration::from_secs(10),
        ),
    };
    let healthy_after = section.time(
        "healthy_after",
        raw.healthy_after.as_deref(),
        Duration::from_secs(30),
    );
    let ping_interval = section.time(
        "ping_interval",
        raw.ping_interval.as_deref(),
        adit_tunnel::Options::default().ping_interval,
    );
    let dead_after = section.time("dead_after", raw.dead_after.as_deref(), DEAD_AFTER);
    Some(RelayConfig {
        url: url?,
        roots: raw.ca_file.map_or(TrustRoots::System, TrustRoots::Only),
        certificate,
        token: token?,
        proxy: proxy?,
        connect_timeout,
        backoff,
        healthy_after,
        ping_interval,
        dead_after,
    })
}

/// `Some(None)`: no proxy. A plain connection, which only goes to loopback, never takes one.
fn proxy(
    raw: Option<&str>,
    url: Option<&RelayUrl>,
    section: &mut Section<'_>,
) -> Option<Option<Proxy>> {
    let given = match raw {
        None | Some("none") => None,
        Some(proxy) => Some(section.check("proxy", Proxy::parse(proxy))?),
    };
    let url = url?;
    if !url.is_tls {
        return Some(None);
    }
    if raw.is_some() {
        return Some(given);
    }
    let proxy = ProxyEnvironment::read().proxy_for(&url.host, url.port);
    section.check(
        "proxy",
        proxy.map_err(|bad| format!("{bad} (from HTTPS_PROXY or ALL_PROXY)")),
    )
}

fn certificate(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    section: &mut Section<'_>,
) -> Option<CertificateFiles> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => return Some(CertificateFiles { certificate, key }),
        (None, None) => {}
        (Some(_), None) => section.mistake("client_key", "needed with client_certificate"),
        (None, Some(_)) => section.mistake("client_certificate", "needed with client_key"),
    }
    None
}

fn token(
    file: Option<PathBuf>,
    given: Option<SecretString>,
    section: &mut Section<'_>,
) -> Option<TokenSource> {
    let why = match (file, given) {
        (Some(file), None) => return Some(TokenSource::File(file)),
        (None, Some(token)) => return Some(TokenSource::Given(token)),
        (Some(_), Some(_)) => "the environment gives a token, too: leave one of both out",
        (None, None) => {
            "missing: the file with the agent's token, or ADIT_AGENT_TOKEN in the environment"
        }
    };
    section.mistake("token_file", why);
    None
}

fn kubernetes(raw: RawKubernetes, mistakes: &mut Mistakes) -> KubernetesConfig {
    let default = PoolLimits::DEFAULT;
    let mut section = Section::new("kubernetes", mistakes);
    let ping_interval = section.time(
        "ping_interval",
        raw.ping_interval.as_deref(),
        default.ping_interval,
    );
    let dead_after = section.time("dead_after", raw.dead_after.as_deref(), default.dead_after);
    if dead_after <= ping_interval {
        section.mistake(
            "dead_after",
            "must be longer than ping_interval: the answer needs time to come",
        );
    }
    KubernetesConfig {
        kubeconfig: raw.kubeconfig,
        context: raw.context,
        connect_timeout: section.time(
            "connect_timeout",
            raw.connect_timeout.as_deref(),
            Duration::from_secs(10),
        ),
        pool: PoolLimits {
            max_connections: section.count(
                "max_connections",
                raw.max_connections,
                default.max_connections,
                1..=u64::MAX,
            ),
            max_upgrades: section.count(
                "max_upgrades",
                raw.max_upgrades,
                default.max_upgrades,
                1..=u64::MAX,
            ),
            max_read_ahead_bytes: section.count(
                "max_read_ahead_bytes",
                raw.max_read_ahead_bytes,
                default.max_read_ahead_bytes,
                1..=u64::MAX,
            ),
            max_streams_per_connection: section.count(
                "max_streams_per_connection",
                raw.max_streams_per_connection,
                default.max_streams_per_connection,
                1..=u64::MAX,
            ),
            ping_interval,
            dead_after,
            idle_after: section.time("idle_after", raw.idle_after.as_deref(), default.idle_after),
        },
    }
}

fn ceiling(raw: RawCeiling, mistakes: &mut Mistakes) -> Ceiling {
    let default = Ceiling::default();
    let mut section = Section::new("ceiling", mistakes);
    let mut patterns = |name, texts: Option<Vec<String>>, parse: Parse, default| match texts {
        Some(texts) => section.each(name, &texts, parse),
        None => default,
    };
    let users = patterns("users", raw.users, str::parse, default.users);
    let groups = patterns("groups", raw.groups, str::parse, default.groups);
    let namespaces = patterns(
        "namespaces",
        raw.namespaces,
        Pattern::of_namespaces,
        default.namespaces,
    );
    let verbs = patterns("verbs", raw.verbs, Pattern::of_verbs, default.verbs);
    let subresources = patterns(
        "subresources",
        raw.subresources,
        Pattern::of_subresources,
        default.subresources,
    );
    Ceiling {
        agent: raw.agent.unwrap_or(default.agent),
        users,
        groups,
        cluster_scope: raw.cluster_scope.unwrap_or_else(|| cover_all(&namespaces)),
        namespaces,
        verbs,
        subresources,
    }
}

type Parse = fn(&str) -> Result<Pattern, BadPattern>;

fn limits(raw: &RawLimits, mistakes: &mut Mistakes) -> Limits {
    let default = Limits::DEFAULT;
    let mut section = Section::new("limits", mistakes);
    let limits = Limits {
        max_streams: section.count(
            "max_streams",
            raw.max_streams,
            default.max_streams,
            1..=u32::MAX.into(),
        ),
        // Less would refuse ordinary requests; more than a megabyte is no head.
        max_head_bytes: section.count(
            "max_head_bytes",
            raw.max_head_bytes,
            default.max_head_bytes,
            8 << 10..=1 << 20,
        ),
        max_fields: section.count(
            "max_fields",
            raw.max_fields,
            default.max_fields,
            1..=u64::MAX,
        ),
        max_buffered_bytes: section.count(
            "max_buffered_bytes",
            raw.max_buffered_bytes,
            default.max_buffered_bytes,
            1..=u64::MAX,
        ),
        max_queued_bytes: section.count(
            "max_queued_bytes",
            raw.max_queued_bytes,
            default.max_queued_bytes,
            1..=u64::MAX,
        ),
        stream_queue_bytes: section.count(
            "stream_queue_bytes",
            raw.stream_queue_bytes,
            default.stream_queue_bytes,
            1..=u64::MAX,
        ),
        stream_credit: section.count(
            "stream_credit_bytes",
            raw.stream_credit_bytes,
            default.stream_credit,
            4 << 10..=1 << 30,
        ),
        max_stream_credit: section.count(
            "max_stream_credit_bytes",
            raw.max_stream_credit_bytes,
            default.max_stream_credit,
            4 << 10..=1 << 30,
        ),
    };
    if limits.max_stream_credit < limits.stream_credit {
        section.mistake(
            "max_stream_credit_bytes",
            "must be no less than stream_credit_bytes",
        );
    }
    limits
}

fn admin(raw: &RawAdmin, mistakes: &mut Mistakes) -> Option<SocketAddr> {
    let address = raw.address.as_deref().unwrap_or(DEFAULT_ADMIN);
    let checked = address.parse().map_err(|_| {
        format!(
            "`{address}` is not an address and port, such as 127.0.0.1:8152: a name is not taken"
        )
    });
    Section::new("admin", mistakes).check("address", checked)
}
