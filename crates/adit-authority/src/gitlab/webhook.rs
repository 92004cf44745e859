//! GitLab's job events: who may send one, and what it says. Called by the relay for each that arrives.
//! Invariant: a secret is compared in a time that does not depend on it, and kept as its keyed hash.

use std::fmt;

use adit_identity::JobId;
use arc_swap::ArcSwap;
use aws_lc_rs::{hmac, rand::SystemRandom};
use serde::Deserialize;

use super::answer::Id;

/// The secrets that GitLab shows with its events. They may be replaced while events arrive.
pub struct WebhookSecrets {
    key: hmac::Key,
    tags: ArcSwap<Vec<hmac::Tag>>,
}

/// Why a text holds no secrets. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not one to {MOST_SECRETS} lines of {LEAST_LENGTH} or more visible characters: make one with `openssl rand -hex 32`"
)]
pub struct BadWebhookSecrets;

/// A secret that is being replaced is there beside its successor.
const MOST_SECRETS: usize = 4;
/// What can be guessed is no secret.
const LEAST_LENGTH: usize = 16;

impl WebhookSecrets {
    /// The secrets that stand in a file, one to a line.
    ///
    /// # Errors
    ///
    /// There is none, or one that is none.
    ///
    /// # Panics
    ///
    /// The operating system has no randomness to give.
    pub fn new(text: &str) -> Result<Self, BadWebhookSecrets> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.expect("the operating system gives randomness");
        let tags = ArcSwap::from_pointee(tags(&key, text)?);
        Ok(Self { key, tags })
    }

    /// Uses these from now on.
    ///
    /// # Errors
    ///
    /// There is none, or one that is none; the old ones stay.
    pub fn replace(&self, text: &str) -> Result<(), BadWebhookSecrets> {
        self.tags.store(tags(&self.key, text)?.into());
        Ok(())
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn accept(&self, shown: &[u8]) -> bool {
        let is_it = |tag: &hmac::Tag| hmac::verify(&self.key, shown, tag.as_ref()).is_ok();
        self.tags.load().iter().any(is_it)
    }
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecrets(..)")
    }
}

fn tags(key: &hmac::Key, text: &str) -> Result<Vec<hmac::Tag>, BadWebhookSecrets> {
    let is_secret =
        |line: &str| line.len() >= LEAST_LENGTH && line.bytes().all(|byte| byte.is_ascii_graphic());
    let lines: Vec<_> = text.lines().collect();
    if lines.is_empty() || lines.len() > MOST_SECRETS || !lines.iter().all(|line| is_secret(line)) {
        return Err(BadWebhookSecrets);
    }
    Ok(lines
        .iter()
        .map(|line| hmac::sign(key, line.as_bytes()))
        .collect())
}

/// An event that is none of GitLab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event of GitLab's")]
pub struct BadEvent;

#[derive(Deserialize)]
struct Event {
    object_kind: String,
    build_id: Option<Id>,
    build_status: Option<String>,
}

/// The job that an event says is over; none if it says something else.
///
/// # Errors
///
/// It is no event, or a job's that does not say which.
pub fn job_over(body: &[u8]) -> Result<Option<JobId>, BadEvent> {
    let event: Event = serde_json::from_slice(body).map_err(|_| BadEvent)?;
    if event.object_kind != "build" {
        return Ok(None);
    }
    let (Some(job), Some(status)) = (event.build_id, event.build_status) else {
        return Err(BadEvent);
    };
    // A job that is being cancelled has lost its token already, while its `after_script` runs.
    let is_over = matches!(
        status.as_str(),
        "success" | "failed" | "canceled" | "canceling" | "skipped"
    );
    Ok(is_over.then(|| JobId(job.get())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef";
    const TWO: &str = "fedcba9876543210";

    #[test]
    fn only_a_secret_of_the_file_is_accepted() {
        let secrets = WebhookSecrets::new(&format!("{ONE}\n")).unwrap();
        assert!(secrets.accept(ONE.as_bytes()));
        let near = [
            &ONE[1..],
            TWO,
            "",
            "0123456789abcdefg",
            "0123456789ABCDEF",
            "0123456789abcdef\n",
        ];
        for shown in near {
            assert!(!secrets.accept(shown.as_bytes()), "{shown:?}");
        }
        secrets.replace(&format!("{ONE}\n{TWO}")).unwrap();
        assert!(secrets.accept(ONE.as_bytes()) && secrets.accept(TWO.as_bytes()));
        secrets.replace(TWO).unwrap();
        assert!(!secrets.accept(ONE.as_bytes()));
        assert!(!format!("{secrets:?}").contains(TWO));
    }

    #[test]
    fn what_can_be_guessed_or_not_sent_is_no_secret() {
        let five = [ONE; 5].join("\n");
        let texts = [
            "",
            "\n",
            "short",
            &format!("{ONE}\n\n"),
            "0123456789abcde f",
            &five,
        ];
        for text in texts {
            assert_eq!(
                WebhookSecrets::new(text).unwrap_err(),
                BadWebhookSecrets,
                "{text:?}"
            );
        }
        let secrets = WebhookSecrets::new(ONE).unwrap();
        assert_eq!(secrets.replace(""), Err(BadWebhookSecrets));
        assert!(secrets.accept(ONE.as_bytes()));
    }

    #[test]
    fn an_event_says_when_a_job_is_over() {
        let event = |status: &str| {
            let body = format!(
                r#"{{"object_kind":"build","ref":"main","build_id":9001,"build_status":"{status}","project_id":150,"user":{{"id":12}}}}"#
            );
            job_over(body.as_bytes()).unwrap().map(|job| job.0)
        };
        for status in ["success", "failed", "canceled", "canceling", "skipped"] {
            assert_eq!(event(status), Some(9001), "{status}");
        }
        for status in [
            "created",
            "pending",
            "running",
            "manual",
            "scheduled",
            "new",
        ] {
            assert_eq!(event(status), None, "{status}");
        }
        assert_eq!(job_over(br#"{"object_kind":"pipeline"}"#), Ok(None));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let bodies = [
            "",
            "[]",
            "{}",
            r#"{"object_kind":"build","build_status":"success"}"#,
            r#"{"object_kind":"build","build_id":9001}"#,
            r#"{"object_kind":"build","build_id":"9001","build_status":"success"}"#,
            r#"{"object_kind":"build","build_id":0,"build_status":"success"}"#,
        ];
        for body in bodies {
            assert_eq!(job_over(body.as_bytes()), Err(BadEvent), "{body}");
        }
    }
}
