//! Every key of a configuration file is documented, in its section and with its default, and every documented key is there.
//!
//! Which keys there are is asked of the program itself: it names them when one is unknown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{document, section};

/// A whole file's check: what comes of it, for comparing, or all that is wrong with it.
type Check = fn(Value) -> Result<String, String>;

fn relay(file: Value) -> Result<String, String> {
    let raw: adit_relay::RawConfig =
        serde_json::from_value(file).map_err(|error| error.to_string())?;
    let checked = adit_relay::Config::try_from(raw);
    checked
        .map(|config| format!("{config:?}"))
        .map_err(|mistakes| mistakes.to_string())
}

fn agent(file: Value) -> Result<String, String> {
    let raw: adit_agent::RawConfig =
        serde_json::from_value(file).map_err(|error| error.to_string())?;
    let checked = adit_agent::Config::try_from(raw);
    checked
        .map(|config| format!("{config:?}"))
        .map_err(|mistakes| mistakes.to_string())
}

/// Files with everything that is required, in which other keys may be missing.
fn files_of_the_relay() -> Vec<Value> {
    let file = json!({
        "listen": { "certificate": "/a.pem", "key": "/a.key" },
        "authorities": { "oidc": { "issuers": [{ "url": "https://gitlab.example.com", "audiences": ["adit"] }] } },
        "agents": [{
            "id": 1, "name": "demo", "project": "group/app",
            "tokens": [format!("sha256:{}", "0".repeat(64))],
            "ci_access": { "projects": [{ "id": "group/a" }], "groups": [{ "id": "group" }], "instance": {} },
        }],
    });
    let mut audited = file.clone();
    audited["audit"] = json!({ "to": "file", "file": "/audit.log" });
    let mut as_somebody = file.clone();
    for entry in [
        "/agents/0/ci_access/projects/0",
        "/agents/0/ci_access/groups/0",
        "/agents/0/ci_access/instance",
    ] {
        as_somebody.pointer_mut(entry).unwrap()["access_as"] = json!({ "impersonate": {
            "username": "robot", "extra": [{ "key": "example.com/reason", "val": ["a"] }],
        } });
    }
    let mut asking = file.clone();
    asking["authorities"]["gitlab"] = json!({
        "url": "https://gitlab.example.com",
        "agent_files": { "token_file": "/token" },
    });
    asking["agents"][0]["authorities"] = json!(["oidc"]);
    let mut asked = asking.clone();
    asked["gitlab_api"] = json!({ "secret_file": "/secret" });
    vec![file, audited, as_somebody, asking, asked]
}

fn files_of_the_agent() -> Vec<Value> {
    let file = json!({
        "relay": { "url": "https://relay.example.com", "token_file": "/token", "proxy": "none" },
    });
    let mut of_flux = file.clone();
    of_flux["flux"] = json!({
        "gitlab_url": "https://gitlab.example.com", "lease_namespace": "adit-agent",
    });
    vec![file, of_flux]
}

/// Where in a file a key is: `agents[].id`, the first of a list standing for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Path(String);

impl Path {
    fn below(&self, key: &str) -> Self {
        match self.0.as_str() {
            "" => Self(key.to_owned()),
            path => Self(format!("{path}.{key}")),
        }
    }

    fn each(&self) -> Self {
        Self(format!("{}[]", self.0))
    }

    fn last(&self) -> &str {
        self.0.rsplit('.').next().unwrap().trim_end_matches("[]")
    }

    /// The value there, made if it is missing.
    fn value<'a>(&self, file: &'a mut Value) -> &'a mut Value {
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

    fn remove(&self, file: &mut Value) {
        let (above, key) = self.0.rsplit_once('.').unwrap_or(("", &self.0));
        let pointer = above.replace("[]", "/0").replace('.', "/");
        let slash = if above.is_empty() { "" } else { "/" };
        let section = file.pointer_mut(&format!("{slash}{pointer}"));
        if let Some(section) = section.and_then(Value::as_object_mut) {
            section.remove(key);
        }
    }
}

/// The keys of the section at `path`; none when it is a value.
fn keys_at(check: Check, path: &Path) -> Option<Vec<String>> {
    let mut file = json!({});
    *path.value(&mut file) = json!({ "no such key": null });
    let told = check(file).unwrap_err();
    let (_, names) = told.split_once("unknown field `no such key`, expected ")?;
    Some(
        names
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect(),
    )
}

