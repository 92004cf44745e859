//! What a test sees of the API server beside its answers: its audit log, and its spans.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::record::Record;

/// Who is told what the API server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Groups of callers whose requests it writes into [`super::Cluster::audit_log`], as they show themselves: before they
    /// impersonate anybody.
    pub audited: Vec<String>,
    /// Where its spans go, by OTLP over gRPC without TLS. By itself it traces nothing: only what its caller traces, if it lets
    /// that caller decide.
    pub collector: SocketAddr,
}

impl Observed {
    /// Has the API server tell them.
    pub(super) fn apply(&self, record: &Record, api_server: &mut Command) -> Result<()> {
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{ "level": "Metadata", "userGroups": self.audited }, { "level": "None" }],
        });
        let tracing = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "TracingConfiguration",
            "endpoint": self.collector, "samplingRatePerMillion": 0,
        });
        for (flag, name, config) in [
            ("--audit-policy-file", "audit-policy.json", policy),
            ("--tracing-config-file", "tracing.json", tracing),
        ] {
            api_server.arg(flag).arg(written(record, name, &config)?);
        }
        api_server.arg("--audit-log-path").arg(audit_log(record));
        // Milliseconds, in which it gathers spans: nobody waits for them by the second.
        api_server.env("OTEL_BSP_SCHEDULE_DELAY", "100");
        Ok(())
    }
}

/// Among the logs, so that it is kept with them.
pub(super) fn audit_log(record: &Record) -> PathBuf {
    record.logs().join("kube-apiserver.audit")
}

fn written(record: &Record, name: &str, config: &Value) -> Result<PathBuf> {
    let path = record.path(name);
    fs::write(&path, config.to_string())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
