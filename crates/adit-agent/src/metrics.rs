//! What the agent counts. Made once by [`crate::agent`] and shared; every stage counts where it decides.
//! Invariant: labels come from enums. No job, user, path or host is ever one.

mod tunnels;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::kube::Window;
use adit_tunnel::ResetReason;
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::tunnels::Tunnels;

/// Counted by one label. Every value of it is there from the start, at 0: a series that begins with its first count shows whoever
/// looks for a rise none.
type By = Family<[(&'static str, &'static str); 1], Counter>;

fn by(label: &'static str, values: impl IntoIterator<Item = &'static str>) -> By {
    let family = By::default();
    for value in values {
        drop(family.get_or_create(&[(label, value)]));
    }
    family
}

/// All metrics of one agent. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) tunnels: Gauge,
    pub(crate) round_trip: Gauge<f64, AtomicU64>,
    connects: By,
    ends: By,
    pub(crate) streams: Gauge,
    failures: By,
    answers: [Counter; CLASSES.len()],
    pub(crate) first_byte: Histogram,
    pub(crate) connections: Gauge,
    pub(crate) upgrades: Gauge,
    read_ahead: [Gauge; Window::ALL.len()],
    pub(crate) in_hand: Gauge,
    lost: By,
    pub(crate) credential_failures: Counter,
}

/// How an attempt to connect to the relay went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Attempt {
    Connected,
    Resolve,
    Connect,
    TimedOut,
    Proxy,
    Tls,
    NoHttp2,
    Token,
    Unauthenticated,
    Refused,
    Session,
}

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// The relay asked for it, and a new tunnel was opened beside it.
    Drained,
    /// The agent is stopping.
    Stopping,
    /// Anything else: the log says what.
    Lost,
}

/// Why a request got no answer from the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// The caller or the relay ended it.
    Left,
    Smuggled,
    BeyondCeiling,
    BadHead,
    Unreachable,
    TimedOut,
    Broken,
    Overloaded,
}

/// Why a connection to the API server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Loss {
    /// In good order.
    Closed,
    /// It did not answer a ping in time.
    Silent,
    /// Not used for a while.
    Idle,
    Broken,
}

impl Metrics {
    /// Makes and registers all.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::new();
        let r = registry.sub_registry_with_prefix("adit_agent");
        r.register("tunnels", "Tunnels that are up", metrics.tunnels.clone());
        let help = "Round trip to the relay and back, as last measured";
        r.register_with_unit(
            "round_trip",
            help,
            Unit::Seconds,
            metrics.round_trip.clone(),
        );
        r.register(
            "connects",
            "Attempts to connect to the relay",
            metrics.connects.clone(),
        );
        r.register("tunnel_ends", "Tunnels that ended", metrics.ends.clone());
        r.register(
            "streams_open",
            "Requests that are being served",
            metrics.streams.clone(),
        );
        r.register(
            "failures",
            "Requests that got no answer from the API server",
            metrics.failures.clone(),
        );
        let answers = r.sub_registry_with_prefix("api_server");
        for (class, counter) in CLASSES.iter().zip(&metrics.answers) {
            let labelled = answers.sub_registry_with_label(("class".into(), (*class).into()));
            labelled.register(
                "answers",
                "Answers of the API server by class of status",
                counter.clone(),
            );
        }
        for (window, gauge) in Window::ALL.iter().zip(&metrics.read_ahead) {
            let labelled = r.sub_registry_with_label(("window".into(), window.as_str().into()));
            labelled.register(
                "read_ahead_bytes",
                "Bytes that the API server may send before they are read",
                gauge.clone(),
            );
        }
        r.register(
            "in_hand_bytes",
            "Bytes of requests that the API server has not taken",
            metrics.in_hand.clone(),
        );
        let help = "From the request's arrival to the head of the API server's answer";
        r.register_with_unit(
            "first_byte",
            help,
            Unit::Seconds,
            metrics.first_byte.clone(),
        );
        r.register(
            "connections_open",
            "Connections to the API server",
            metrics.connections.clone(),
        );
        r.register(
            "upgrades_open",
            "Upgraded connections to the API server",
            metrics.upgrades.clone(),
        );
        r.register(
            "connection_ends",
            "Connections to the API server that ended",
            metrics.lost.clone(),
        );
        let help = "Times the agent's own Kubernetes credentials could not be renewed";
        r.register(
            "credential_failures",
            help,
            metrics.credential_failures.clone(),
        );
        metrics
    }

    fn new() -> Self {
        Self {
            tunnels: Gauge::default(),
            round_trip: Gauge::default(),
            connects: by("outcome", Attempt::ALL.map(Attempt::as_str)),
            ends: by("cause", End::ALL.map(End::as_str)),
            streams: Gauge::default(),
            failures: by("kind", Failure::ALL.map(Failure::as_str)),
            answers: Default::default(),
            // 1 ms to 16 s.
            first_byte: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            connections: Gauge::default(),
            upgrades: Gauge::default(),
            read_ahead: Default::default(),
            in_hand: Gauge::default(),
            lost: by("cause", Loss::ALL.map(Loss::as_str)),
            credential_failures: Counter::default(),
        }
    }

    /// What answers with this window may be ahead of their readers.
    pub(crate) const fn read_ahead(&self, window: Window) -> &Gauge {
        let [least, middle, wide] = &self.read_ahead;
        match window {
            Window::Least => least,
            Window::Middle => middle,
            Window::Wide => wide,
        }
    }

    pub(crate) fn connect(&self, outcome: Attempt) {
        self.connects
            .get_or_create(&[("outcome", outcome.as_str())])
            .inc();
    }

    pub(crate) fn tunnel_end(&self, cause: End) {
        self.ends.get_or_create(&[("cause", cause.as_str())]).inc();
    }

    pub(crate) fn failure(&self, kind: Failure) {
        self.failures
            .get_or_create(&[("kind", kind.as_str())])
            .inc();
    }

    pub(crate) fn connection_end(&self, cause: Loss) {
        self.lost.get_or_create(&[("cause", cause.as_str())]).inc();
    }

    /// An answer came, so long after its request.
    pub(crate) fn answer(&self, status: StatusCode, after: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.answers.get(class) {
            counter.inc();
        }
        self.first_byte.observe(after.as_secs_f64());
    }
}

