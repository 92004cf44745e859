//! What the program itself says of a key, when it is asked by files that are wrong there, or say something else: which keys there are,
//! what each takes and within which bounds, what holds without it, and when a change of it does.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::path::Path;

/// What comes of a file.
pub(in crate::documents) struct Outcome {
    /// For comparing.
    pub(super) config: String,
    /// What is kept for connections that are accepted while it holds, for comparing.
    pub(super) of_connections: String,
    /// And for tunnels that are opened.
    pub(super) of_tunnels: String,
}

/// A relay, or an agent.
pub(in crate::documents) struct Program {
    /// A whole file's check, or all that is wrong with it.
    pub(in crate::documents) check: fn(Value) -> Result<Outcome, String>,
    /// What is told of a file's text, if its types do not take it.
    pub(super) read: fn(&str) -> Option<String>,
    /// The keys that wait for a start when one file takes the place of another.
    pub(super) pending: fn(Value, Value) -> Vec<String>,
    /// Files with everything that is required, in which other keys may be missing.
    pub(in crate::documents) files: Vec<Value>,
}

/// What a key takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Takes {
    /// In a word, with its bounds.
    pub(super) what: String,
    /// What it is without it, if the bounds came with that.
    pub(super) default: Option<String>,
}

impl Program {
    /// Every key that holds a value.
    pub(super) fn keys(&self) -> BTreeSet<Path> {
        let mut found = BTreeSet::new();
        self.add_keys(&Path::file(), &mut found);
        found
    }

    fn add_keys(&self, path: &Path, found: &mut BTreeSet<Path>) {
        let whole = self.keys_at(path).map(|keys| (path.clone(), keys));
        let section = whole.or_else(|| Some((path.each(), self.keys_at(&path.each())?)));
        match section {
            Some((path, keys)) => keys
                .iter()
                .for_each(|key| self.add_keys(&path.below(key), found)),
            None => {
                found.insert(path.clone());
            }
        }
    }

    /// The keys of the section at `path`; none when it is a value.
    fn keys_at(&self, path: &Path) -> Option<Vec<String>> {
        let told = self.told(json!({}), path, json!({ "no such key": null }))?;
        let (_, names) = told.split_once("unknown field `no such key`, expected ")?;
        Some(quoted(names))
    }

    /// What is told of this value there; nothing when it is taken.
    fn told(&self, mut file: Value, path: &Path, value: Value) -> Option<String> {
        *path.value(&mut file) = value;
        (self.check)(file).err()
    }

    /// Whether some file may have this text there, alone or in a list.
    pub(super) fn takes_text(&self, key: &str, text: &str) -> bool {
        let path = Path(key.to_owned());
        let mut files = self.files.iter();
        files.any(|file| {
            [json!(text), json!([text])]
                .into_iter()
                .any(|value| self.told(file.clone(), &path, value).is_none())
        })
    }

    /// A value of another type is told with this key, in a text.
    pub(super) fn names(&self, path: &Path) {
        let mut file = json!({});
        // No key takes a list of lists.
        *path.value(&mut file) = json!([["s3cret"]]);
        let told = (self.read)(&file.to_string()).expect(&path.0);
        let key = path.0.replace("[]", "[0]");
        let is_named = told.lines().any(|line| {
            let rest = line
                .strip_prefix(&key)
                .map(|rest| rest.trim_start_matches("[0]"));
            rest.is_some_and(|rest| rest.starts_with(": must be "))
        });
        assert!(is_named, "{key}: {told}");
        assert!(
            !told.contains("(file)") && !told.contains("s3cret"),
            "{told}"
        );
    }

    pub(super) fn takes(&self, path: &Path) -> Takes {
        let told = self.told(json!({}), path, json!({ "no such key": null }));
        let told = told.unwrap();
        let expected = told.split_once(", expected ").map(|(_, expected)| expected);
        let expected = expected.unwrap_or(&told);
        let word = |what: &str| Takes {
            what: what.to_owned(),
            default: None,
        };
        if told.contains("invalid type: null") {
            word("numbers by name")
        } else if told.contains("unknown variant") {
            word(&either(&quoted(expected)))
        } else if told.contains("there are no fields") {
            word("`{}`")
        } else if expected.starts_with("a boolean") {
            word("`true` or `false`")
        } else if expected.starts_with("path") {
            word("path")
        } else if expected.starts_with("u64") || expected.starts_with("usize") {
            self.bounded(path, "number", [json!(0), json!(u64::MAX)])
        } else if expected.starts_with("f64") {
            self.bounded(path, "number", [json!(-1), json!(2)])
        } else if expected.starts_with("a sequence") {
            let told = self
                .told(json!({}), path, json!(["no such"]))
                .unwrap_or_default();
            match told.split_once("unknown variant `no such`, expected ") {
                Some((_, variants)) => word(&format!("list of {}", either(&quoted(variants)))),
                None => word("list of texts"),
            }
        } else {
            assert!(expected.starts_with("a string"), "{path:?}: {told}");
            self.text(path)
        }
    }

