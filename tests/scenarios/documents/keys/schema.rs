//! Writes what a chart's schema says of `config`, in its place: every section with the keys that the program knows, closed, and of
//! each value its kind and bounds, so that helm refuses what the program would, and names the key. Where the chart decides, no value
//! may stand.
//!
//! What is to be written instead stands in a `const`, for helm has no other place for words of ours: of a pattern it tells the pattern, and
//! the value, which may be a token.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{path::Path, tables::Row};

/// What a chart has for `config` beside the program's keys.
pub(super) struct Chart {
    pub(super) name: &'static str,
    /// Keys and sections that it writes itself, and by what it does.
    pub(super) decides: &'static [(&'static str, &'static str)],
    pub(super) forms: &'static [Form],
    /// Sections with keys that stand there only with another: the one, the other.
    pub(super) together: &'static [(&'static str, &'static [(&'static str, &'static str)])],
    /// Keys and sections that its values have, and that a `null` may not take away: the memory limit is reckoned from them.
    pub(super) keeps: &'static [&'static str],
    pub(super) rules: &'static [Rule],
}

/// What may not stand somewhere beside other keys, though it might alone. That the program refuses the same is for
/// `xtask/tests/charts/verdicts.rs` to see, which has helm.
pub(super) struct Rule {
    pub(super) key: &'static str,
    /// All of it.
    pub(super) when: &'static [(&'static str, Is)],
    pub(super) words: &'static str,
}

/// What is said of a key.
pub(super) enum Is {
    Given,
    /// Or an empty list.
    Missing,
    True,
    Text(&'static str),
    OtherThan(&'static str),
    /// One of a list has this pattern.
    OneLike(&'static str),
}

/// How a text must be written. Holds for each of a list, too.
pub(super) struct Form {
    pub(super) keys: &'static [&'static str],
    pub(super) pattern: &'static str,
    /// What is written there, for who wrote something else.
    pub(super) words: &'static str,
    /// What the program takes there, and what it refuses.
    pub(super) taken: &'static [&'static str],
    pub(super) refused: &'static [&'static str],
}

/// What may stand somewhere.
enum Node {
    Section(Vec<(String, Self)>),
    /// A list of such.
    Each(Box<Self>),
    Value {
        form: Value,
        is_needed: bool,
    },
}

impl Chart {
    /// The schema as it should be. Keys keep the order of `rows`.
    pub(super) fn written(&self, schema: &str, rows: &[(Path, Row)]) -> String {
        let mut file = Node::Section(Vec::new());
        for (path, row) in rows {
            let form = self.value(&path.0, &row.takes);
            let is_needed = row.is_needed && self.decided(&path.0).is_none();
            file.insert(&path.0, Node::Value { form, is_needed });
        }
        let decided = self.decides.iter().map(|(key, _)| key);
        let ruled = self.rules.iter().flat_map(|rule| {
            let others = rule.when.iter().map(|(key, _)| key);
            others.chain([&rule.key])
        });
        let formed = self.forms.iter().flat_map(|form| form.keys);
        for key in decided.chain(formed).chain(ruled).chain(self.keeps) {
            let is_it = |path: &Path| path.within(&Path((*key).to_owned())).is_some();
            let is_known = rows.iter().any(|(path, _)| is_it(path));
            assert!(
                is_known,
                "{} has words for {key}, which is no key",
                self.name
            );
        }
        let mut text = String::from(BEGIN);
        self.add(&file, "", INDENT, &mut text);
        let (before, rest) = schema.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        format!("{before}{text}{}{after}", END.trim_start_matches("\n    }"))
    }

    /// What is said of a key that the chart writes itself.
    fn decided(&self, key: &str) -> Option<String> {
        let (_, by) = self.decides.iter().find(|(decided, _)| *decided == key)?;
        Some(format!("left out: {by}"))
    }

    fn value(&self, key: &str, takes: &str) -> Value {
        let form = self.forms.iter().find(|form| form.keys.contains(&key));
        let one = form.map(|form| written_as(form.pattern, form.words));
        match (self.decided(key), one) {
            (Some(instead), None) => json!({ "const": instead }),
            // The chart's own value refers to it.
            (Some(instead), Some(one)) => {
                json!({ "const": instead, "definitions": { "one": one } })
            }
            (None, None) => kind(takes),
            (None, Some(one)) if takes.starts_with("list of ") => {
                json!({ "type": "array", "items": one })
            }
            (None, Some(one)) => one,
        }
    }

