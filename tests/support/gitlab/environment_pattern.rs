//! How GitLab matches an environment's name against an entry of `environments`.
//!
//! Not as one would think: a pattern with a `*` is a regular expression in which each `*` became `.*`, with all other
//! characters as they were and no anchors. So `prod*` lets `eu-production` pass, `review.1/*` lets `review-1/x` pass, and a
//! pattern that is no regular expression makes GitLab fail.

use regex::Regex;

/// GitLab answers 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPattern;

pub(super) fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    if pattern.trim().is_empty() {
        return Ok(false);
    }
    if pattern == name {
        return Ok(true);
    }
    if !pattern.contains('*') {
        return Ok(false);
    }
    let expression = Regex::new(&pattern.replace('*', ".*")).map_err(|_| BadPattern)?;
    Ok(expression.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::{BadPattern, matches};

    #[test]
    fn a_name_without_a_wildcard_is_matched_whole() {
        assert_eq!(matches("prod", "prod"), Ok(true));
        assert_eq!(matches("prod", "prod-2"), Ok(false));
        assert_eq!(matches("prod", "Prod"), Ok(false));
        assert_eq!(matches("pr.d", "prod"), Ok(false));
        assert_eq!(matches("", "prod"), Ok(false));
    }

    #[test]
    fn a_wildcard_makes_it_a_regular_expression_without_anchors() {
        assert_eq!(matches("review/*", "review/a/b"), Ok(true));
        assert_eq!(matches("review/*", "review"), Ok(false));
        assert_eq!(matches("review/*", "eu/review/a"), Ok(true));
        assert_eq!(matches("prod*", "non-prod"), Ok(true));
        assert_eq!(matches("prod.eu*", "prod-eu"), Ok(true));
        assert_eq!(matches("prod*", "PROD"), Ok(false));
        assert_eq!(matches("re(view/*", "review/a"), Err(BadPattern));
    }
}
