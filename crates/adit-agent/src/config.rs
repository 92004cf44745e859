//! Decides what an agent's configuration may say. Read by the binary from a file, flags and the environment; checked once
//! here, all mistakes told at once; each stage gets its own checked part.
//! Invariant: secrets are paths to files or a [`SecretString`]; no `Debug` of these types prints one.

mod memory;
mod raw;
mod relay_url;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use adit_identity::duration;
use adit_identity::mistakes::{Key, Mistakes};
use adit_process::tls::TrustRoots;
use secrecy::{ExposeSecret, SecretString};

pub use self::raw::{BadYaml, RawAdmin, RawCeiling, RawConfig, RawKubernetes, RawLimits, RawRelay};
pub(crate) use self::relay_url::RelayUrl;
use crate::backoff::BackoffTerms;
use crate::dial::proxy::{Proxy, ProxyEnvironment};
use crate::impersonate::{Ceiling, Pattern};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) relay: RelayConfig,
    pub(crate) kubernetes: KubernetesConfig,
    pub(crate) ceiling: Ceiling,
    pub(crate) limits: Limits,
    pub(crate) admin: SocketAddr,
    pub(crate) replica: String,
    pub(crate) drain_grace: Duration,
}

impl Config {
    /// `drain_grace`: how long streams may run on once the agent was asked to stop.
    #[must_use]
    pub const fn drain_grace(&self) -> Duration {
        self.drain_grace
    }
}

/// How the relay is reached.
#[derive(Clone, Debug)]
pub(crate) struct RelayConfig {
    pub(crate) url: RelayUrl,
    pub(crate) roots: TrustRoots,
    pub(crate) token: TokenSource,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) connect_timeout: Duration,
    pub(crate) backoff: BackoffTerms,
    /// A tunnel that lived this long was healthy: the next failure starts the backoff over.
    pub(crate) healthy_after: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) dead_after: Duration,
}

/// Where the agent's token is.
#[derive(Clone, Debug)]
pub(crate) enum TokenSource {
    /// Reread on each connect, so that a rotated token is taken up.
    File(PathBuf),
    /// From the environment.
    Given(SecretString),
}

/// How the API server is reached.
#[derive(Clone, Debug)]
pub(crate) struct KubernetesConfig {
    /// Absent: the pod's service account, or outside a cluster what kubectl would take.
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) pool: PoolLimits,
}

/// What the connections to the API server may grow to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    pub(crate) max_connections: usize,
    /// Upgraded connections, which are beside the others.
    pub(crate) max_upgrades: usize,
    /// What answers may be ahead of their readers, beside the least that each may.
    pub(crate) max_read_ahead_bytes: usize,
    /// Below what the API server allows.
    pub(crate) max_streams_per_connection: usize,
    pub(crate) ping_interval: Duration,
    /// Silence after which a connection is dead; longer than the interval.
    pub(crate) dead_after: Duration,
    /// How long a connection lives without a request.
    pub(crate) idle_after: Duration,
}

/// What the relay may ask of this agent at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_streams: u32,
    pub(crate) max_head_bytes: u32,
    pub(crate) max_fields: usize,
    pub(crate) max_buffered_bytes: usize,
    /// Of answers, in one tunnel.
    pub(crate) max_queued_bytes: usize,
    /// Of one answer.
    pub(crate) stream_queue_bytes: usize,
    /// The window of a request's body, at first and at most.
    pub(crate) stream_credit: u32,
    pub(crate) max_stream_credit: u32,
}

impl TryFrom<RawConfig> for Config {
    type Error = Mistakes;

    fn try_from(raw: RawConfig) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::new();
        let key = Key::root();
        let relay = check_relay(raw.relay, raw.token, &key.field("relay"), &mut mistakes);
        let kubernetes = check_kubernetes(raw.kubernetes, &key.field("kubernetes"), &mut mistakes);
        let ceiling = check_ceiling(raw.ceiling, &key.field("ceiling"), &mut mistakes);
        let limits = check_limits(raw.limits, &key.field("limits"), &mut mistakes);
        let admin = check_admin(raw.admin, &key.field("admin"), &mut mistakes);
        let drain_grace = time(
            raw.drain_grace,
            "25s",
            &key.field("drain_grace"),
            &mut mistakes,
        );
        let replica = raw
            .replica
            .filter(|name| !name.is_empty())
            .unwrap_or_else(default_replica);
        mistakes.finish(relay.zip(admin).map(|(relay, admin)| Self {
            relay,
            kubernetes,
            ceiling,
            limits,
            admin,
            replica,
            drain_grace,
        }))
    }
}