    fn add(&self, node: &Node, key: &str, indent: &str, text: &mut String) {
        match node {
            Node::Value { form, .. } => write!(text, "{form}").unwrap(),
            Node::Each(each) => {
                write!(
                    text,
                    "{{\n{indent}  \"type\": \"array\",\n{indent}  \"items\": "
                )
                .unwrap();
                self.add(each, key, &format!("{indent}  "), text);
                write!(text, "\n{indent}}}").unwrap();
            }
            Node::Section(_) if self.decided(key).is_some() => {
                write!(text, "{}", json!({ "const": self.decided(key) })).unwrap();
            }
            Node::Section(keys) => {
                writeln!(text, "{{\n{indent}  \"type\": \"object\",").unwrap();
                if key.is_empty() {
                    writeln!(text, "{indent}  \"description\": {},", json!(WRITTEN)).unwrap();
                    let rules = self.rules.iter().map(|rule| rule.written().to_string());
                    let rules: Vec<_> = rules.collect();
                    if !rules.is_empty() {
                        let rules = rules.join(&format!(",\n{indent}    "));
                        writeln!(
                            text,
                            "{indent}  \"allOf\": [\n{indent}    {rules}\n{indent}  ],"
                        )
                        .unwrap();
                    }
                }
                let together = self.together.iter().find(|(section, _)| *section == key);
                if let Some((_, pairs)) = together {
                    let mut other = serde_json::Map::new();
                    for (one, needs) in *pairs {
                        other.insert((*one).to_owned(), json!([needs]));
                    }
                    writeln!(text, "{indent}  \"dependencies\": {},", Value::from(other)).unwrap();
                }
                let dot = if key.is_empty() { "" } else { "." };
                let is_kept =
                    |name: &str| self.keeps.contains(&format!("{key}{dot}{name}").as_str());
                let needed = keys
                    .iter()
                    .filter(|(name, below)| below.is_needed() || is_kept(name));
                let needed: Vec<_> = needed.map(|(name, _)| name).collect();
                if !needed.is_empty() {
                    writeln!(text, "{indent}  \"required\": {},", json!(needed)).unwrap();
                }
                writeln!(text, "{indent}  \"additionalProperties\": false,").unwrap();
                write!(text, "{indent}  \"properties\": {{").unwrap();
                for (at, (name, below)) in keys.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(text, "{comma}\n{indent}    \"{name}\": ").unwrap();
                    self.add(
                        below,
                        &format!("{key}{dot}{name}"),
                        &format!("{indent}    "),
                        text,
                    );
                }
                write!(text, "\n{indent}  }}\n{indent}}}").unwrap();
            }
        }
    }
}

impl Rule {
    fn written(&self) -> Value {
        let when = self.when.iter().map(|(key, is)| is.written(key));
        let words = json!({ "const": self.words });
        let then = self.key.rsplit('.').fold(
            words,
            |below, name| json!({ "properties": { name: below } }),
        );
        json!({ "if": { "allOf": when.collect::<Vec<_>>() }, "then": then })
    }
}

impl Is {
    fn written(&self, key: &str) -> Value {
        let given = |value| {
            key.rsplit('.').fold(
                value,
                |below, name| json!({ "properties": { name: below }, "required": [name] }),
            )
        };
        match self {
            Self::Given => given(json!(true)),
            Self::Missing => json!({ "not": given(json!({ "minItems": 1 })) }),
            Self::True => given(json!({ "const": true })),
            Self::Text(text) => given(json!({ "const": text })),
            Self::OtherThan(text) => json!({ "not": given(json!({ "const": text })) }),
            Self::OneLike(pattern) => given(json!({ "contains": { "pattern": pattern } })),
        }
    }
}

impl Node {
    fn is_needed(&self) -> bool {
        matches!(
            self,
            Self::Value {
                is_needed: true,
                ..
            }
        )
    }

    fn insert(&mut self, path: &str, value: Self) {
        let (step, rest) = path.split_once('.').unwrap_or((path, ""));
        let name = step.trim_end_matches("[]");
        let keys = match self {
            Self::Section(keys) => keys,
            Self::Each(each) => return each.insert(path, value),
            Self::Value { .. } => panic!("{path} is below a value"),
        };
        let is_there = keys.iter().position(|(key, _)| key == name);
        if rest.is_empty() {
            assert_eq!(is_there, None, "{path} is there twice");
            keys.push((name.to_owned(), value));
            return;
        }
        let at = is_there.unwrap_or_else(|| {
            let section = Self::Section(Vec::new());
            let below = if step.ends_with("[]") {
                Self::Each(Box::new(section))
            } else {
                section
            };
            keys.push((name.to_owned(), below));
            keys.len() - 1
        });
        keys[at].1.insert(rest, value);
    }
}

/// What may stand there, by what the program says that it takes.
fn kind(takes: &str) -> Value {
    let (kind, bounds) = takes.split_once(", ").unwrap_or((takes, ""));
    match kind {
        "number" => {
            let number = |text: &str| text.parse::<Value>().unwrap();
            let least = bounds.strip_prefix("at least ");
            if let Some(above) = bounds.strip_prefix("above ") {
                // Of whole ones, and told more clearly so.
                let above = above.parse::<u64>().unwrap();
                return json!({ "type": "number", "minimum": above + 1 });
            }
            match (least, bounds.split_once(" to ")) {
                (Some(least), _) => json!({ "type": "number", "minimum": number(least) }),
                (None, Some((least, most))) => {
                    json!({ "type": "number", "minimum": number(least), "maximum": number(most) })
                }
                (None, None) => json!({ "type": "number" }),
            }
        }
        "duration" => written_as(
            "^[0-9]+(ms|s|m|h|d)$",
            "a whole number and a unit, such as 30s or 5m",
        ),
        "size" => written_as(
            "^[0-9]+(B|KiB|MiB|GiB)$",
            "a whole number and a unit, such as 64KiB or 128MiB",
        ),
        "`true` or `false`" => json!({ "type": "boolean" }),
        "`{}`" | "numbers by name" => json!({ "type": "object" }),
        "path" | "text" => json!({ "type": "string" }),
        list if list.starts_with("list of ") => {
            json!({ "type": "array", "items": { "type": "string" } })
        }
        _ => {
            let names: Vec<_> = takes.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty(), "{takes} is no kind of value");
            json!({ "enum": names })
        }
    }
}

fn written_as(pattern: &str, words: &str) -> Value {
    json!({ "if": { "type": "string", "pattern": pattern }, "else": { "const": words } })
}

const BEGIN: &str = "    \"config\": ";
/// Of the object that follows.
const END: &str = "\n    },\n    \"";
const INDENT: &str = "    ";
const WRITTEN: &str =
    "Written by `cargo xtask docs` from the configuration's types: to change it, change the types.";
