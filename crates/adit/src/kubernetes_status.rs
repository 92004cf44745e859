//! Reads why something was refused: a Kubernetes `Status`, or whatever stands in front of the relay and answers in its place.
//! Called by `kubeconfig/ask.rs` and by `doctor`.
//!
//! The invariant: what somebody else wrote reaches the terminal on one line, without control characters.

use serde::Deserialize;

/// What a refusal says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) message: String,
    /// The hop that failed, as the relay names it; absent when the relay did not write this.
    pub(crate) hop: Option<String>,
}

impl Status {
    /// From a body of any kind.
    pub(crate) fn read(body: &[u8]) -> Self {
        match serde_json::from_slice::<Written>(body) {
            Ok(written) => Self {
                message: printable(&written.message),
                hop: written.details.and_then(Details::hop),
            },
            Err(_) => Self {
                message: printable(&String::from_utf8_lossy(body)),
                hop: None,
            },
        }
    }
}

/// `meta/v1.Status`, as far as it is read. Others leave out what the relay always writes.
#[derive(Deserialize)]
struct Written {
    message: String,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    causes: Vec<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Details {
    fn hop(self) -> Option<String> {
        let mut causes = self.causes.into_iter();
        let cause = causes.find(|cause| cause.reason == "AditHop")?;
        Some(cause.message)
    }
}

/// For a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_CHARACTERS)
        .collect()
}

const MAX_CHARACTERS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_refusal_cannot_steer_the_terminal() {
        let message = |body| Status::read(body).message;
        assert_eq!(
            message(br#"{"kind":"Status","message":"no \u001b[2J"}"#),
            "no  [2J"
        );
        assert_eq!(message(b"<html>\n"), "<html> ");
    }

    #[test]
    fn hop_is_read_where_the_relay_wrote_it() {
        let hop = |body| Status::read(body).hop;
        let relays = br#"{"message":"m","details":{"causes":[
            {"reason":"AditReason","message":"agent_offline"},{"reason":"AditHop","message":"agent"}]}}"#;
        assert_eq!(hop(relays).as_deref(), Some("agent"));
        let others = br#"{"message":"m","details":{"name":"a","causes":[{"field":"b"}]}}"#;
        assert_eq!(hop(others), None);
    }
}
