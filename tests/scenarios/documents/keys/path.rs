//! Where in a file a key is.

use serde_json::{Value, json};

/// `agents[].id`, the first of a list standing for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(pub(super) String);

impl Path {
    /// The whole file.
    pub(super) const fn file() -> Self {
        Self(String::new())
    }

    pub(super) fn below(&self, key: &str) -> Self {
        match self.0.as_str() {
            "" => Self(key.to_owned()),
            path => Self(format!("{path}.{key}")),
        }
    }

    pub(super) fn each(&self) -> Self {
        Self(format!("{}[]", self.0))
    }

    pub(super) fn last(&self) -> &str {
        self.0.rsplit('.').next().unwrap().trim_end_matches("[]")
    }

    /// How it is called in a section; nothing if it is not there.
    pub(super) fn within(&self, section: &Self) -> Option<&str> {
        if section.0.is_empty() || section == self {
            return Some(&self.0);
        }
        self.0.strip_prefix(&section.0)?.strip_prefix('.')
    }

    /// The value there, made if it is missing.
    pub(super) fn value<'a>(&self, file: &'a mut Value) -> &'a mut Value {
        let steps = self.0.split('.').filter(|step| !step.is_empty());
        steps.fold(file, |at, step| match step.strip_suffix("[]") {
            None => &mut at[step],
            Some(list) => {
                let list = &mut at[list];
                if !list.is_array() {
                    *list = json!([{}]);
                }
                &mut list[0]
            }
        })
    }

    pub(super) fn remove(&self, file: &mut Value) {
        let (above, key) = self.0.rsplit_once('.').unwrap_or(("", &self.0));
        let pointer = above.replace("[]", "/0").replace('.', "/");
        let slash = if above.is_empty() { "" } else { "/" };
        let section = file.pointer_mut(&format!("{slash}{pointer}"));
        if let Some(section) = section.and_then(Value::as_object_mut) {
            section.remove(key);
        }
    }
}