fn check_relay(
    raw: RawRelay,
    given: Option<SecretString>,
    key: &Key,
    mistakes: &mut Mistakes,
) -> Option<RelayConfig> {
    let url_key = key.field("url");
    let url = match raw.url {
        Some(url) => mistakes.check(&url_key, url.parse::<RelayUrl>()),
        None => {
            mistakes.add(
                &url_key,
                "missing: the relay's address, such as https://relay.example.com",
            );
            None
        }
    };
    let proxy = url.as_ref().and_then(|url| {
        check_proxy(
            raw.proxy.as_ref().map(ExposeSecret::expose_secret),
            url,
            &key.field("proxy"),
            mistakes,
        )
    });
    let token = check_token(raw.token_file, given, &key.field("token_file"), mistakes);
    let connect_timeout = time(
        raw.connect_timeout,
        "10s",
        &key.field("connect_timeout"),
        mistakes,
    );
    let backoff = BackoffTerms {
        base: time(
            raw.backoff_base,
            "500ms",
            &key.field("backoff_base"),
            mistakes,
        ),
        cap: time(raw.backoff_cap, "10s", &key.field("backoff_cap"), mistakes),
    };
    let healthy_after = time(
        raw.healthy_after,
        "30s",
        &key.field("healthy_after"),
        mistakes,
    );
    let (ping_interval, dead_after) = liveness(raw.ping_interval, raw.dead_after, key, mistakes);
    Some(RelayConfig {
        url: url?,
        roots: raw.ca_file.map_or(TrustRoots::System, TrustRoots::Only),
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
fn check_proxy(
    raw: Option<&str>,
    url: &RelayUrl,
    key: &Key,
    mistakes: &mut Mistakes,
) -> Option<Option<Proxy>> {
    if !url.is_tls {
        return Some(None);
    }
    match raw {
        Some("none") => Some(None),
        Some(proxy) => mistakes.check(key, Proxy::parse(proxy)).map(Some),
        None => {
            let proxy = ProxyEnvironment::read().proxy_for(&url.host, url.port);
            mistakes.check(
                key,
                proxy.map_err(|bad| format!("{bad} (from HTTPS_PROXY or ALL_PROXY)")),
            )
        }
    }
}

fn check_token(
    file: Option<PathBuf>,
    given: Option<SecretString>,
    key: &Key,
    mistakes: &mut Mistakes,
) -> Option<TokenSource> {
    match (file, given) {
        (Some(file), None) => Some(TokenSource::File(file)),
        (None, Some(token)) => Some(TokenSource::Given(token)),
        (Some(_), Some(_)) => {
            mistakes.add(
                key,
                "the environment gives a token, too: leave one of both out",
            );
            None
        }
        (None, None) => {
            mistakes.add(
                key,
                "missing: the file with the agent's token, or ADIT_AGENT_TOKEN in the environment",
            );
            None
        }
    }
}

fn check_kubernetes(raw: RawKubernetes, key: &Key, mistakes: &mut Mistakes) -> KubernetesConfig {
    let (ping_interval, dead_after) = liveness(raw.ping_interval, raw.dead_after, key, mistakes);
    let streams = key.field("max_streams_per_connection");
    KubernetesConfig {
        kubeconfig: raw.kubeconfig,
        context: raw.context,
        connect_timeout: time(
            raw.connect_timeout,
            "10s",
            &key.field("connect_timeout"),
            mistakes,
        ),
        pool: PoolLimits {
            max_connections: count(
                raw.max_connections,
                256,
                &key.field("max_connections"),
                mistakes,
            ),
            max_read_ahead_bytes: count(
                raw.max_read_ahead_bytes,
                64 << 20,
                &key.field("max_read_ahead_bytes"),
                mistakes,
            ),
            max_upgrades: count(raw.max_upgrades, 1000, &key.field("max_upgrades"), mistakes),
            max_streams_per_connection: count(
                raw.max_streams_per_connection,
                1000,
                &streams,
                mistakes,
            ),
            ping_interval,
            dead_after,
            idle_after: time(raw.idle_after, "90s", &key.field("idle_after"), mistakes),
        },
    }
}

fn check_ceiling(raw: RawCeiling, key: &Key, mistakes: &mut Mistakes) -> Ceiling {
    let default = Ceiling::default();
    let users = patterns(raw.users, &key.field("users"), mistakes);
    let groups = patterns(raw.groups, &key.field("groups"), mistakes);
    Ceiling {
        agent: raw.agent.unwrap_or(default.agent),
        users: users.unwrap_or(default.users),
        groups: groups.unwrap_or(default.groups),
    }
}

fn patterns(raw: Option<Vec<String>>, key: &Key, mistakes: &mut Mistakes) -> Option<Vec<Pattern>> {
    let checked = raw?
        .iter()
        .enumerate()
        .filter_map(|(at, text)| mistakes.check(&key.index(at), text.parse()))
        .collect();
    Some(checked)
}

fn check_limits(raw: RawLimits, key: &Key, mistakes: &mut Mistakes) -> Limits {
    let max_head_bytes = bytes(
        raw.max_head_bytes,
        64 << 10,
        // Less would refuse ordinary requests; more than a megabyte is no head.
        8 << 10..=1 << 20,
        &key.field("max_head_bytes"),
        mistakes,
    );
    let buffered = count(
        raw.max_buffered_bytes,
        64 << 20,
        &key.field("max_buffered_bytes"),
        mistakes,
    );
    let streams = count(raw.max_streams, 10_000, &key.field("max_streams"), mistakes);
    let credit_key = key.field("max_stream_credit_bytes");
    let stream_credit = bytes(
        raw.stream_credit_bytes,
        64 << 10,
        4 << 10..=1 << 30,
        &key.field("stream_credit_bytes"),
        mistakes,
    );
    let max_stream_credit = bytes(
        raw.max_stream_credit_bytes,
        16 << 20,
        4 << 10..=1 << 30,
        &credit_key,
        mistakes,
    );
    if max_stream_credit < stream_credit {
        mistakes.add(&credit_key, "it must be no less than stream_credit_bytes");
    }
    Limits {
        max_streams: u32::try_from(streams).unwrap_or(u32::MAX),
        max_head_bytes,
        max_queued_bytes: count(
            raw.max_queued_bytes,
            64 << 20,
            &key.field("max_queued_bytes"),
            mistakes,
        ),
        stream_queue_bytes: count(
            raw.stream_queue_bytes,
            128 << 10,
            &key.field("stream_queue_bytes"),
            mistakes,
        ),
        stream_credit,
        max_stream_credit,
        max_fields: count(raw.max_fields, 256, &key.field("max_fields"), mistakes),
        max_buffered_bytes: buffered,
    }
}

fn check_admin(raw: RawAdmin, key: &Key, mistakes: &mut Mistakes) -> Option<SocketAddr> {
    let address = raw.address.as_deref().unwrap_or(DEFAULT_ADMIN);
    let checked = address
        .parse()
        .map_err(|_| "not an address and port, such as 127.0.0.1:8152");
    mistakes.check(&key.field("address"), checked)
}

/// Ping interval and the silence that means death; the second must leave time for an answer.
fn liveness(
    ping: Option<String>,
    dead: Option<String>,
    key: &Key,
    mistakes: &mut Mistakes,
) -> (Duration, Duration) {
    let dead_key = key.field("dead_after");
    let ping = time(ping, "10s", &key.field("ping_interval"), mistakes);
    let dead = time(dead, "15s", &dead_key, mistakes);
    if dead <= ping {
        mistakes.add(
            &dead_key,
            "it must be longer than ping_interval: the answer needs time to come",
        );
    }
    (ping, dead)
}

/// A duration above zero.
fn time(raw: Option<String>, default: &str, key: &Key, mistakes: &mut Mistakes) -> Duration {
    let parsed = duration::parse(raw.as_deref().unwrap_or(default));
    match mistakes.check(key, parsed) {
        Some(Duration::ZERO) => {
            mistakes.add(key, "it must be longer than nothing");
            Duration::ZERO
        }
        Some(time) => time,
        None => Duration::ZERO,
    }
}

fn count(raw: Option<usize>, default: usize, key: &Key, mistakes: &mut Mistakes) -> usize {
    let count = raw.unwrap_or(default);
    if count == 0 {
        mistakes.add(key, "it must be at least 1");
    }
    count
}

fn bytes(
    raw: Option<u32>,
    default: u32,
    range: RangeInclusive<u32>,
    key: &Key,
    mistakes: &mut Mistakes,
) -> u32 {
    let bytes = raw.unwrap_or(default);
    if !range.contains(&bytes) {
        mistakes.add(
            key,
            format_args!("it must be {} to {}", range.start(), range.end()),
        );
    }
    bytes
}

/// A pod's name, or else something that tells processes on one machine apart.
fn default_replica() -> String {
    let host = || {
        let named = std::env::var("HOSTNAME")
            .ok()
            .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
        let host = named
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty());
        format!(
            "{}-{}",
            host.as_deref().unwrap_or("agent"),
            std::process::id()
        )
    };
    std::env::var("POD_NAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(host)
}

const DEFAULT_ADMIN: &str = "127.0.0.1:8152";

#[cfg(test)]
mod tests;
