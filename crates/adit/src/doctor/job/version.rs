//! Check `version`: are the relay, and the agents that the job may use, of the version that this program is? The relay tells who may use
//! them, with their list.

use serde::Deserialize;

use crate::doctor::finding::{Check, Hop, Report};
use crate::kubeconfig::Reachable;
use crate::kubernetes_status::printable;

pub(super) const VERSION: Check = Check::new("version", Hop::Relay);

/// What the list says of versions. An older relay says nothing.
#[derive(Debug, Default, Deserialize)]
struct Listed {
    #[serde(default)]
    version: String,
    #[serde(default)]
    agents: Vec<Agent>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    id: u64,
    /// Of its replicas that are connected.
    #[serde(default)]
    versions: Vec<String>,
}

/// `list` is the relay's answer, `wanted` are those agents of it that are looked at.
pub(super) fn check(list: &[u8], wanted: &[Reachable], report: &mut Report) {
    let Listed { version, agents } = serde_json::from_slice(list).unwrap_or_default();
    if version.is_empty() {
        report.not_run(VERSION, "the relay is an older one, which does not tell");
        return;
    }
    let mut is_same = told(VERSION, "the relay", &version, report);
    let mut connected = 0;
    for agent in wanted {
        let listed = agents.iter().find(|listed| listed.id == agent.id);
        let versions = listed
            .map(|listed| &listed.versions[..])
            .unwrap_or_default();
        connected += usize::from(!versions.is_empty());
        let name = format!("the agent {}", printable(&agent.context));
        let of_agent = Check {
            hop: Hop::Agent,
            ..VERSION
        };
        for version in versions {
            is_same &= told(of_agent, &name, version, report);
        }
    }
    if is_same {
        let who = match connected {
            0 => "the relay is",
            _ => "relay and agents are",
        };
        report.ok(VERSION, format!("{who} adit {OURS}, as this is"));
    }
}

/// Whether it is the same; otherwise it is told.
fn told(check: Check, who: &str, version: &str, report: &mut Report) -> bool {
    let is_same = version == OURS;
    if !is_same {
        let what = format!("{who} is adit {}, and this is {OURS}", printable(version));
        let advice = "they work together as far as the other checks go; bring all to one version";
        report.warning(check, what, advice);
    }
    is_same
}

const OURS: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Outcome;

    fn found(list: &str) -> Vec<(Hop, Outcome, String)> {
        let wanted = [1, 2].map(|id| Reachable::new(id, &format!("group/app:a{id}"), None));
        let mut report = Report::default();
        check(list.replace("OURS", OURS).as_bytes(), &wanted, &mut report);
        let found = report.findings().iter();
        found
            .map(|one| (one.hop, one.outcome, one.what.replace(OURS, "OURS")))
            .collect()
    }

    fn ok(what: &str) -> Vec<(Hop, Outcome, String)> {
        vec![(Hop::Relay, Outcome::Ok, what.to_owned())]
    }

    #[test]
    fn who_is_of_another_version_is_named() {
        let same = r#"{"version":"OURS","agents":[{"id":1,"versions":["OURS"]},{"id":2}]}"#;
        assert_eq!(
            found(same),
            ok("relay and agents are adit OURS, as this is")
        );
        let away = r#"{"version":"OURS","agents":[{"id":1},{"id":2,"versions":[]}]}"#;
        assert_eq!(found(away), ok("the relay is adit OURS, as this is"));
        let other = r#"{"version":"9.0.0","agents":[{"id":2,"versions":["OURS","8.0.0"]},{"id":3,"versions":["7"]}]}"#;
        let warned = |hop, who: &str| {
            let what = format!("{who}, and this is OURS");
            (hop, Outcome::Warning, what)
        };
        let expected = [
            warned(Hop::Relay, "the relay is adit 9.0.0"),
            warned(Hop::Agent, "the agent group/app:a2 is adit 8.0.0"),
        ];
        assert_eq!(found(other), expected);
    }

    #[test]
    fn older_relay_that_does_not_tell_is_not_judged() {
        for older in [r#"{"agents":[{"id":1}]}"#, "{}"] {
            let found = found(older);
            assert_eq!(found[0].1, Outcome::NotRun);
            assert_eq!(found.len(), 1);
        }
    }
}
