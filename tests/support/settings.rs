//! Settings of a relay or an agent, written as YAML as a user would write them, so that the tests go through the real check.

use std::{collections::BTreeMap, fmt::Write};

/// Sections and their lines.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<String, BTreeMap<String, String>>);

impl Settings {
    /// Sets `section.key`; the value is YAML.
    pub fn set(&mut self, section: &str, key: &str, value: impl ToString) {
        self.0
            .entry(section.to_owned())
            .or_default()
            .insert(key.to_owned(), value.to_string());
    }

    /// Whether it is set.
    #[must_use]
    pub fn has(&self, section: &str, key: &str) -> bool {
        self.0
            .get(section)
            .is_some_and(|keys| keys.contains_key(key))
    }

    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut yaml = String::new();
        for (section, keys) in &self.0 {
            writeln!(yaml, "{section}:").unwrap();
            for (key, value) in keys {
                writeln!(yaml, "  {key}: {value}").unwrap();
            }
        }
        yaml
    }
}
