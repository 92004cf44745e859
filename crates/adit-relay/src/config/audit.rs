//! Decides whether section `audit` is right.

use adit_identity::mistakes::{Mistakes, Section};
use adit_otlp::{CollectorConfig, Keys, RawCollector};

use super::raw::{RawAudit, RawAuditTo};
use crate::audit::{AuditConfig, AuditTo, FileConfig};

pub(super) fn check(raw: RawAudit, mistakes: &mut Mistakes) -> Option<AuditConfig> {
    let default = AuditConfig::default();
    let mut section = Section::new("audit", mistakes);
    let queue_bytes = section.size(
        "queue",
        raw.queue.as_deref(),
        default.queue_bytes,
        1 << 20..=64 << 30,
    );
    let strangers_per_second = section.count(
        "strangers_per_second",
        raw.strangers_per_second,
        default.strangers_per_second,
        0..=1_000_000,
    );
    Some(AuditConfig {
        queue_bytes,
        changes_when_full: raw.changes_when_full.unwrap_or(default.changes_when_full),
        reads_when_full: raw.reads_when_full.unwrap_or(default.reads_when_full),
        strangers_per_second,
        to: to(raw, &mut section)?,
    })
}

fn to(raw: RawAudit, section: &mut Section<'_>) -> Option<AuditTo> {
    let max_bytes = section.size(
        "file_size",
        raw.file_size.as_deref(),
        100 << 20,
        1 << 20..=1 << 40,
    );
    let keep = section.count("files", raw.files, 10, 1..=10_000);
    let to = raw.to.unwrap_or(RawAuditTo::Nowhere);
    let collector = collector(to, raw.otlp, section);
    match (to, raw.file) {
        (RawAuditTo::Otlp, None) => collector.map(AuditTo::Collector),
        (RawAuditTo::Nowhere, None) => Some(AuditTo::Nowhere),
        (RawAuditTo::Stdout, None) => Some(AuditTo::Stdout),
        (RawAuditTo::File, Some(path)) => Some(AuditTo::File(FileConfig {
            path,
            max_bytes,
            keep,
        })),
        (RawAuditTo::File, None) => {
            section.mistake("file", "needed with `to: file`");
            None
        }
        (RawAuditTo::Nowhere | RawAuditTo::Stdout | RawAuditTo::Otlp, Some(_)) => {
            section.mistake("file", "only with `to: file`");
            None
        }
    }
}

fn collector(
    to: RawAuditTo,
    raw: Option<RawCollector>,
    section: &mut Section<'_>,
) -> Option<CollectorConfig> {
    match (to, raw) {
        (RawAuditTo::Otlp, Some(raw)) => {
            CollectorConfig::check(raw, COLLECTOR, &mut section.below("otlp"))
        }
        (RawAuditTo::Otlp, None) => {
            section.mistake(
                "otlp",
                "needed with `to: otlp`: the collector that takes the records",
            );
            None
        }
        (RawAuditTo::Nowhere | RawAuditTo::Stdout | RawAuditTo::File, Some(_)) => {
            section.mistake("otlp", "only with `to: otlp`");
            None
        }
        (RawAuditTo::Nowhere | RawAuditTo::Stdout | RawAuditTo::File, None) => None,
    }
}

const COLLECTOR: Keys = Keys {
    endpoint: "audit.otlp.endpoint",
    ca_file: "audit.otlp.ca_file",
    token_file: "audit.otlp.token_file",
};
