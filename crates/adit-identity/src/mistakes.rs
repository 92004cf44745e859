//! Everything that is wrong with a config file, collected, so that a user mends it in one go. Each config struct's check
//! takes `&mut Mistakes` and the [`Key`] it stands at; the binary prints the whole and exits with code 64.
//! Invariant: a message names the key and the rule; values are shown by whoever adds the mistake, and never secrets.

pub mod duration;
mod section;
mod size;
mod yaml;

use std::fmt;

pub use section::Section;
pub use yaml::{from_yaml, says_nothing};

/// Where in a config file something stands, such as `agents[2].ci_access.projects[0].id`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The file itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// A field of what stands here.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let dot = if self.0.is_empty() { "" } else { "." };
        Self(format!("{}{dot}{name}", self.0))
    }

    /// An element of the list that stands here, counted from 0.
    #[must_use]
    pub fn index(&self, at: usize) -> Self {
        Self(format!("{}[{at}]", self.0))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(file)" } else { &self.0 })
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub key: Key,
    /// What, in a line, lower case, no full stop.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// All that is wrong, in the order it was found. Printed one to a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Nothing wrong so far.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes a mistake.
    pub fn add(&mut self, key: &Key, what: impl fmt::Display) {
        self.0.push(Mistake {
            key: key.clone(),
            what: what.to_string(),
        });
    }

    /// The checked value, or a note of why there is none.
    pub fn check<T, E: fmt::Display>(&mut self, key: &Key, checked: Result<T, E>) -> Option<T> {
        match checked {
            Ok(value) => Some(value),
            Err(why) => {
                self.add(key, why);
                None
            }
        }
    }

    /// What is wrong so far.
    #[must_use]
    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }

    /// The value that was built, if all of it was right.
    ///
    /// # Errors
    ///
    /// These mistakes, if there are any.
    ///
    /// # Panics
    ///
    /// Never, if whoever leaves a value out also notes why; a part left out silently is a bug of the check.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(value.expect("a value is left out only with a mistake noted"));
        }
        Err(self)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            let line_break = if at == 0 { "" } else { "\n" };
            write!(f, "{line_break}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AgentId;

    #[test]
    fn a_key_is_written_as_a_path() {
        let key = Key::root()
            .field("agents")
            .index(2)
            .field("ci_access")
            .field("projects")
            .index(0)
            .field("id");
        assert_eq!(key.to_string(), "agents[2].ci_access.projects[0].id");
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mut mistakes = Mistakes::new();
        let agents = Key::root().field("agents");
        let right = mistakes.check(&agents.index(0), "7".parse::<AgentId>());
        let wrong = mistakes.check(&agents.index(1), "x".parse::<AgentId>());
        mistakes.add(&Key::root(), "no authority is configured");
        assert_eq!((right, wrong), (Some(AgentId(7)), None));
        let told = mistakes.finish(wrong).unwrap_err().to_string();
        let expected = "agents[1]: not a number of decimal digits without leading zeros\n(file): no authority is configured";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_right_value_passes() {
        assert_eq!(Mistakes::new().finish(Some(1)), Ok(1));
    }
}
