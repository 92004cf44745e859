//! As whom an agent acts at its API server: itself, or a user whom it impersonates. Made by the relay from a grant, sent
//! through the tunnel, and turned into `Impersonate-*` headers by the agent.
//! Invariant: what is held here survives an HTTP header unchanged. HTTP trims white space around a value, so a group
//! `" system:masters"` would arrive as another one: such a value is refused, never mended.

use std::fmt;

/// As whom the agent calls its API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActAs {
    /// As its own service account, without impersonation: `access_as: agent`.
    Agent,
    /// As somebody else.
    Impersonate(Impersonation),
}

/// A Kubernetes user, complete: nothing is ever merged into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    user: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: Vec<Extra>,
}

/// One extra of a user: a key and its values, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Lower case, such as `agent.gitlab.com/id`.
    pub key: String,
    /// At least one.
    pub values: Vec<String>,
}

impl Impersonation {
    /// A user with everything the API server shall know of it.
    ///
    /// # Errors
    ///
    /// There is no user, a value is empty, padded with white space or holds a control character, or an extra's key is
    /// not lower case, stands twice, or has no value.
    pub fn new(
        user: String,
        uid: Option<String>,
        groups: Vec<String>,
        extra: Vec<Extra>,
    ) -> Result<Self, BadImpersonation> {
        check(Part::User, &user)?;
        if let Some(uid) = &uid {
            check(Part::Uid, uid)?;
        }
        for group in &groups {
            check(Part::Group, group)?;
        }
        for (at, Extra { key, values }) in extra.iter().enumerate() {
            check_key(key)?;
            if extra.iter().take(at).any(|earlier| earlier.key == *key) {
                return Err(BadImpersonation::RepeatedKey(key.clone()));
            }
            if values.is_empty() {
                return Err(BadImpersonation::NoValues(key.clone()));
            }
            for value in values {
                check(Part::Extra, value)?;
            }
        }
        Ok(Self {
            user,
            uid,
            groups,
            extra,
        })
    }

    /// `Impersonate-User`; never empty.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `Impersonate-Uid`.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// `Impersonate-Group`, one header each.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// `Impersonate-Extra-<key>`, one header for each value.
    #[must_use]
    pub fn extra(&self) -> &[Extra] {
        &self.extra
    }
}

/// Why a user cannot be impersonated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadImpersonation {
    /// A value that is required, or is an element of a list, and holds nothing.
    #[error("{0} is empty")]
    Empty(Part),
    /// White space at an end: HTTP would drop it and so change who this is.
    #[error("{0} starts or ends with white space")]
    Padded(Part),
    /// A line break or the like: it would end the header.
    #[error("{0} holds a control character")]
    Control(Part),
    /// Kubernetes lower-cases keys, so any other would not arrive as written.
    #[error("{0} is not lower case")]
    UpperCase(Part),
    /// The same key twice: whose values hold?
    #[error("extra key `{0}` stands twice")]
    RepeatedKey(String),
    /// A key that says nothing cannot be sent.
    #[error("extra key `{0}` has no value")]
    NoValues(String),
}

/// A part of an impersonation, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The user's name.
    User,
    /// The user's unique id.
    Uid,
    /// A group.
    Group,
    /// An extra's key.
    ExtraKey,
    /// A value of an extra.
    Extra,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Uid => "uid",
            Self::Group => "group",
            Self::ExtraKey => "extra key",
            Self::Extra => "extra value",
        })
    }
}

fn check(part: Part, text: &str) -> Result<(), BadImpersonation> {
    if text.is_empty() {
        return Err(BadImpersonation::Empty(part));
    }
    if text.chars().any(char::is_control) {
        return Err(BadImpersonation::Control(part));
    }
    if text.trim().len() != text.len() {
        return Err(BadImpersonation::Padded(part));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), BadImpersonation> {
    check(Part::ExtraKey, key)?;
    if key.to_lowercase() != key {
        return Err(BadImpersonation::UpperCase(Part::ExtraKey));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(key: &str, values: &[&str]) -> Extra {
        Extra {
            key: key.into(),
            values: values.iter().map(|&value| value.into()).collect(),
        }
    }

    fn user(user: &str) -> Result<Impersonation, BadImpersonation> {
        Impersonation::new(user.into(), None, vec![], vec![])
    }

    #[test]
    fn nobody_is_not_impersonated() {
        assert_eq!(user(""), Err(BadImpersonation::Empty(Part::User)));
    }

    #[test]
    fn a_value_that_http_would_change_is_refused() {
        for text in [" root", "root ", "\u{a0}root"] {
            assert_eq!(
                user(text),
                Err(BadImpersonation::Padded(Part::User)),
                "{text:?}"
            );
        }
        for text in [
            "a\r\nimpersonate-group: system:masters",
            "a\0",
            "\ta",
            "a\u{85}b",
        ] {
            assert_eq!(
                user(text),
                Err(BadImpersonation::Control(Part::User)),
                "{text:?}"
            );
        }
        let groups = Impersonation::new("a".into(), None, vec!["g".into(), String::new()], vec![]);
        assert_eq!(groups, Err(BadImpersonation::Empty(Part::Group)));
        let uid = Impersonation::new("a".into(), Some(String::new()), vec![], vec![]);
        assert_eq!(uid, Err(BadImpersonation::Empty(Part::Uid)));
    }

    #[test]
    fn an_extra_has_one_lower_case_key_and_a_value() {
        let with = |extra| Impersonation::new("a".into(), None, vec![], extra).map(|_| ());
        assert_eq!(with(vec![extra("k", &["v", "w"])]), Ok(()));
        assert_eq!(
            with(vec![extra("K", &["v"])]),
            Err(BadImpersonation::UpperCase(Part::ExtraKey))
        );
        assert_eq!(
            with(vec![extra("", &["v"])]),
            Err(BadImpersonation::Empty(Part::ExtraKey))
        );
        assert_eq!(
            with(vec![extra("k", &[])]),
            Err(BadImpersonation::NoValues("k".into()))
        );
        assert_eq!(
            with(vec![extra("k", &[""])]),
            Err(BadImpersonation::Empty(Part::Extra))
        );
        let twice = vec![extra("k", &["v"]), extra("k", &["w"])];
        assert_eq!(with(twice), Err(BadImpersonation::RepeatedKey("k".into())));
    }
}