    fn text(&self, path: &Path) -> Takes {
        let told = self.all_told(path, &json!("7"));
        if told.contains("a duration is a whole number") {
            self.bounded(path, "duration", [json!("0s"), json!("99999d")])
        } else if told.contains("a size needs a whole number") {
            self.bounded(path, "size", [json!("0B"), json!("9999999999GiB")])
        } else {
            Takes {
                what: "text".to_owned(),
                default: None,
            }
        }
    }

    /// What is told by all files, of this value there.
    fn all_told(&self, path: &Path, value: &Value) -> String {
        let files = self.files.iter();
        let told = files.filter_map(|file| self.told(file.clone(), path, value.clone()));
        told.collect::<Vec<_>>().join("\n")
    }

    /// Bounds are told to who passes them.
    fn bounded(&self, path: &Path, kind: &str, beyond: [Value; 2]) -> Takes {
        let told = beyond.map(|value| self.all_told(path, &value)).join("\n");
        let key = path.0.replace("[]", "[0]");
        let told = told
            .lines()
            .find_map(|line| line.strip_prefix(&key)?.strip_prefix(": must be "));
        let Some(told) = told else {
            return Takes {
                what: kind.to_owned(),
                default: None,
            };
        };
        let (bounds, default) = match told.split_once(", and is ") {
            Some((bounds, default)) => (bounds, default.strip_suffix(" by default")),
            None => (told, None),
        };
        let bounds = bounds.strip_prefix("from ").unwrap_or(bounds);
        Takes {
            what: format!("{kind}, {bounds}"),
            default: default.map(|default| format!("`{default}`")),
        }
    }

    /// When a change of it holds.
    pub(super) fn holds(&self, path: &Path) -> &'static str {
        let mut found = BTreeSet::new();
        for file in &self.files {
            let Ok(before) = (self.check)(file.clone()) else {
                continue;
            };
            for value in others() {
                let mut next = file.clone();
                *path.value(&mut next) = value;
                let Ok(after) = (self.check)(next.clone()) else {
                    continue;
                };
                if after.config == before.config {
                    continue;
                }
                let pending = (self.pending)(file.clone(), next);
                // Or its section's, if that came with it.
                let is_it = |key: &String| path.0.starts_with(key.as_str());
                assert!(pending.iter().all(is_it), "{path:?}: {pending:?}");
                found.insert(if !pending.is_empty() {
                    "restart"
                } else if after.of_connections != before.of_connections {
                    "new connections"
                } else if after.of_tunnels != before.of_tunnels {
                    "new tunnels"
                } else {
                    "at once"
                });
            }
        }
        match found.iter().collect::<Vec<_>>()[..] {
            [&holds] => holds,
            // Agents are taken as a whole, and what each may say hangs on the rest.
            [] if path.0.starts_with("agents[]") => "at once",
            _ => panic!("{path:?} holds {found:?}"),
        }
    }

    /// No file is right without it, if it has the section it stands in. Whether it is missed when the section is read, and so whatever
    /// stands in others.
    pub(super) fn requires(&self, path: &Path) -> bool {
        let missing = format!("missing field `{}`", path.last());
        let mut is_missed = true;
        let mut tried = 0;
        for file in &self.files {
            let mut without = file.clone();
            path.remove(&mut without);
            if without == *file {
                continue;
            }
            tried += 1;
            let told = (self.check)(without).err().expect(&path.0);
            assert!(told.contains(path.last()), "{path:?}: {told}");
            is_missed &= told.contains(&missing);
        }
        assert!(tried > 0, "no file has {path:?}");
        is_missed
    }

    /// Saying the default is as good as saying nothing.
    pub(super) fn has_default(&self, path: &Path, default: &Value) {
        let mut tried = 0;
        for file in &self.files {
            let mut without = file.clone();
            path.remove(&mut without);
            let Ok(silent) = (self.check)(without.clone()) else {
                continue;
            };
            *path.value(&mut without) = default.clone();
            let told = match (self.check)(without) {
                Ok(told) => told,
                // The section is not there, and not whole with this key alone.
                Err(told) if told.contains("missing field") || told.contains(": need") => continue,
                Err(told) => panic!("{path:?}: {told}"),
            };
            tried += 1;
            let is_same = told.config == silent.config;
            assert!(is_same, "{path:?} is not {default} by default");
        }
        assert!(tried > 0, "no file goes without {path:?}");
    }
}

fn quoted(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// `` `a`, `b` or `c` ``
fn either(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match &names[..] {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// Some of which every key takes one or two.
fn others() -> [Value; 24] {
    [
        json!(true),
        json!(false),
        json!(7),
        json!(77),
        json!(77_777),
        json!(0.5),
        json!("7s"),
        json!("77m"),
        json!("77KiB"),
        json!("7MiB"),
        json!("127.0.0.1:7"),
        json!("/other"),
        json!("https://other.example.com"),
        json!("http://other.example.com:7"),
        json!("other"),
        json!("debug"),
        json!("block"),
        json!("stdout"),
        json!("api"),
        json!(["10.9.0.0/16"]),
        json!(["https://other.example.com"]),
        json!(["x-other"]),
        json!(["get"]),
        json!({ "other": 7 }),
    ]
}
