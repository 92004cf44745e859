//! What a configuration's types say of its keys, read from the comments that stand there: what a key is for, and what holds without it
//! where the program does not tell. Invariant: a type that is named and not found is an error, and so is a key without a comment.
//!
//! A reader for all of Rust is not needed: rustfmt has each field begin a line of its own, and a key that were overlooked would be one
//! that the program knows and no type has.

use std::{collections::BTreeMap, fs};

use super::path::Path;
use crate::documents::root;

/// What is said of one key.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) what: String,
    /// In words, or as a value.
    pub(super) default: Option<String>,
}

impl Meaning {
    /// `Default: ...` or `Required...` at its end is about the default.
    fn of(text: &str) -> Self {
        let text = text.strip_suffix('.').unwrap_or(text);
        if let Some((what, default)) = text.rsplit_once("Default: ") {
            return Self::new(what, Some(default.to_owned()));
        }
        match text.rsplit_once("Required") {
            Some((what, rest)) if !rest.contains(". ") => {
                Self::new(what, Some(format!("required{rest}")))
            }
            Some(_) | None => Self::new(&format!("{text}."), None),
        }
    }

    fn new(what: &str, default: Option<String>) -> Self {
        let what = what.trim_end().to_owned();
        Self { what, default }
    }
}

/// The structures of some files, each with its fields.
pub(super) struct Types(BTreeMap<String, Vec<Field>>);

#[derive(Clone, Debug)]
struct Field {
    name: String,
    /// As one line.
    comment: String,
    /// As it is written.
    held: String,
}

impl Types {
    pub(super) fn read(files: &[&str]) -> Self {
        let mut types = BTreeMap::new();
        for file in files {
            let text = fs::read_to_string(root().join(file)).unwrap();
            for item in text.split("\npub struct ").skip(1) {
                // One without names for its fields stands nowhere.
                if let Some((name, rest)) = item.split_once(" {\n") {
                    let body = rest.split("\n}").next().unwrap();
                    types.insert(name.to_owned(), fields(body));
                }
            }
        }
        Self(types)
    }

    /// All keys of a file that is a `RawConfig`, in their order.
    pub(super) fn meanings(&self) -> Vec<(Path, Meaning)> {
        let mut found = Vec::new();
        self.add("RawConfig", &Path::file(), &mut found);
        found
    }

    fn add(&self, name: &str, at: &Path, found: &mut Vec<(Path, Meaning)>) {
        for field in self.fields(name) {
            let key = at.below(&field.name);
            match self.section(&field.held) {
                Some(section) if field.held.contains("Vec<") => {
                    self.add(section, &key.each(), found);
                }
                Some(section) => self.add(section, &key, found),
                None => found.push((key, Meaning::of(self.comment(field)))),
            }
        }
    }

    /// The structure that a field holds, if its keys stand below the field's.
    fn section<'a>(&self, held: &'a str) -> Option<&'a str> {
        let inner = held.rsplit('<').next()?.trim_end_matches('>');
        let has_keys = self.0.get(inner).is_some_and(|fields| !fields.is_empty());
        has_keys.then_some(inner)
    }

    fn fields(&self, name: &str) -> &[Field] {
        let fields = self.0.get(name);
        fields.unwrap_or_else(|| panic!("no file has {name}"))
    }

    /// What stands above a field, or above the one to which it points: ``See [`Type::field`].``
    fn comment<'a>(&'a self, field: &'a Field) -> &'a str {
        let Field { name, comment, .. } = field;
        assert!(!comment.is_empty(), "nothing is said of {name}");
        let pointed = comment.strip_prefix("See [`");
        let pointed = pointed.and_then(|rest| rest.strip_suffix("`]."));
        let Some((section, key)) = pointed.and_then(|other| other.split_once("::")) else {
            return comment;
        };
        let other = self.fields(section).iter().find(|field| field.name == key);
        self.comment(other.unwrap_or_else(|| panic!("{section} has no {key}")))
    }
}

/// Those that may stand in a file.
fn fields(body: &str) -> Vec<Field> {
    let mut found = Vec::new();
    let (mut comment, mut is_skipped) = (Vec::new(), false);
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if line == "#[serde(skip)]" {
            is_skipped = true;
        } else if let Some(field) = line.strip_prefix("pub ") {
            let (name, held) = field.split_once(": ").unwrap();
            if !is_skipped {
                found.push(Field {
                    name: name.to_owned(),
                    comment: comment.join(" "),
                    held: held.trim_end_matches(',').to_owned(),
                });
            }
            comment.clear();
            is_skipped = false;
        }
    }
    found
}
