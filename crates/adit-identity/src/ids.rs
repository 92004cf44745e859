//! The numbers GitLab gives to things, a type each so that a project's id cannot stand where an agent's is due.
//! Parsed from config files, tokens and URL paths. Invariant: text has exactly one spelling, so `07` or `+7` is no id.

use std::{fmt, num::ParseIntError, str::FromStr};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                parse(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// One agent: a named cluster end, however many replicas run it.
    AgentId
    /// One CI job.
    JobId
    /// The pipeline a job belongs to.
    PipelineId
    /// A project.
    ProjectId
    /// A group, at any depth. A user's own namespace has one too, from the same sequence of numbers.
    GroupId
    /// A user.
    UserId
}

/// Why a text is no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// A sign, a letter, a leading zero, or nothing at all.
    #[error("not a number of decimal digits without leading zeros")]
    Digits,
    /// More than 64 bits.
    #[error("number too large")]
    TooLarge(#[source] ParseIntError),
}

fn parse(text: &str) -> Result<u64, BadId> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || text.starts_with('0') {
        return Err(BadId::Digits);
    }
    text.parse().map_err(BadId::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_it_was_read() {
        let id: AgentId = "41".parse().unwrap();
        assert_eq!(id, AgentId(41));
        assert_eq!(id.to_string(), "41");
    }

    #[test]
    fn other_spellings_of_a_number_are_no_ids() {
        for text in ["", "0", "07", "+7", "-7", " 7", "7 ", "7a", "0x7", "٧"] {
            assert_eq!(text.parse::<AgentId>(), Err(BadId::Digits), "{text:?}");
        }
    }

    #[test]
    fn a_number_past_64_bits_is_no_id() {
        let parsed = "18446744073709551616".parse::<AgentId>();
        assert!(matches!(parsed, Err(BadId::TooLarge(_))), "{parsed:?}");
    }
}
