//! Patterns for environment names, such as `review/*`. From `ci_access`, matched whenever a permit is built.
//! Invariant: in a relay's config `*` stands for any text, slashes included, also for none; everything else stands for itself, case
//! included. In an agent's file at GitLab a pattern means what GitLab makes of it.

mod misread;

use std::{fmt, str::FromStr};

use adit_identity::environment_slug;
use regex::{Regex, RegexBuilder};

use super::Passes;

/// A name or a wildcard.
#[derive(Clone, Debug)]
pub struct EnvironmentPattern {
    text: Box<str>,
    /// What GitLab makes of a wildcard.
    expression: Option<Regex>,
}

impl EnvironmentPattern {
    /// The pattern as GitLab reads it: with a `*` in it, it is a regular expression that may match anywhere in the name, each `*` being
    /// `.*`. So `prod*` means `non-prod`, too, and `a.b*` means `a-b`.
    ///
    /// # Errors
    ///
    /// No environment can have such a name, or GitLab would fail over it.
    pub(crate) fn as_gitlab_reads(text: &str) -> Result<Self, BadPattern> {
        let name: Self = text.parse()?;
        if !text.contains('*') {
            return Ok(name);
        }
        let expression = RegexBuilder::new(&text.replace('*', ".*"))
            .size_limit(MAX_EXPRESSION_BYTES)
            .build()
            .map_err(|_| BadPattern::NoExpression)?;
        Ok(Self {
            expression: Some(expression),
            ..name
        })
    }

    /// Whether an environment of this name is meant. Time is bounded by the product of both lengths.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match &self.expression {
            Some(expression) => *self.text == *name || expression.is_match(name),
            None => self.matches_whole(name),
        }
    }

    /// Whether an environment with this slug is meant, as far as its slug tells its name.
    pub(crate) fn matches_slug(&self, slug: &str) -> Passes {
        if !self.text.contains('*') {
            return Passes::if_so(environment_slug(&self.text) == slug);
        }
        // A slug that is no name's abbreviation is the name.
        if is_abbreviation(slug) {
            return Passes::Unknown;
        }
        Passes::if_so(self.matches(slug))
    }

    fn matches_whole(&self, name: &str) -> bool {
        let mut pieces = self.text.split('*');
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
        f.write_str(&self.text)
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
        Ok(Self {
            text: text.into(),
            expression: None,
        })
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
    /// GitLab answers no job that the entry covers.
    #[error(
        "GitLab reads a pattern with a `*` as a regular expression, and this is none: it fails over it, for each job that the entry covers"
    )]
    NoExpression,
}

/// Whether a slug may end in what GitLab puts there for the rest of a name: a dash and six letters and digits.
fn is_abbreviation(slug: &str) -> bool {
    slug.rsplit_once('-')
        .is_some_and(|(_, suffix)| suffix.len() == 6)
}

const MAX_CHARACTERS: usize = 255;

/// What a pattern may grow to: `a{999}{999}*` is short, and would take gigabytes.
const MAX_EXPRESSION_BYTES: usize = 1 << 20;

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

    #[test]
    fn gitlabs_wildcards_are_regular_expressions_without_anchors() {
        let matches = |pattern: &str, name: &str| {
            EnvironmentPattern::as_gitlab_reads(pattern)
                .unwrap()
                .matches(name)
        };
        assert!(matches("review/*", "review/a/b"));
        assert!(matches("review/*", "eu/review/a"));
        assert!(!matches("review/*", "review"));
        assert!(matches("prod*", "non-prod"));
        assert!(matches("a.b*", "a-b"));
        assert!(!matches("prod*", "PROD"));
        assert!(matches("prod", "prod"));
        assert!(!matches("prod", "non-prod"));
        assert!(!matches("pr.d", "prod"));
        for pattern in ["re(view/*", "a{999}{999}{999}*"] {
            let refused = EnvironmentPattern::as_gitlab_reads(pattern).unwrap_err();
            assert_eq!(refused, BadPattern::NoExpression, "{pattern}");
        }
        let refused = EnvironmentPattern::as_gitlab_reads(" ").unwrap_err();
        assert_eq!(refused, BadPattern::NoName);
    }

    #[test]
    fn a_slug_tells_a_name_that_it_does_not_abbreviate() {
        let of_slug = |pattern: &str, slug: &str| {
            let pattern = EnvironmentPattern::as_gitlab_reads(pattern).unwrap();
            pattern.matches_slug(slug)
        };
        let review = environment_slug("review/a");
        let cases = [
            ("production", "production", Passes::Does),
            ("production", "staging", Passes::DoesNot),
            ("review/a", review.as_str(), Passes::Does),
            ("review-a", review.as_str(), Passes::DoesNot),
            ("prod*", "prod-eu", Passes::Does),
            ("prod*", "staging", Passes::DoesNot),
            ("review/*", review.as_str(), Passes::Unknown),
        ];
        for (pattern, slug, expected) in cases {
            assert_eq!(of_slug(pattern, slug), expected, "{pattern} of {slug}");
        }
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
