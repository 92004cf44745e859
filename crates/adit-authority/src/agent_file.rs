//! An agent's configuration as it is kept at GitLab, `.gitlab/agents/<name>/config.yaml`: which jobs and users may use the agent.
//! Read where it is checked before it is merged, and where somebody asks who would get in ([`crate::Question`]).
//!
//! It is judged as a whole. A value that is wrong makes the file useless, as for GitLab's own agent server. A key that is not known
//! does not, since GitLab passes over it and a newer GitLab may know it. An entry that GitLab drops without a word is told
//! ([`Dropped`]).
//!
//! Invariant: a file without mistakes holds no entry that the relay could not act by, were it GitLab's answer for a job.

mod entry;
mod findings;
mod home;
mod section;
mod yaml;

use adit_identity::mistakes::Key;

pub use entry::{Covers, Entry, Mode};
pub use findings::{Finding, Findings};
pub use home::{Dropped, Home};
pub use yaml::Place;

use entry::Lists;
use section::{At, Section};
use yaml::{Node, Value};

/// A file without mistakes.
#[derive(Clone, Debug)]
pub struct AgentFile {
    ci_access: Lists,
    user_access: Lists,
    own: Entry,
    whole: serde_json::Value,
}

impl AgentFile {
    /// Reads a file. All that is found is noted in the order in which it stands there; with a mistake among it there is no file.
    pub fn read(text: &str, findings: &mut Findings) -> Option<Self> {
        let file = read(text, findings);
        findings.mistakes.sort_by_key(|finding| finding.place);
        findings.warnings.sort_by_key(|finding| finding.place);
        file.filter(|_| findings.mistakes.is_empty())
    }

    /// The entries of `ci_access` and why GitLab drops one, if it does: of projects, of groups, of the instance.
    #[must_use]
    pub fn for_jobs(&self, home: &Home) -> Vec<(&Entry, Option<Dropped>)> {
        home.judge(&self.ci_access)
    }

    /// The same of `user_access`.
    #[must_use]
    pub fn for_users(&self, home: &Home) -> Vec<(&Entry, Option<Dropped>)> {
        home.judge(&self.user_access)
    }

    /// The whole, as GitLab is handed it.
    #[must_use]
    pub fn configuration(&self) -> &serde_json::Value {
        &self.whole
    }

    /// What holds for jobs of the agent's own project when no entry names it.
    #[must_use]
    pub fn own(&self) -> &Entry {
        &self.own
    }
}

fn read(text: &str, findings: &mut Findings) -> Option<AgentFile> {
    let root = Key::root();
    if text.len() > MAX_BYTES {
        findings.mistake(
            Place::START,
            &root,
            format_args!("longer than the {MAX_BYTES} bytes that GitLab reads"),
        );
        return None;
    }
    let node = match Node::parse(text) {
        Ok(node) => node,
        Err((place, what)) => {
            findings.mistake(place, &root, what);
            return None;
        }
    };
    let mut file = AgentFile {
        ci_access: Lists::default(),
        user_access: Lists::default(),
        own: Entry::own(),
        whole: serde_json::json!({}),
    };
    // An empty file grants nothing, and is none the worse.
    if matches!(node.value, Value::Null) {
        return Some(file);
    }
    file.whole = node.to_json();
    let at = At {
        key: root,
        node: &node,
    };
    let mut section = at.section(findings)?;
    if let Some(at) = section.take("ci_access") {
        file.ci_access = Lists::for_jobs(&at, findings).unwrap_or_default();
    }
    if let Some(at) = section.take("user_access") {
        file.user_access = Lists::for_users(&at, findings).unwrap_or_default();
    }
    look_through_the_rest(&mut section, findings);
    section.end(findings);
    Some(file)
}

/// What GitLab's own agent does with the rest is not adit's; what is plainly wrong in it is told.
fn look_through_the_rest(section: &mut Section<'_>, findings: &mut Findings) {
    if let Some(at) = section.take("observability") {
        check_observability(&at, findings);
    }
    if let Some(mut flux) = section.take("flux").and_then(|at| at.section(findings)) {
        flux.take("webhook_receiver_url")
            .map(|at| at.text(findings));
        flux.end(findings);
    }
    for name in ["container_scanning", "remote_development"] {
        section.take(name).map(|at| at.section(findings));
    }
    if let Some(at) = section.take("gitops") {
        findings.warning(
            at.place(),
            &at.key,
            "GitLab does nothing with it since 18.0",
        );
    }
}

fn check_observability(at: &At<'_>, findings: &mut Findings) {
    let Some(mut section) = at.section(findings) else {
        return;
    };
    let logging = section.take("logging");
    section.end(findings);
    let Some(mut logging) = logging.and_then(|at| at.section(findings)) else {
        return;
    };
    for name in ["level", "grpc_level"] {
        let Some(at) = logging.take(name) else {
            continue;
        };
        if let Some(level) = at.text(findings)
            && !LOG_LEVELS.contains(&level)
        {
            at.wrong::<()>("must be one of `debug`, `info`, `warn`, `error`", findings);
        }
    }
    logging.end(findings);
}

/// What GitLab's agent server reads of a file.
pub(crate) const MAX_BYTES: usize = 128 * 1024;

const LOG_LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

#[cfg(test)]
mod tests;
