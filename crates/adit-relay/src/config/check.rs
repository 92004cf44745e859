//! Decides whether a configuration file is right: every value is looked at, and everything that is wrong is told at once,
//! each with its key.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZero,
    time::Duration,
};

use adit_authority::{AccessAs, Agents, Authorities, GitLabConfig, OidcConfig, RawGitLab};
use adit_identity::mistakes::{Key, Mistakes, Section};
use adit_otlp::TracesConfig;
use adit_process::Shards;
use ipnet::{IpNet, Ipv4Net};

use super::{
    AdminConfig, Config, FrontDoorConfig, GitLabApiConfig, LimitsConfig, RawConfig, RawLimits,
    RawListen, RawRoute, RawTunnel, RouteConfig, TunnelConfig, audit,
    gitlab_api::Around,
    port::{RawPort, apart},
};
use crate::client::Proxies;

const DEFAULT_ADDRESS: &str = "0.0.0.0:8150";
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Two series each: what a Prometheus takes from one target without complaint.
const MOST_AGENT_SERIES: u64 = 10_000;
/// Why the public port needs TLS.
const PLAIN: &str = "needed: without TLS the relay listens on loopback only, and kubectl sends no token without it; where TLS ends at a balancer before the relay, say so by listen.tls_ended_before instead";
/// Why it has either a certificate or a balancer that has one.
const WITH_CERTIFICATE: &str = "either TLS ends before the relay, or the relay has a certificate: take this out, or listen.certificate and listen.key";
const BY_WHOM: &str = "needs the addresses of what ends TLS, in proxy_protocol_from or forwarded_for_from: plain connections are taken from there alone";
const EVERYBODY: &str = "names everybody, or more than a network of anybody's own (10.0.0.0/8, fc00::/7), who could then send tokens in clear: with tls_ended_before, name the addresses of what ends TLS";
/// Why agents' certificates need TLS that ends here.
const NO_TLS: &str = "cannot be checked without listen.certificate: where something in front of the relay ends TLS (tls_ended_before), the relay does not see what an agent shows; let it pass TLS through, or leave this out";
const NO_NETWORK: &str = "not a network such as 10.0.0.0/8, nor an address";
const DEFAULT_GRACE: Duration = Duration::from_secs(300);

impl TryFrom<RawConfig> for Config {
    type Error = Mistakes;

    fn try_from(raw: RawConfig) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::new();
        let config = check(raw, &mut mistakes);
        mistakes.finish(config)
    }
}

fn check(raw: RawConfig, mistakes: &mut Mistakes) -> Option<Config> {
    let root = Key::root();
    let is_plain = raw.listen.certificate.is_none() && raw.listen.key.is_none();
    let front_door = front_door(raw.listen, &raw.limits, mistakes);
    let admin = AdminConfig::check(raw.admin, mistakes);
    let agent_series = Section::new("metrics", mistakes).count(
        "agents",
        raw.metrics.agents,
        0,
        0..=MOST_AGENT_SERIES,
    );
    let shards = shards(raw.shards, &root.field("shards"), mistakes);
    let oidc = OidcConfig::check(
        raw.authorities.oidc,
        &root.field("authorities").field("oidc"),
        mistakes,
    );
    let issuers = oidc.urls();
    let has_gitlab = raw.authorities.gitlab.is_some();
    let secret_file = |gitlab: &RawGitLab| gitlab.api_secret_file.is_some();
    let knows_agents = raw.authorities.gitlab.as_ref().is_some_and(secret_file);
    let around = Around {
        has_gitlab,
        has_secret: knows_agents,
    };
    let gitlab_api = raw
        .gitlab_api
        .map(|raw| GitLabApiConfig::check(raw, around, mistakes));
    let gitlab = raw.authorities.gitlab.map(|raw| {
        let key = root.field("authorities").field("gitlab");
        GitLabConfig::check(raw, &key, mistakes)
    });
    let of_gitlab = gitlab_api.as_ref().and_then(Option::as_ref);
    let ports = [
        ("listen", front_door.as_ref().map(|port| port.address)),
        ("admin", admin.as_ref().map(|port| port.address)),
        ("gitlab_api", of_gitlab.map(|port| port.address)),
    ];
    apart(&ports, mistakes);
    let agents = Agents::check(
        raw.agents,
        Authorities {
            issuers: &issuers,
            has_gitlab,
            knows_agents,
        },
        &AccessAs::CiJob,
        &root.field("agents"),
        mistakes,
    );
    let route = route(&raw.route, mistakes);
    let tunnel = tunnel(&raw.tunnel, mistakes);
    if is_plain && raw.tunnel.client_ca_file.is_some() {
        Section::new("tunnel", mistakes).mistake("client_ca_file", NO_TLS);
    }
    let limits = limits(&raw.limits, mistakes);
    let audit = audit::check(raw.audit, mistakes);
    let traces = raw.traces.map(|raw| TracesConfig::check(raw, mistakes));
    let log = raw.log.filter.and_then(|filter| {
        let mut section = Section::new("log", mistakes);
        section.check("filter", filter.parse())
    });
    let drain_grace = Section::new("drain", mistakes).duration(
        "grace",
        raw.drain.grace.as_deref(),
        DEFAULT_GRACE,
        Section::ANY_TIME,
    );
    Some(Config {
        front_door: front_door?,
        admin: admin?,
        gitlab_api: if_checked(gitlab_api)?,
        agent_series,
        shards,
        oidc,
        gitlab: if_checked(gitlab)?,
        ca_file: raw.authorities.ca_file,
        agents: agents?,
        route,
        tunnel,
        client_ca_file: raw.tunnel.client_ca_file,
        limits,
        audit: audit?,
        traces: if_checked(traces)?,
        log,
        drain_grace,
    })
}

