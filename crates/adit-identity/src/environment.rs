//! The environment a job deploys to: its name picks grants, its slug and tier end in group names. Made by authorities.
//! Invariant: the tier is one of GitLab's five, so a token cannot name a group that RBAC gives to something else.

use std::{fmt, str::FromStr};

use crate::{Label, environment_slug};

/// A job's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    name: Option<Box<str>>,
    slug: Box<str>,
    tier: Tier,
    protected: bool,
}

impl Environment {
    /// An environment known by its name; the slug is derived as GitLab does.
    ///
    /// # Errors
    ///
    /// The name is empty, longer than 255 characters, or holds a control character.
    pub fn named(name: &str, tier: Tier, protected: bool) -> Result<Self, BadEnvironment> {
        if name.is_empty() {
            return Err(BadEnvironment::Empty);
        }
        if name.chars().count() > MAX_CHARACTERS {
            return Err(BadEnvironment::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(BadEnvironment::Control);
        }
        Ok(Self {
            name: Some(name.into()),
            slug: environment_slug(name).into(),
            tier,
            protected,
        })
    }

    /// An environment known by its slug, as GitLab's API has it: neither its name nor its protection is known.
    #[must_use]
    pub fn with_slug(slug: &Label, tier: Tier) -> Self {
        Self {
            name: None,
            slug: slug.as_str().into(),
            tier,
            protected: false,
        }
    }

    /// The name with its variables expanded, such as `review/feature-1`, when the authority states it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name as a label, such as `review-feature-1-1q251u`.
    #[must_use]
    pub fn slug(&self) -> &str {
        &self.slug
    }

    /// The deployment tier.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Whether only some users may deploy to it. False when the authority did not say.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.protected
    }
}

/// Why a name is no environment's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEnvironment {
    /// Nothing there.
    #[error("environment name is empty")]
    Empty,
    /// Past what GitLab stores.
    #[error("environment name is longer than {MAX_CHARACTERS} characters")]
    TooLong,
    /// A line break or the like.
    #[error("environment name holds a control character")]
    Control,
}

/// GitLab's deployment tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// `production`
    Production,
    /// `staging`
    Staging,
    /// `testing`
    Testing,
    /// `development`
    Development,
    /// `other`
    Other,
}

impl Tier {
    /// What GitLab takes for the tier of an environment that states none: the first of these that has a word in the name.
    #[must_use]
    pub fn guessed(name: &str) -> Self {
        const DEVELOPMENT: [&str; 3] = ["dev", "review", "trunk"];
        const TESTING: [&str; 9] = [
            "test", "tst", "int", "acpt", "accept", "qa", "qc", "control", "quality",
        ];
        const STAGING: [&str; 7] = ["stg", "stag", "model", "modl", "pre", "demo", "non"];
        const PRODUCTION: [&str; 3] = ["prod", "prd", "live"];
        let name = name.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&DEVELOPMENT) {
            Self::Development
        } else if has(&TESTING) {
            Self::Testing
        } else if has(&STAGING) {
            Self::Staging
        } else if has(&PRODUCTION) {
            Self::Production
        } else {
            Self::Other
        }
    }

    /// The tier's name in tokens and group names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Testing => "testing",
            Self::Development => "development",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(text: &str) -> Result<Self, UnknownTier> {
        const TIERS: [Tier; 5] = [
            Tier::Production,
            Tier::Staging,
            Tier::Testing,
            Tier::Development,
            Tier::Other,
        ];
        TIERS
            .into_iter()
            .find(|tier| tier.as_str() == text)
            .ok_or(UnknownTier)
    }
}

/// A word that is none of the five tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of production, staging, testing, development, other")]
pub struct UnknownTier;

/// What GitLab stores of a name.
const MAX_CHARACTERS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_five_tiers_are_tiers() {
        assert_eq!("production".parse(), Ok(Tier::Production));
        for text in ["", "Production", "prod", "production:admin", "production "] {
            assert_eq!(text.parse::<Tier>(), Err(UnknownTier), "{text:?}");
        }
    }

    #[test]
    fn a_tier_is_guessed_from_the_name() {
        for (name, tier) in [
            ("production", Tier::Production),
            ("Live", Tier::Production),
            ("review/prod", Tier::Development),
            ("non-prod", Tier::Staging),
            ("acceptance", Tier::Testing),
            ("blue", Tier::Other),
        ] {
            assert_eq!(Tier::guessed(name), tier, "{name}");
        }
    }

    #[test]
    fn a_name_that_could_break_a_line_is_refused() {
        let named = |name: &str| Environment::named(name, Tier::Other, false);
        assert_eq!(named(""), Err(BadEnvironment::Empty));
        assert_eq!(named("prod\nx"), Err(BadEnvironment::Control));
        assert_eq!(named(&"é".repeat(256)), Err(BadEnvironment::TooLong));
        assert!(named(&"é".repeat(255)).is_ok());
    }
}
