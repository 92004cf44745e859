//! Decides what should be looked after: what a relay goes on in spite of, and somebody has to mend.
//!
//! Asked for each report. Invariant: it is told from what is kept already, and nothing is read or called for it.

use std::time::{Duration, SystemTime};

use adit_authority::{
    GitLab,
    gitlab::{AgentFiles, BreakerState, FileState, Gitaly, GitalyOutcome},
    oidc::Unfetched,
};
use adit_process::{
    reread::Kept as _,
    tls::{Certificate, ClientRoots, ServerTls},
};

use super::{Problem, Status};
use crate::refusal::Moment;

/// How long before its end a certificate is a problem: a week, in which somebody is at work; of one that lives for days, a tenth of its life.
const SHORT: Duration = Duration::from_secs(7 * 24 * 3600);

impl Status {
    pub(super) fn problems(&self) -> Vec<Problem> {
        let rules = self.rules.load();
        let missing = self.readiness.missing();
        let unready = missing
            .into_iter()
            .map(|name| problem("readiness", format!("not ready: {name}")));
        unready
            .chain(self.of_config())
            .chain(self.of_secrets())
            .chain(self.of_certificates())
            .chain(self.of_client_roots())
            .chain(self.of_server_roots())
            .chain(rules.oidc.unfetched().into_iter().map(of_issuer))
            .chain(self.gitlab.as_deref().and_then(of_gitlab))
            .chain(self.gitaly.as_deref().and_then(of_gitaly))
            .chain(self.agent_files.as_deref().and_then(of_files))
            .chain(of_queue(self.audit.stats().bytes, self.audit.most_bytes()))
            .collect()
    }

    fn of_config(&self) -> Vec<Problem> {
        let trouble = self.metrics.config_looks.trouble();
        let trouble = trouble.map(|trouble| {
            format!("its file cannot be used, and what the relay runs by stays: {trouble}")
        });
        let keys = self.pending.keys();
        let pending = (!keys.is_empty()).then(|| {
            format!(
                "these keys count from the next start on: {}",
                keys.join(", ")
            )
        });
        let doubts = self.doubts.all();
        let doubts = doubts.iter().map(ToString::to_string);
        let all = trouble.into_iter().chain(pending).chain(doubts);
        all.map(|message| problem("configuration", message))
            .collect()
    }

    fn of_secrets(&self) -> impl Iterator<Item = Problem> {
        let troubles = self.secrets.iter().filter_map(|looks| looks.trouble());
        troubles.map(|trouble| problem("secret", format!("what was read before stays: {trouble}")))
    }

    fn of_certificates(&self) -> impl Iterator<Item = Problem> {
        let shown = [
            ("certificate", &self.tls),
            ("admin_certificate", &self.admin_tls),
            ("gitlab_api_certificate", &self.gitlab_api_tls),
        ];
        let shown = shown.into_iter();
        shown.filter_map(|(about, tls)| of_certificate(about, tls.as_ref()?))
    }

    fn of_client_roots(&self) -> impl Iterator<Item = Problem> {
        let believed = [
            ("client_ca", "agents", &self.client_roots),
            ("admin_client_ca", "operators", &self.operators),
        ];
        let believed = believed.into_iter();
        believed.filter_map(|(about, whom, roots)| of_roots(about, whom, roots.as_ref()?))
    }

    fn of_server_roots(&self) -> impl Iterator<Item = Problem> {
        let troubles = self.servers.iter();
        let troubles = troubles.filter_map(|roots| Some((roots.key(), roots.looks().trouble()?)));
        troubles.map(|(key, trouble)| {
            let message = format!("{key} cannot be read again, the old CAs stay: {trouble}");
            problem("server_ca", message)
        })
    }
}

fn of_certificate(about: &str, tls: &ServerTls) -> Option<Problem> {
    if let Some(trouble) = tls.own().trouble() {
        let message = format!("it cannot be read again, the old one stays: {trouble}");
        return Some(problem(about, message));
    }
    let shown = tls.own().certificate();
    let message = || format!("it ends at {}", Moment(shown.not_after));
    is_nearly_over(&shown, SystemTime::now()).then(|| problem(about, message()))
}