/// A section that may be missing, if it is right.
fn if_checked<T>(section: Option<Option<T>>) -> Option<Option<T>> {
    match section {
        Some(checked) => checked.map(Some),
        None => Some(None),
    }
}

fn front_door(
    raw: RawListen,
    limits: &RawLimits,
    mistakes: &mut Mistakes,
) -> Option<FrontDoorConfig> {
    let mut listen = Section::new("listen", mistakes);
    let port = RawPort {
        address: raw.address.as_deref(),
        default_address: DEFAULT_ADDRESS,
        certificate: raw.certificate.as_ref(),
        key: raw.key.as_ref(),
        plain: (!raw.tls_ended_before).then_some(PLAIN),
    };
    let (address, tls) = port.check(&mut listen);
    // A wrong address does not hide what else is wrong.
    let default = FrontDoorConfig::new(address.unwrap_or(NOWHERE), tls);
    let handshake_timeout = listen.time(
        "handshake_timeout",
        raw.handshake_timeout.as_deref(),
        default.handshake_timeout,
    );
    let head_timeout = listen.time(
        "head_timeout",
        raw.head_timeout.as_deref(),
        default.head_timeout,
    );
    let idle_timeout = listen.time(
        "idle_timeout",
        raw.idle_timeout.as_deref(),
        default.idle_timeout,
    );
    let keepalive = listen.time("keepalive", raw.keepalive.as_deref(), default.keepalive);
    let proxy_protocol_from = proxies(&mut listen, "proxy_protocol_from", &raw.proxy_protocol_from);
    let forwarded_for_from = proxies(&mut listen, "forwarded_for_from", &raw.forwarded_for_from);
    if raw.tls_ended_before {
        ended_before(&raw, &mut listen);
    }
    let mut section = Section::new("limits", mistakes);
    let max_head_bytes = section.size(
        "head_size",
        limits.head_size.as_deref(),
        default.max_head_bytes,
        8 << 10..=1 << 20,
    );
    let max_fields = section.count(
        "head_fields",
        limits.head_fields,
        default.max_fields,
        16..=10_000,
    );
    let max_streams_per_connection = section.count(
        "streams_per_connection",
        limits.streams_per_connection,
        default.max_streams_per_connection,
        1..=1_000_000,
    );
    let max_cancels_per_second = section.count(
        "cancels_per_second",
        limits.cancels_per_second,
        default.max_cancels_per_second,
        1..=100_000,
    );
    address.map(|_| FrontDoorConfig {
        tls_ended_before: raw.tls_ended_before,
        handshake_timeout,
        head_timeout,
        idle_timeout,
        keepalive,
        proxy_protocol_from,
        forwarded_for_from,
        max_head_bytes,
        max_fields,
        max_streams_per_connection,
        max_cancels_per_second,
        ..default
    })
}

/// Plain text beyond loopback: from those alone who are named, or a token would be in clear that nobody meant to be.
fn ended_before(raw: &RawListen, listen: &mut Section<'_>) {
    let key = "tls_ended_before";
    if raw.certificate.is_some() || raw.key.is_some() {
        listen.mistake(key, WITH_CERTIFICATE);
    }
    let named = [
        ("proxy_protocol_from", &raw.proxy_protocol_from),
        ("forwarded_for_from", &raw.forwarded_for_from),
    ];
    if named.iter().all(|(_, from)| from.is_empty()) {
        listen.mistake(key, BY_WHOM);
    }
    for (name, from) in named {
        // However many zeros that is written with. Two halves are everybody, too.
        let is_everybody = |text: &String| match text.parse() {
            Ok(IpNet::V4(net)) => net.prefix_len() < 8,
            Ok(IpNet::V6(net)) => net.prefix_len() < 7,
            Err(_) => false,
        };
        if from.iter().any(is_everybody) {
            listen.mistake(name, EVERYBODY);
        }
    }
}

