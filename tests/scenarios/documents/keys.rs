//! Every key of a configuration file is documented, in its section, with its default and with when a change of it holds, and every
//! documented key is there.
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

/// The keys that wait for a start when one file takes the place of another.
type Pending = fn(Value, Value) -> Vec<String>;

fn pending_at_the_relay(file: Value, next: Value) -> Vec<String> {
    let config = |file| {
        let raw: adit_relay::RawConfig = serde_json::from_value(file).unwrap();
        adit_relay::Config::try_from(raw).unwrap()
    };
    config(file).pending(&config(next))
}

fn pending_at_the_agent(file: Value, next: Value) -> Vec<String> {
    let config = |file| {
        let raw: adit_agent::RawConfig = serde_json::from_value(file).unwrap();
        adit_agent::Config::try_from(raw).unwrap()
    };
    config(file).pending(&config(next))
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
    let mut trusted = asked.clone();
    trusted["authorities"]["gitlab"]["api_secret_file"] = json!("/secret");
    trusted["gitlab_api"] = json!({ "certificate": "/b.pem", "key": "/b.key" });
    vec![file, audited, as_somebody, asking, asked, trusted]
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

/// What the tables say of a key.
struct Row {
    default: String,
    /// When a change of it holds.
    holds: String,
}

/// What the tables say of each key. A heading, or a line `Keys of`, says below which sections the keys of the next
/// table stand.
fn documented(text: &str) -> BTreeMap<Path, Row> {
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
            let mut cell = || cells.next().unwrap().to_owned();
            let (keys, default, holds) = (cell(), cell(), cell());
            for key in keys.split(", ").map(|key| key.trim_matches('`')) {
                for section in &sections {
                    let path = if section.0 == key {
                        section.clone()
                    } else {
                        section.below(key)
                    };
                    let (default, holds) = (default.clone(), holds.clone());
                    let twice = found.insert(path, Row { default, holds });
                    assert!(twice.is_none(), "{key} is documented twice");
                }
            }
        }
    }
    found
}

fn is_right(check: Check, pending: Pending, files: &[Value], document: &str) {
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
    for (path, Row { default, holds }) in &documented {
        if default.starts_with("required") {
            is_required(check, files, path);
        } else if let Some(default) = value(default) {
            has_default(check, files, path, &default);
        }
        let meanings = ["at once", "new connections", "new tunnels", "restart"];
        assert!(meanings.contains(&holds.as_str()), "{path:?}: {holds}");
        if real.contains(path) {
            waits_for_a_start(check, pending, files, path, holds == "restart");
        }
    }
}

/// Whether a change of it is told as one that waits for a start: just as the document says.
fn waits_for_a_start(
    check: Check,
    pending: Pending,
    files: &[Value],
    path: &Path,
    is_documented: bool,
) {
    let mut tried = 0;
    for file in files {
        let Ok(before) = check(file.clone()) else {
            continue;
        };
        for value in others() {
            let mut next = file.clone();
            *path.value(&mut next) = value;
            if !check(next.clone()).is_ok_and(|after| after != before) {
                continue;
            }
            tried += 1;
            let keys = pending(file.clone(), next.clone());
            assert_eq!(!keys.is_empty(), is_documented, "{path:?}: {keys:?}");
            // Or its section's, if that came with it.
            let is_it = |key: &String| path.0.starts_with(key.as_str());
            assert!(keys.iter().all(is_it), "{path:?}: {keys:?}");
        }
    }
    // Agents are taken as a whole, and what each may say hangs on the rest.
    let is_of_agent = path.0.starts_with("agents[]");
    let what = format!("no file says something else of {path:?}");
    assert!(tried > 0 || is_of_agent, "{what}");
}

/// Some of which every key takes one or two.
fn others() -> [Value; 22] {
    [
        json!(true),
        json!(false),
        json!(7),
        json!(77),
        json!(77_777),
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
        json!({ "other": 7 }),
    ]
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
    let files = files_of_the_relay();
    is_right(relay, pending_at_the_relay, &files, &document);
}

#[test]
fn keys_of_the_agent_are_as_documented() {
    let document = document("agent.md");
    let (files, section) = (files_of_the_agent(), section(&document, "## Configuration"));
    is_right(agent, pending_at_the_agent, &files, section);
}
