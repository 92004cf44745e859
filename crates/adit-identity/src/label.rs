//! Names of agents and of Kubernetes namespaces. Read from the relay's config; shown in contexts and answers.
//! Invariant: an RFC 1123 label, as GitLab has it for agents and Kubernetes for namespaces, so it can stand in a DNS
//! name, a Kubernetes label and a file name.

use std::{fmt, str::FromStr};

/// An RFC 1123 label: lower-case letters, digits and inner dashes, at most 63 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Box<str>);

impl Label {
    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = BadLabel;

    fn from_str(text: &str) -> Result<Self, BadLabel> {
        if text.is_empty() {
            return Err(BadLabel::Empty);
        }
        if text.len() > MAX_BYTES {
            return Err(BadLabel::TooLong);
        }
        let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.bytes().all(label) {
            return Err(BadLabel::Character);
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(BadLabel::OuterDash);
        }
        Ok(Self(text.into()))
    }
}

/// Why a text is no label. RFC 1123 section 2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLabel {
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
    fn a_label_of_63_characters_is_the_longest() {
        assert!("a".repeat(63).parse::<Label>().is_ok());
        assert_eq!("a".repeat(64).parse::<Label>(), Err(BadLabel::TooLong));
    }

    #[test]
    fn other_texts_are_no_labels() {
        let cases = [
            ("", BadLabel::Empty),
            ("Prod", BadLabel::Character),
            ("prod.eu", BadLabel::Character),
            ("prod:eu", BadLabel::Character),
            ("-prod", BadLabel::OuterDash),
            ("prod-", BadLabel::OuterDash),
        ];
        for (text, mistake) in cases {
            assert_eq!(text.parse::<Label>(), Err(mistake), "{text:?}");
        }
    }
}