fn route(raw: &RawRoute, mistakes: &mut Mistakes) -> RouteConfig {
    let default = RouteConfig::default();
    let mut section = Section::new("route", mistakes);
    RouteConfig {
        wait: section.duration("wait", raw.wait.as_deref(), default.wait, Section::ANY_TIME),
        reconnecting: section.duration(
            "reconnecting",
            raw.reconnecting.as_deref(),
            default.reconnecting,
            Section::ANY_TIME,
        ),
    }
}

fn tunnel(raw: &RawTunnel, mistakes: &mut Mistakes) -> TunnelConfig {
    let default = TunnelConfig::default();
    let mut section = Section::new("tunnel", mistakes);
    let config = TunnelConfig {
        ping_interval: section.time(
            "ping_interval",
            raw.ping_interval.as_deref(),
            default.ping_interval,
        ),
        dead_after: section.time("dead_after", raw.dead_after.as_deref(), default.dead_after),
        handshake_timeout: section.time(
            "handshake_timeout",
            raw.handshake_timeout.as_deref(),
            default.handshake_timeout,
        ),
        stream_credit: section.size(
            "stream_credit",
            raw.stream_credit.as_deref(),
            default.stream_credit,
            4 << 10..=1 << 30,
        ),
        max_stream_credit: section.size(
            "max_stream_credit",
            raw.max_stream_credit.as_deref(),
            default.max_stream_credit,
            64 << 10..=1 << 30,
        ),
        max_buffered_bytes: section.size(
            "max_buffered",
            raw.max_buffered.as_deref(),
            default.max_buffered_bytes,
            1 << 20..=1 << 40,
        ),
        max_buffered_bytes_in_all: section.size(
            "max_buffered_in_all",
            raw.max_buffered_in_all.as_deref(),
            default.max_buffered_bytes_in_all,
            1 << 20..=1 << 40,
        ),
        max_queued_bytes: section.size(
            "max_queued",
            raw.max_queued.as_deref(),
            default.max_queued_bytes,
            1 << 20..=1 << 40,
        ),
        stream_queue_bytes: section.size(
            "stream_queue",
            raw.stream_queue.as_deref(),
            default.stream_queue_bytes,
            16 << 10..=1 << 30,
        ),
    };
    if config.max_stream_credit < config.stream_credit {
        section.mistake(
            "max_stream_credit",
            "must be no less than stream_credit, with which every window starts",
        );
    }
    config
}

fn limits(raw: &RawLimits, mistakes: &mut Mistakes) -> LimitsConfig {
    let default = LimitsConfig::default();
    let mut section = Section::new("limits", mistakes);
    LimitsConfig {
        connections: section.count(
            "connections",
            raw.connections,
            default.connections,
            1..=10_000_000,
        ),
        connections_per_address: section.count(
            "connections_per_address",
            raw.connections_per_address,
            default.connections_per_address,
            1..=10_000_000,
        ),
        credential_bytes: section.size(
            "credential_size",
            raw.credential_size.as_deref(),
            default.credential_bytes,
            1 << 10..=1 << 20,
        ),
        streams_per_job: section.count(
            "streams_per_job",
            raw.streams_per_job,
            default.streams_per_job,
            1..=10_000_000,
        ),
        opens_per_second: section.count(
            "opens_per_second",
            raw.opens_per_second,
            default.opens_per_second,
            1..=10_000_000,
        ),
        turns_per_job: section.count(
            "turns_per_job",
            raw.turns_per_job,
            default.turns_per_job,
            1..=10_000_000,
        ),
        streams_per_tunnel: section.count(
            "streams_per_tunnel",
            raw.streams_per_tunnel,
            default.streams_per_tunnel,
            1..=10_000_000,
        ),
        tunnels_per_agent: section.count(
            "tunnels_per_agent",
            raw.tunnels_per_agent,
            default.tunnels_per_agent,
            1..=10_000,
        ),
    }
}

fn shards(raw: Option<usize>, key: &Key, mistakes: &mut Mistakes) -> usize {
    match raw {
        None => Shards::per_core(),
        Some(count @ 1..=1024) => count,
        Some(_) => {
            mistakes.add(key, "must be from 1 to 1024");
            NonZero::<usize>::MIN.get()
        }
    }
}

/// Networks, or single addresses.
fn proxies(section: &mut Section<'_>, name: &str, texts: &[String]) -> Proxies {
    let net = |text: &str| {
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| NO_NETWORK.to_owned())?;
        match of_ipv4(net) {
            Some(plain) => Err(format!(
                "never matches, for addresses of IPv4 are known as such: write {plain}"
            )),
            None => Ok(net),
        }
    };
    section.each(name, texts, net).into_iter().collect()
}

/// The network of IPv4 that one is of IPv6, such as 10.0.0.0/8 is of `::ffff:10.0.0.0/104`.
fn of_ipv4(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(net) = net else {
        return None;
    };
    let prefix = net.prefix_len().checked_sub(96)?;
    let net = Ipv4Net::new(net.addr().to_ipv4_mapped()?, prefix).ok()?;
    Some(net.trunc().into())
}