impl Attempt {
    const ALL: [Self; 11] = [
        Self::Connected,
        Self::Resolve,
        Self::Connect,
        Self::TimedOut,
        Self::Proxy,
        Self::Tls,
        Self::NoHttp2,
        Self::Token,
        Self::Unauthenticated,
        Self::Refused,
        Self::Session,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::TimedOut => "timed_out",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::NoHttp2 => "no_http2",
            Self::Token => "token",
            Self::Unauthenticated => "unauthenticated",
            Self::Refused => "refused",
            Self::Session => "session",
        }
    }
}

impl End {
    const ALL: [Self; 3] = [Self::Drained, Self::Stopping, Self::Lost];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Stopping => "stopping",
            Self::Lost => "lost",
        }
    }
}

impl Failure {
    const ALL: [Self; 8] = [
        Self::Left,
        Self::Smuggled,
        Self::BeyondCeiling,
        Self::BadHead,
        Self::Unreachable,
        Self::TimedOut,
        Self::Broken,
        Self::Overloaded,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Smuggled => "smuggled",
            Self::BeyondCeiling => "beyond_ceiling",
            Self::BadHead => "bad_head",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::Overloaded => "overloaded",
        }
    }
}

impl Loss {
    const ALL: [Self; 4] = [Self::Closed, Self::Silent, Self::Idle, Self::Broken];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::Broken => "broken",
        }
    }
}

/// Something that a gauge counts, as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    gauge: Gauge,
    amount: i64,
}

impl Held {
    pub(crate) fn by(gauge: &Gauge) -> Self {
        gauge.inc();
        Self {
            gauge: gauge.clone(),
            amount: 1,
        }
    }

    /// So much more, unless the gauge would then be above `max`. Two who ask at once may both be refused, but never both
    /// be let in above it.
    pub(crate) fn within(gauge: &Gauge, amount: usize, max: usize) -> Option<Self> {
        let (amount, max) = (
            i64::try_from(amount).ok()?,
            i64::try_from(max).unwrap_or(i64::MAX),
        );
        let held = Self {
            gauge: gauge.clone(),
            amount,
        };
        (gauge.inc_by(amount).saturating_add(amount) <= max).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.dec_by(self.amount);
    }
}

impl From<ResetReason> for Failure {
    fn from(reason: ResetReason) -> Self {
        match reason {
            ResetReason::ApiServerUnreachable => Self::Unreachable,
            ResetReason::ApiServerLost => Self::Broken,
            ResetReason::TimedOut => Self::TimedOut,
            ResetReason::Overloaded => Self::Overloaded,
            ResetReason::BeyondCeiling => Self::BeyondCeiling,
            ResetReason::Protocol | ResetReason::Internal | ResetReason::Unspecified => {
                Self::BadHead
            }
            ResetReason::Cancelled | ResetReason::Refused | ResetReason::PermitEnded => Self::Left,
        }
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[cfg(test)]
impl Metrics {
    pub(crate) fn unregistered() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn every_metric_has_its_name_once() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.connect(Attempt::NoHttp2);
        metrics.tunnel_end(End::Drained);
        metrics.failure(Failure::BeyondCeiling);
        metrics.connection_end(Loss::Silent);
        metrics.answer(StatusCode::NOT_FOUND, Duration::from_millis(3));
        let held = Held::by(&metrics.streams);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "adit_agent_connects_total{outcome=\"no_http2\"} 1",
            "adit_agent_tunnel_ends_total{cause=\"drained\"} 1",
            "adit_agent_failures_total{kind=\"beyond_ceiling\"} 1",
            "adit_agent_connection_ends_total{cause=\"silent\"} 1",
            "adit_agent_api_server_answers_total{class=\"4xx\"} 1",
            "adit_agent_first_byte_seconds_count 1",
            "adit_agent_round_trip_seconds 0.0",
            "adit_agent_streams_open 1",
            "adit_agent_read_ahead_bytes{window=\"wide\"} 0",
            "adit_agent_in_hand_bytes 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        drop(held);
        assert_eq!(metrics.streams.get(), 0);
    }
}
