//! The name of an agent, unique in its config project. Read from the relay's config; shown in context names and answers.
//! Invariant: an RFC 1123 label, as GitLab has it, so it can stand in a DNS name, a Kubernetes label and a file name.

use std::{fmt, str::FromStr};

/// An agent's name: lower-case letters, digits and inner dashes, at most 63 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(Box<str>);

impl AgentName {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AgentName {
    type Err = BadAgentName;

    fn from_str(text: &str) -> Result<Self, BadAgentName> {
        if text.is_empty() {
            return Err(BadAgentName::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(BadAgentName::TooLong);
        }
        let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.bytes().all(label) {
            return Err(BadAgentName::Character);
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(BadAgentName::OuterDash);
        }
        Ok(Self(text.into()))
    }
}

/// Why a text is no agent name. RFC 1123 section 2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAgentName {
    /// Nothing there.
    #[error("empty")]
    Empty,
    /// Past 63 bytes.
    #[error("longer than {MAX_BYTES} characters")]
    TooLong,
    /// Upper case, a dot, an underscore, anything not listed.
    #[error("only lower-case letters, digits and dashes may stand in it")]
    Character,
    /// `-name` or `name-`.
    #[error("starts or ends with a dash")]
    OuterDash,
}

const MAX_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_63_characters_is_the_longest_name() {
        assert!("a".repeat(63).parse::<AgentName>().is_ok());
        assert_eq!(
            "a".repeat(64).parse::<AgentName>(),
            Err(BadAgentName::TooLong)
        );
    }

    #[test]
    fn what_is_no_label_is_no_name() {
        let cases = [
            ("", BadAgentName::Empty),
            ("Prod", BadAgentName::Character),
            ("prod.eu", BadAgentName::Character),
            ("prod:eu", BadAgentName::Character),
            ("-prod", BadAgentName::OuterDash),
            ("prod-", BadAgentName::OuterDash),
        ];
        for (text, mistake) in cases {
            assert_eq!(text.parse::<AgentName>(), Err(mistake), "{text:?}");
        }
    }
}
