//! Check `token`: is it of the kind that a job has, and does it hold now? What it says of itself is told, never the token.

use std::time::SystemTime;

use adit_authority::oidc::Claimed;
use secrecy::{ExposeSecret as _, SecretString};

use super::access::Holder;
use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::when::from;
use crate::kubernetes_status::printable;

pub(super) const TOKEN: Check = Check::new("token", Hop::Client);

pub(super) fn check(token: &str, holder: Holder, now: SystemTime, report: &mut Report) {
    match (holder, Claimed::by(token)) {
        (Holder::User, None) if !token.contains(OF_JOBS) => {
            let what = "a personal access token: GitLab alone can tell whether it holds and has the scope k8s_proxy, and the relay asks it";
            report.ok(TOKEN, what);
        }
        (Holder::User, _) => {
            let advice = "show a job's token as ci:<agent id>:<token>";
            report.failed(TOKEN, "a job's token, in the form of a user's", advice);
        }
        (Holder::Job, Some(claimed)) => id_token(&claimed, now, report),
        (Holder::Job, None) => opaque(token, report),
    }
}

/// When it ends, as it says itself; of one of GitLab's own nobody here knows.
pub(super) fn end(token: &SecretString) -> Option<SystemTime> {
    Claimed::by(token.expose_secret())?.expires_at
}

fn id_token(claimed: &Claimed, now: SystemTime, report: &mut Report) {
    let issuer = printable(claimed.issuer.as_deref().unwrap_or("nobody"));
    let audiences = printable(&claimed.audiences.join(", "));
    let what = format!("an ID token of {issuer} for `{audiences}`");
    let Some(end) = claimed.expires_at else {
        let advice = "let the job have an ID token by `id_tokens:`";
        report.failed(TOKEN, format!("{what}, that has no end"), advice);
        return;
    };
    if end <= now {
        let what = format!("{what}, that ended {}", from(now, end));
        let advice = "it ends with the job's timeout: run `adit kubeconfig` in the job that uses it, and check this machine's clock";
        report.failed(TOKEN, what, advice);
    } else if let Some(begin) = claimed.not_before.filter(|begin| *begin > now) {
        let what = format!("{what}, that holds only {}", from(now, begin));
        report.failed(TOKEN, what, "check this machine's clock");
    } else {
        report.ok(TOKEN, format!("{what}, that ends {}", from(now, end)));
    }
}

/// GitLab's prefixes: <https://docs.gitlab.com/security/tokens/#token-prefixes>. An administrator may put one more before them.
fn opaque(token: &str, report: &mut Report) {
    if token.contains(OF_JOBS) {
        let what = "a CI_JOB_TOKEN: GitLab alone can tell whether it holds, and the relay asks it";
        report.ok(TOKEN, what);
    } else if token.starts_with(adit_authority::token::PREFIX) || token.contains("glagent-") {
        let advice =
            "give the job an ID token by `id_tokens:`, and keep the agent's token from jobs";
        report.failed(TOKEN, "an agent's token, which lets no job in", advice);
    } else if token.contains("glpat-") {
        let advice =
            "give the job an ID token by `id_tokens:`; a person shows pat:<agent id>:<token>";
        report.failed(
            TOKEN,
            "a person's access token, which lets no job in",
            advice,
        );
    } else {
        let advice = "a job has an ID token, by `id_tokens:`, or its CI_JOB_TOKEN";
        report.warning(TOKEN, "by its look no token that a job has", advice);
    }
}

/// What stands in each.
const OF_JOBS: &str = "glcbt-";

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::doctor::finding::Outcome;

    fn outcome(look: impl FnOnce(&mut Report)) -> (Outcome, String) {
        let mut report = Report::default();
        look(&mut report);
        let finding = &report.findings()[0];
        (finding.outcome, finding.what.clone())
    }

    #[test]
    fn tokens_of_other_kinds_are_told_by_their_look() {
        let cases = [
            ("glcbt-64_secret", Outcome::Ok, "CI_JOB_TOKEN"),
            ("acme-glcbt-64_secret", Outcome::Ok, "CI_JOB_TOKEN"),
            ("glagent-secret", Outcome::Failed, "agent"),
            ("adit-agent-secret", Outcome::Failed, "agent"),
            ("glpat-secret", Outcome::Failed, "person"),
            ("secret", Outcome::Warning, "no token"),
        ];
        for (token, expected, word) in cases {
            let (outcome, what) = outcome(|report| check(token, Holder::Job, UNIX_EPOCH, report));
            assert_eq!(outcome, expected, "{token}");
            assert!(what.contains(word) && !what.contains("secret"), "{what}");
        }
    }

    #[test]
    fn token_of_a_user_is_none_of_a_job() {
        for (token, expected) in [
            ("glpat-secret", Outcome::Ok),
            ("acme-secret", Outcome::Ok),
            ("glcbt-64_secret", Outcome::Failed),
            ("e30.e30.c2ln", Outcome::Failed),
        ] {
            let (outcome, what) = outcome(|report| check(token, Holder::User, UNIX_EPOCH, report));
            assert_eq!(outcome, expected, "{token}");
            assert!(!what.contains("secret"), "{what}");
        }
    }

    #[test]
    fn id_token_is_told_by_its_times() {
        let at = |minutes| UNIX_EPOCH + Duration::from_mins(minutes);
        let claimed = Claimed {
            issuer: Some("https://gitlab.test".to_owned()),
            audiences: vec!["a".to_owned(), "b".to_owned()],
            not_before: Some(at(10)),
            expires_at: Some(at(70)),
        };
        let cases = [
            (at(5), Outcome::Failed, "holds only in 5 minutes"),
            (at(10), Outcome::Ok, "ends in 60 minutes"),
            (at(75), Outcome::Failed, "ended 5 minutes ago"),
        ];
        for (now, expected, words) in cases {
            let (outcome, what) = outcome(|report| id_token(&claimed, now, report));
            assert_eq!(outcome, expected, "{what}");
            assert!(what.contains(words) && what.contains("`a, b`"), "{what}");
        }
    }
}
