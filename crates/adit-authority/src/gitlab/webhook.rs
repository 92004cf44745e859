//! GitLab's job events: what one says. Called by the relay for each that arrives.

use adit_identity::JobId;
use serde::Deserialize;

use super::answer::Id;

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
