//! What the doctor found: each check ends as a finding, and the first that failed says which hop is broken.
//!
//! Filled by the checks, read by `print.rs` and for the exit code. The invariant: after [`Report::complete`] every check of the
//! place has a finding, so that one that did not run is not taken for one that passed.

use std::borrow::Cow;
use std::fmt;

use adit_process::Exit;
use serde::{Serialize, Serializer};

/// Where something is broken, seen from the job outwards; the relay's answers use the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// The job's own: settings, token, clock.
    Client,
    /// The way to the relay.
    Network,
    Relay,
    Agent,
    /// The API server, or the way from the agent to it.
    ApiServer,
    /// Who vouches for jobs: an issuer, or GitLab.
    Authority,
}

impl Hop {
    const ALL: [Self; 6] = [
        Self::Client,
        Self::Network,
        Self::Relay,
        Self::Agent,
        Self::ApiServer,
        Self::Authority,
    ];

    /// As a relay's answer names it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hop| hop.as_str() == name)
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Network => "network",
            Self::Relay => "relay",
            Self::Agent => "agent",
            Self::ApiServer => "api-server",
            Self::Authority => "authority",
        }
    }

    pub(super) const fn exit(self) -> Exit {
        match self {
            Self::Client => Exit::BrokenClient,
            Self::Network => Exit::BrokenNetwork,
            Self::Relay => Exit::BrokenRelay,
            Self::Agent => Exit::BrokenAgent,
            Self::ApiServer => Exit::BrokenApiServer,
            Self::Authority => Exit::BrokenAuthority,
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Hop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A thing to look at, and the hop it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) hop: Hop,
}

impl Check {
    pub(super) const fn new(name: &'static str, hop: Hop) -> Self {
        Self { name, hop }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    /// It works, and something is odd.
    Warning,
    Failed,
    NotRun,
}

/// What was found, where, and what to do about it.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) hop: Hop,
    pub(super) outcome: Outcome,
    pub(super) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<Cow<'static, str>>,
}

/// All findings.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn ok(&mut self, check: Check, what: impl Into<String>) {
        self.add(check, Outcome::Ok, what.into(), None);
    }

    pub(super) fn warning(
        &mut self,
        check: Check,
        what: impl Into<String>,
        advice: impl Into<Cow<'static, str>>,
    ) {
        self.add(check, Outcome::Warning, what.into(), Some(advice.into()));
    }

    pub(super) fn failed(
        &mut self,
        check: Check,
        what: impl Into<String>,
        advice: impl Into<Cow<'static, str>>,
    ) {
        self.add(check, Outcome::Failed, what.into(), Some(advice.into()));
    }

    pub(super) fn not_run(&mut self, check: Check, why: impl Into<String>) {
        self.add(check, Outcome::NotRun, why.into(), None);
    }

    /// Puts the findings into the order of the checks, and adds those that did not come to run.
    pub(super) fn complete(&mut self, checks: &[Check]) {
        let mut findings = std::mem::take(&mut self.findings);
        let mut broken = None;
        for check in checks {
            let of_check: Vec<_>;
            (of_check, findings) = findings
                .into_iter()
                .partition(|finding: &Finding| finding.check == check.name);
            let has_run = !of_check.is_empty();
            if of_check.iter().any(Finding::is_failed) {
                broken = Some(check.name);
            }
            self.findings.extend(of_check);
            if !has_run {
                let before = broken.unwrap_or("what is before it");
                self.not_run(*check, format!("needs {before}"));
            }
        }
    }

    /// All of another's, after these.
    pub(super) fn append(&mut self, mut other: Self) {
        self.findings.append(&mut other.findings);
    }

    /// What failed is odd and no more.
    pub(super) fn soften(&mut self) {
        let failed = self
            .findings
            .iter_mut()
            .filter(|finding| finding.is_failed());
        failed.for_each(|finding| finding.outcome = Outcome::Warning);
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The first that failed.
    pub(super) fn broken(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is_failed())
    }

    fn add(
        &mut self,
        check: Check,
        outcome: Outcome,
        what: String,
        advice: Option<Cow<'static, str>>,
    ) {
        self.findings.push(Finding {
            check: check.name,
            hop: check.hop,
            outcome,
            what,
            advice,
        });
    }
}

impl Finding {
    fn is_failed(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Check = Check::new("name", Hop::Network);
    const CLOCK: Check = Check::new("clock", Hop::Client);
    const GRANT: Check = Check::new("grant", Hop::Client);

    #[test]
    fn what_could_not_run_says_after_what() {
        let mut report = Report::default();
        report.ok(CLOCK, "fine");
        report.failed(NAME, "no address", "look it up");
        report.complete(&[NAME, CLOCK, GRANT]);
        let told: Vec<_> = report
            .findings()
            .iter()
            .map(|finding| (finding.check, finding.outcome, finding.what.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("name", Outcome::Failed, "no address"),
                ("clock", Outcome::Ok, "fine"),
                ("grant", Outcome::NotRun, "needs name"),
            ]
        );
        assert_eq!(report.broken().unwrap().hop, Hop::Network);
    }

    #[test]
    fn hops_have_names_of_their_own() {
        for hop in Hop::ALL {
            assert_eq!(Hop::named(hop.as_str()), Some(hop));
        }
    }
}