/// Every key that holds a value.
fn all_keys(check: Check, path: &Path, found: &mut BTreeSet<Path>) {
    let whole = keys_at(check, path).map(|keys| (path.clone(), keys));
    let section = whole.or_else(|| Some((path.each(), keys_at(check, &path.each())?)));
    match section {
        Some((path, keys)) => keys
            .iter()
            .for_each(|key| all_keys(check, &path.below(key), found)),
        None => {
            found.insert(path.clone());
        }
    }
}

/// What the tables say: each key with its default. A heading, or a line `Keys of`, says below which sections the keys of the next
/// table stand.
fn documented(text: &str) -> BTreeMap<Path, String> {
    let mut sections = vec![Path(String::new())];
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let quoted = || line.split('`').skip(1).step_by(2);
        if line.starts_with('#') {
            sections = quoted().map(|name| Path(name.to_owned())).collect();
        } else if line.starts_with("Keys of ") {
            sections = quoted().map(|name| Path(name.to_owned())).collect();
        } else if line.starts_with("| `") {
            let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
            let (keys, default) = (cells.next().unwrap(), cells.next().unwrap());
            for key in keys.split(", ").map(|key| key.trim_matches('`')) {
                for section in &sections {
                    let path = if section.0 == key {
                        section.clone()
                    } else {
                        section.below(key)
                    };
                    let twice = found.insert(path, default.to_owned());
                    assert!(twice.is_none(), "{key} is documented twice");
                }
            }
        }
    }
    found
}

fn is_right(check: Check, files: &[Value], document: &str) {
    let documented = documented(document);
    let mut real = BTreeSet::new();
    all_keys(check, &Path(String::new()), &mut real);
    let missing: Vec<_> = real
        .iter()
        .filter(|path| !documented.contains_key(path))
        .collect();
    let is_section = |path: &Path| {
        real.iter().any(|real| {
            let rest = real.0.strip_prefix(&path.0);
            rest.is_some_and(|rest| rest.starts_with(['.', '[']))
        })
    };
    let stale: Vec<_> = documented
        .keys()
        .filter(|path| !real.contains(path) && !is_section(path))
        .collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not documented: {missing:#?}, documented and not there: {stale:#?}"
    );
    for (path, default) in &documented {
        if default.starts_with("required") {
            is_required(check, files, path);
        } else if let Some(default) = value(default) {
            has_default(check, files, path, &default);
        }
    }
}

/// A default that is a value, and nothing but that.
fn value(cell: &str) -> Option<Value> {
    let text = cell.strip_prefix('`')?.strip_suffix('`')?;
    if text.contains('`') {
        return None;
    }
    let text = text.replace("<url>", "https://gitlab.example.com");
    Some(serde_saphyr::from_str(&text).unwrap())
}

/// No file is right without it, if it has the section it stands in.
fn is_required(check: Check, files: &[Value], path: &Path) {
    let mut tried = 0;
    for file in files {
        let mut without = file.clone();
        path.remove(&mut without);
        if without == *file {
            continue;
        }
        tried += 1;
        let told = check(without).expect_err(&path.0);
        assert!(told.contains(path.last()), "{path:?}: {told}");
    }
    assert!(tried > 0, "no file has {path:?}");
}

/// Saying the default is as good as saying nothing.
fn has_default(check: Check, files: &[Value], path: &Path, default: &Value) {
    let mut tried = 0;
    for file in files {
        let mut without = file.clone();
        path.remove(&mut without);
        let Ok(silent) = check(without.clone()) else {
            continue;
        };
        *path.value(&mut without) = default.clone();
        let told = match check(without) {
            Ok(told) => told,
            // The section is not there, and not whole with this key alone.
            Err(told) if told.contains("missing field") || told.contains(": need") => continue,
            Err(told) => panic!("{path:?}: {told}"),
        };
        tried += 1;
        assert_eq!(told, silent, "{path:?} is not {default} by default");
    }
    assert!(tried > 0, "no file goes without {path:?}");
}

#[test]
fn keys_of_the_relay_are_as_documented() {
    let document = document("configuration.md");
    is_right(relay, &files_of_the_relay(), &document);
}

#[test]
fn keys_of_the_agent_are_as_documented() {
    let document = document("agent.md");
    is_right(
        agent,
        &files_of_the_agent(),
        section(&document, "## Configuration"),
    );
}
