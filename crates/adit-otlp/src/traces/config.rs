//! Section `traces`, which relay and agent share: as it is written, and checked.

use std::path::PathBuf;

use adit_identity::mistakes::{Mistakes, Section};
use serde::Deserialize;

use crate::config::{CollectorConfig, Keys, RawCollector};

/// Section `traces`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTraces {
    /// `https://host:port` of a collector that takes OTLP over gRPC; port 4317 if none is said. Without TLS (`http://`) on loopback only.
    /// Required, if the section is there.
    pub endpoint: Option<String>,
    /// PEM bundle with the *only* authorities that may vouch for the collector. Read again when it changes; one that cannot be used
    /// changes nothing and is logged. Default: the system's CAs.
    pub ca_file: Option<PathBuf>,
    /// File with a token that the collector is shown (`Authorization: Bearer`). Read again when it
    /// changes; a file that cannot be used changes nothing and is logged.
    pub token_file: Option<PathBuf>,
    /// Share of the requests that are traced of which nobody has decided that before.
    pub sample: Option<f64>,
    /// Spans that may wait to be sent; more are dropped and counted. A request has 4 of some 400 bytes at the relay, 3 at the agent.
    pub queue: Option<u64>,
}

/// Where spans are sent, and of which requests.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesConfig {
    /// Where.
    pub collector: CollectorConfig,
    pub(super) sample: f64,
    pub(super) queue: usize,
}

impl TracesConfig {
    /// The section, or what is wrong with it.
    pub fn check(raw: RawTraces, mistakes: &mut Mistakes) -> Option<Self> {
        let mut section = Section::new("traces", mistakes);
        let collector = RawCollector {
            endpoint: raw.endpoint,
            ca_file: raw.ca_file,
            token_file: raw.token_file,
        };
        let collector = CollectorConfig::check(collector, KEYS, &mut section);
        let sample = section.share("sample", raw.sample, SAMPLE);
        let queue = section.count("queue", raw.queue, QUEUE, 1..=1_000_000);
        Some(Self {
            collector: collector?,
            sample,
            queue,
        })
    }
}

const KEYS: Keys = Keys {
    endpoint: "traces.endpoint",
    ca_file: "traces.ca_file",
    token_file: "traces.token_file",
};
const SAMPLE: f64 = 0.01;
const QUEUE: usize = 4096;
