//! Reads a config file's YAML into the type that mirrors it. What is of another type than its key takes, what has no value, what no key is
//! called and what is needed and missing is told all at once, each with its key and its place.
//!
//! Called by `RawConfig::from_yaml` of relay and agent. A type's own reading ends at its first mistake; so the text is read again, each time
//! without the keys that were wrong before. Invariant: no value is told, as it may be a secret in the wrong line.

mod given;
mod without;

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, Location, UserMessageFormatter, with_deserializer_from_str};

use self::without::{Reading, Without};
use super::{Key, Mistakes};

/// What is told of one file. Each is another reading of the whole text.
const MOST: usize = 20;

/// Whether a text has nothing but comments and marks of where a document begins and ends.
#[must_use]
pub fn says_nothing(text: &str) -> bool {
    let mut words = text.lines().map(|line| {
        let (said, _comment) = line.split_once('#').unwrap_or((line, ""));
        said.trim()
    });
    words.all(|said| ["", "---", "..."].contains(&said))
}

/// Reads YAML.
///
/// # Errors
///
/// The text is empty, or no YAML, or has keys that are wrong.
pub fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, Mistakes> {
    let (mut left_out, mut mistakes) = (HashSet::new(), Mistakes::new());
    if says_nothing(text) {
        // More likely it could not be written than that every key was meant to be left out.
        mistakes.add(&Key::root(), "the file is empty");
        return Err(mistakes);
    }
    let unread = match given::without_value(text) {
        Ok(found) => {
            for (key, at) in found.into_iter().take(MOST) {
                mistakes.add(&key, format!("{NO_VALUE}{}", place(Some(at))));
                left_out.insert(key);
            }
            None
        }
        Err(error) => Some(error),
    };
    loop {
        let reading = Reading::without(&left_out);
        let read =
            with_deserializer_from_str(text, |yaml| T::deserialize(Without::of(yaml, &reading)));
        let error = match read {
            Ok(value) => {
                // Nobody knows then whether a key lacks its value.
                if let Some(error) = unread {
                    let error = in_itself(&error);
                    let told = error.render_with_formatter(&UserMessageFormatter);
                    mistakes.add(&Key::root(), told);
                }
                return mistakes.finish(Some(value));
            }
            Err(error) => error,
        };
        let error = in_itself(&error);
        let stands_at = reading.failed_at();
        let Some(wrong) = Wrong::of(error, &stands_at) else {
            // The text is no YAML from there on, and reading on would only find that again.
            mistakes.add(
                &Key::root(),
                error.render_with_formatter(&UserMessageFormatter),
            );
            return Err(mistakes);
        };
        // What was left out for another mistake is missing for that alone.
        if !left_out.contains(&wrong.key) {
            let place = place(error.location());
            mistakes.add(&wrong.key, format!("{}{place}", wrong.what));
        }
        let can_go_on = wrong.leave_out != Key::root() && left_out.insert(wrong.leave_out);
        if !can_go_on || left_out.len() >= MOST {
            return Err(mistakes);
        }
    }
}

/// One thing that is wrong, and what to read on without.
struct Wrong {
    key: Key,
    what: String,
    leave_out: Key,
}

impl Wrong {
    /// Of the value at a key. None: it is not that value which is wrong.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "of the library's many errors, those of syntax have nothing to do with a key"
    )]
    fn of(error: &Error, at: &Key) -> Option<Self> {
        let here = |what: String| Self {
            key: at.clone(),
            what,
            leave_out: at.clone(),
        };
        let wrong = match error {
            Error::InvalidScalar { ty, .. } => here(wanted(ty)),
            Error::InvalidBooleanStrict { .. } => here(wanted("boolean")),
            Error::Unexpected { expected, .. } => here(wanted(expected)),
            Error::SerdeInvalidType { expected, .. }
            | Error::SerdeInvalidValue { expected, .. }
            | Error::SerdeInvalidLength { expected, .. } => here(wanted(expected)),
            Error::NullIntoString { .. } => here(NO_VALUE.to_owned()),
            Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. }
            | Error::ExpectedStringKeyForExternallyTaggedEnum { .. }
            | Error::UnexpectedValueForUnitEnumVariant { .. } => here(wanted("scalar")),
            Error::ExpectedEmptyMappingForUnitStruct { .. }
            | Error::UnexpectedValueForUnit { .. } => here(wanted("mapping start")),
            Error::SerdeUnknownVariant { expected, .. } => {
                here(format!("must be one of {}", expected.join(", ")))
            }
            Error::SerdeUnknownField {
                field, expected, ..
            } => {
                let key = at.field(&printable(field));
                let what = match &expected[..] {
                    [] => "there is no such key: nothing may be here".to_owned(),
                    keys => format!("there is no such key; here may be {}", keys.join(", ")),
                };
                Self {
                    what,
                    leave_out: key.clone(),
                    key,
                }
            }
            Error::SerdeMissingField { field, .. } => Self {
                key: at.field(field),
                what: "needed".to_owned(),
                leave_out: at.clone(),
            },
            // It is found however the section is read, so this is the last that is told.
            Error::DuplicateMappingKey {
                key: Some(name), ..
            } => Self {
                key: at.field(&printable(name)),
                what: "is there twice: leave one of them".to_owned(),
                leave_out: Key::root(),
            },
            _ => return None,
        };
        Some(wrong)
    }
}

fn place(at: Option<Location>) -> String {
    at.map(|at| format!(" (line {}, column {})", at.line(), at.column()))
        .unwrap_or_default()
}

/// What a key takes, by what the library or serde calls it.
fn wanted(expected: &str) -> String {
    let what = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more, without a unit",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number, without a unit",
        "f32" | "f64" | "floating point" => "a number",
        "boolean" | "a boolean" => "true or false",
        "string scalar" | "scalar" | "a string" | "path string" => {
            "one value: a text, neither a list nor a section"
        }
        "sequence start" | "a sequence" => "a list, `[a, b]` or a line with `- ` for each",
        "mapping start" | "a map" => "a section with keys of its own, `key: value`",
        other if other.starts_with("struct ") => "a section with keys of its own, `key: value`",
        other => other,
    };
    format!("must be {what}")
}

/// A name that somebody wrote, for a line of a log.
fn printable(name: &str) -> String {
    let shown = name.chars().filter(|letter| !letter.is_control());
    shown.take(MOST_LETTERS).collect()
}

/// As the library knows it, without where it is shown and by which alias it was met.
fn in_itself(error: &Error) -> &Error {
    let error = error.without_snippet();
    if let Error::AliasError { error, .. } = error {
        return in_itself(error);
    }
    error
}

/// Of a key behind which nothing stands.
const NO_VALUE: &str =
    "has no value: give one, or take the key out; an empty section is `{}`, an empty list `[]`";

/// Longer than any key.
const MOST_LETTERS: usize = 64;

#[cfg(test)]
mod tests;