fn of_roots(about: &str, whom: &str, roots: &ClientRoots) -> Option<Problem> {
    if let Some(trouble) = roots.trouble() {
        let message = format!("its file cannot be read again, the old CAs stay: {trouble}");
        return Some(problem(about, message));
    }
    let first = roots.first_to_end()?;
    let message = || {
        let end = Moment(first.not_after);
        format!("`{}`, which issues to {whom}, ends at {end}", first.subject)
    };
    is_nearly_over(&first, SystemTime::now()).then(|| problem(about, message()))
}

fn is_nearly_over(certificate: &Certificate, now: SystemTime) -> bool {
    certificate.not_after <= now + SHORT.min(certificate.life() / 10)
}

fn of_issuer(Unfetched { issuer, left }: Unfetched) -> Problem {
    let message = if left.is_zero() {
        format!("no key of {issuer} is held, and its tokens are refused")
    } else {
        let minutes = left.as_secs() / 60;
        format!(
            "the keys of {issuer} cannot be fetched; those that are held are good for {minutes} min"
        )
    };
    problem("issuer", message)
}

fn of_gitlab(gitlab: &GitLab) -> Option<Problem> {
    let message = match gitlab.breaker() {
        BreakerState::Closed => return None,
        BreakerState::Open | BreakerState::Probing => {
            "GitLab does not answer, and is left alone for a while"
        }
    };
    Some(problem("gitlab", message.to_owned()))
}

/// Of what was asked of it last.
fn of_gitaly(gitaly: &Gitaly) -> Option<Problem> {
    let ended = gitaly.servers().into_iter();
    let failed = ended.filter(|(how, servers)| *how != GitalyOutcome::Answered && *servers > 0);
    let failed: Vec<_> = failed
        .map(|(how, servers)| format!("{}: {servers}", how.as_str()))
        .collect();
    let message = || {
        format!(
            "some of its servers gave agents' files to nobody when they were last asked ({}): the log says which, and why",
            failed.join(", ")
        )
    };
    (!failed.is_empty()).then(|| problem("gitaly", message()))
}

fn of_files(files: &AgentFiles) -> Option<Problem> {
    let states = files.stats().states;
    let wrong = states.iter().find(|(state, _)| *state == FileState::Wrong);
    let (_, wrong) = wrong.filter(|(_, files)| *files > 0)?;
    let message = format!(
        "{wrong} of agents' files at GitLab have mistakes or are of no use, and what stood there before holds: the log says which, and where"
    );
    Some(problem("agent_files", message))
}

fn of_queue(waiting: usize, most: usize) -> Option<Problem> {
    let is_full = most > 0 && waiting >= most / 2;
    is_full.then(|| {
        let message = format!(
            "{waiting} of {most} bytes of the audit log's queue are taken: it is not written as fast as records are made"
        );
        problem("audit", message)
    })
}

fn problem(about: &str, message: String) -> Problem {
    Problem {
        about: about.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    fn is_nearly_over_after(life: Duration, hours: u32) -> bool {
        let begin = SystemTime::UNIX_EPOCH + DAY;
        let certificate = Certificate {
            subject: "relay".to_owned(),
            issuer: "a CA".to_owned(),
            not_before: Some(begin),
            not_after: begin + life,
            is_ca: false,
            is_self_issued: false,
        };
        is_nearly_over(&certificate, begin + hours * HOUR)
    }

    #[test]
    fn certificate_that_lives_for_days_is_no_problem_all_its_life() {
        assert!(!is_nearly_over_after(5 * DAY, 107));
        assert!(is_nearly_over_after(5 * DAY, 108));
        let year = 365 * DAY;
        assert!(!is_nearly_over_after(year, 358 * 24 - 1));
        assert!(is_nearly_over_after(year, 358 * 24));
    }

    #[test]
    fn queue_is_a_problem_from_its_half_on() {
        assert_eq!(of_queue(0, 0), None, "there is no audit log");
        assert_eq!(of_queue(49, 100), None);
        for waiting in [50, 51, 100, 120] {
            let told = of_queue(waiting, 100).unwrap();
            assert_eq!(told.about, "audit");
            let expected = format!("{waiting} of 100 bytes");
            assert!(told.message.starts_with(&expected), "{told:?}");
        }
    }
}
