//! Patterns for environment names, such as `review/*`. From `ci_access`, matched whenever a permit is built.
//! Invariant: `*` stands for any text, slashes included, also for none; everything else stands for itself, case included.

use std::{fmt, str::FromStr};

/// A name or a wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentPattern(Box<str>);

impl EnvironmentPattern {
    /// Whether an environment of this name is meant. Time is bounded by the product of both lengths.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = pieces.next_back() else {
            return rest.is_empty();
        };
        // Taking each piece at its first place is enough: a later place leaves less for the pieces after it.
        for piece in pieces {
            let Some((_, after)) = rest.split_once(piece) else {
                return false;
            };
            rest = after;
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for EnvironmentPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for EnvironmentPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if text.is_empty() || text.trim().len() != text.len() || text.chars().any(char::is_control)
        {
            return Err(BadPattern::NoName);
        }
        if text.chars().count() > MAX_CHARACTERS {
            return Err(BadPattern::TooLong);
        }
        Ok(Self(text.into()))
    }
}

/// Why a text can match no environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// Empty, padded, or with a control character.
    #[error(
        "no environment has such a name: it is empty, padded with white space, or holds a control character"
    )]
    NoName,
    /// Past what a name may have.
    #[error("longer than {MAX_CHARACTERS} characters")]
    TooLong,
}

const MAX_CHARACTERS: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<EnvironmentPattern>().unwrap().matches(name)
    }

    #[test]
    fn a_wildcard_stands_for_any_text() {
        assert!(matches("review/*", "review/a/b"));
        assert!(matches("*", "production"));
        assert!(matches("*/prod", "eu/west/prod"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(matches("prod*", "prod"));
        assert!(matches("**", "x"));
    }

    #[test]
    fn everything_else_stands_for_itself() {
        assert!(matches("prod.eu", "prod.eu"));
        assert!(!matches("prod.eu", "prod-eu"));
        assert!(!matches("prod", "Prod"));
        assert!(!matches("prod", "prod-2"));
        assert!(!matches("prod", "eu-prod"));
        assert!(!matches("review/*", "review"));
        assert!(!matches("a*a", "a"));
        assert!(!matches("ab*bc", "abc"));
        assert!(!matches("[a-z]*", "prod"));
    }

    /// The definition, word for word, and as slow as it sounds.
    fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => {
                (0..=name.len()).any(|skipped| by_definition(rest, &name[skipped..]))
            }
            Some((byte, rest)) => name.first() == Some(byte) && by_definition(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(pattern in "[ab*]{1,7}", name in "[ab]{0,9}") {
            prop_assert_eq!(matches(&pattern, &name), by_definition(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
