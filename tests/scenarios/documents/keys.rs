//! The tables of keys in `docs/configuration.md` and `docs/agent.md`, and what the charts' schemas say of `config`, are written from what
//! the configuration's types say of themselves and what the program says when it is asked; what the types say in words of a default is
//! asked, too.

use std::fs;

use adit_identity::mistakes::Mistakes;
use regex::Regex;
use serde_json::{Value, json};

pub(super) use self::program::Program;
use self::{
    path::Path,
    program::Outcome,
    schema::Chart,
    tables::Row,
    types::{Meaning, Types},
};
use super::{document, is_written, root};

mod charts;
mod networks;
mod path;
mod program;
mod schema;
mod tables;
mod types;

/// Where the types are that a relay's file is read into.
const OF_THE_RELAY: [&str; 9] = [
    "crates/adit-relay/src/config/raw.rs",
    "crates/adit-authority/src/agents.rs",
    "crates/adit-authority/src/ci_access/raw.rs",
    "crates/adit-authority/src/gitlab/config/raw.rs",
    "crates/adit-authority/src/gitlab/files/config.rs",
    "crates/adit-authority/src/gitlab/gitaly/config.rs",
    "crates/adit-authority/src/oidc/config/raw.rs",
    "crates/adit-otlp/src/config.rs",
    "crates/adit-otlp/src/traces/config.rs",
];
const OF_THE_AGENT: [&str; 2] = [
    "crates/adit-agent/src/config/raw.rs",
    "crates/adit-otlp/src/traces/config.rs",
];

pub(super) fn relay() -> Program {
    fn config(file: Value) -> Result<adit_relay::Config, String> {
        let raw = serde_json::from_value::<adit_relay::RawConfig>(file);
        let raw = raw.map_err(|error| error.to_string())?;
        adit_relay::Config::try_from(raw).map_err(|mistakes| mistakes.to_string())
    }
    Program {
        check: |file| {
            let config = config(file)?;
            Ok(Outcome {
                config: format!("{config:?}"),
                of_connections: format!("{:?}", config.front_door),
                of_tunnels: format!("{:?}", config.tunnel),
            })
        },
        read: |text| told(adit_relay::RawConfig::from_yaml(text)),
        pending: |file, next| config(file).unwrap().pending(&config(next).unwrap()),
        files: files_of_the_relay(),
    }
}

pub(super) fn agent() -> Program {
    fn config(file: Value) -> Result<adit_agent::Config, String> {
        let raw = serde_json::from_value::<adit_agent::RawConfig>(file);
        let raw = raw.map_err(|error| error.to_string())?;
        adit_agent::Config::try_from(raw).map_err(|mistakes| mistakes.to_string())
    }
    Program {
        check: |file| {
            Ok(Outcome {
                config: format!("{:?}", config(file)?),
                of_connections: String::new(),
                of_tunnels: String::new(),
            })
        },
        read: |text| told(adit_agent::RawConfig::from_yaml(text)),
        pending: |file, next| config(file).unwrap().pending(&config(next).unwrap()),
        files: files_of_the_agent(),
    }
}

/// What is told of a text, if it is not taken.
fn told<T>(read: Result<T, Mistakes>) -> Option<String> {
    read.err().map(|mistakes| mistakes.to_string())
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
    let mut sent = file.clone();
    sent["audit"] =
        json!({ "to": "otlp", "otlp": { "endpoint": "https://collector.example.com:4317" } });
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
    let mut traced = file.clone();
    traced["traces"] = json!({ "endpoint": "https://collector.example.com:4317" });
    let mut behind = file.clone();
    behind["listen"] = json!({ "address": "127.0.0.1:1", "forwarded_for_from": ["10.0.0.0/8"] });
    behind["admin"] = json!({ "certificate": "/c.pem", "key": "/c.key" });
    vec![
        file,
        audited,
        sent,
        as_somebody,
        asking,
        asked,
        trusted,
        traced,
        behind,
    ]
}

fn files_of_the_agent() -> Vec<Value> {
    let file = json!({
        "relay": { "url": "https://relay.example.com", "token_file": "/token", "proxy": "none" },
    });
    let mut of_flux = file.clone();
    of_flux["flux"] = json!({
        "gitlab_url": "https://gitlab.example.com", "lease_namespace": "adit-agent",
    });
    let mut traced = file.clone();
    traced["traces"] = json!({ "endpoint": "https://collector.example.com:4317" });
    let mut certified = file.clone();
    certified["relay"]["client_certificate"] = json!("/a.pem");
    certified["relay"]["client_key"] = json!("/a.key");
    vec![file, of_flux, traced, certified]
}

/// A row for each key, in the order of the types.
fn rows(program: &Program, types: &Types) -> Vec<(Path, Row)> {
    let mut known = program.keys();
    let mut rows = Vec::new();
    for (path, meaning) in types.meanings() {
        assert!(known.remove(&path), "the program knows no {path:?}");
        rows.push((path.clone(), row(program, &path, meaning)));
    }
    assert!(known.is_empty(), "no type has {known:#?}");
    rows
}

fn row(program: &Program, path: &Path, Meaning { what, default }: Meaning) -> Row {
    let takes = program.takes(path);
    let default = default
        .or(takes.default)
        .unwrap_or_else(|| "none".to_owned());
    let mut is_needed = false;
    if default.starts_with("required") {
        is_needed = program.requires(path) || default == "required, if the section is there";
    } else if let Some(default) = value(&default) {
        program.has_default(path, &default);
    }
    Row {
        is_needed,
        takes: takes.what,
        default,
        holds: program.holds(path).to_owned(),
        what,
    }
}

/// A default that is a value, if need be with what others write there.
fn value(cell: &str) -> Option<Value> {
    let cell = cell.split("; ").next()?;
    let text = cell.strip_prefix('`')?.strip_suffix('`')?;
    if text.contains('`') {
        return None;
    }
    let text = text.replace("<url>", "https://gitlab.example.com");
    Some(serde_saphyr::from_str(&text).unwrap())
}

fn is_right(name: &str, chart: &Chart, program: &Program, files: &[&str]) {
    let rows = rows(program, &Types::read(files));
    let text = tables::written(&document(name), &rows);
    is_written(&format!("docs/{name}"), &text);
    let path = format!("deploy/charts/{}/values.schema.json", chart.name);
    let schema = fs::read_to_string(root().join(&path)).unwrap();
    is_written(&path, &chart.written(&schema, &rows));
}

#[test]
fn keys_of_the_relay_are_as_documented() {
    is_right("configuration.md", &charts::RELAY, &relay(), &OF_THE_RELAY);
}

#[test]
fn keys_of_the_agent_are_as_documented() {
    is_right("agent.md", &charts::AGENT, &agent(), &OF_THE_AGENT);
}

/// Else helm would refuse what the program takes, or let a text pass that it has words for.
#[test]
fn charts_refuse_of_a_text_what_the_program_does() {
    for (chart, program) in [(charts::RELAY, relay()), (charts::AGENT, agent())] {
        for form in chart.forms {
            let pattern = Regex::new(form.pattern).unwrap();
            for key in form.keys {
                for (texts, is_taken) in [(form.taken, true), (form.refused, false)] {
                    for text in texts {
                        assert_eq!(pattern.is_match(text), is_taken, "{key}: {text}: schema");
                        assert_eq!(program.takes_text(key, text), is_taken, "{key}: {text}");
                    }
                }
            }
        }
    }
}

/// From the beginnings of verbs that the agent takes, letter by letter: so the verbs are its own, and not of a list that somebody kept.
#[test]
fn agents_chart_takes_the_verbs_that_the_agent_does() {
    let program = agent();
    let key = "ceiling.verbs";
    let mut forms = charts::AGENT.forms.iter();
    let form = forms.find(|form| form.keys.contains(&key)).unwrap();
    let pattern = Regex::new(form.pattern).unwrap();
    let is_taken = |text: &str| {
        let is_taken = program.takes_text(key, text);
        assert_eq!(pattern.is_match(text), is_taken, "{text}: schema");
        is_taken
    };
    let mut beginnings = vec![String::new()];
    let mut verbs = Vec::new();
    while let Some(beginning) = beginnings.pop() {
        for letter in 'a'..='z' {
            let text = format!("{beginning}{letter}");
            if is_taken(&text) {
                verbs.push(text.clone());
            }
            if is_taken(&format!("{text}*")) {
                beginnings.push(text);
            }
        }
    }
    assert!(verbs.len() > 8, "{verbs:?}");
    for verb in verbs {
        let mut words = form.words.split([' ', ',', ';']);
        assert!(words.any(|word| word == verb), "{verb} is not said");
    }
}

#[test]
fn value_of_another_type_is_told_with_its_key_whichever_it_is() {
    for program in [relay(), agent()] {
        let keys = program.keys();
        assert!(keys.len() > 40, "{keys:?}");
        for key in &keys {
            program.names(key);
        }
    }
}

#[test]
fn all_values_of_another_type_are_told_at_once() {
    let bad = "shards: many\nagents: yes\nadmin: {token_file: [a]}\n\
               limits: {streams_per_job: 10s, opens_per_second: x}\n";
    let told = (relay().read)(bad).unwrap();
    let keys: Vec<_> = told
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    let expected = [
        "shards",
        "agents",
        "admin.token_file",
        "limits.streams_per_job",
        "limits.opens_per_second",
    ];
    assert_eq!(keys, expected, "{told}");
    let told = (agent().read)("limits: {max_streams: x}\nceiling: {users: 7, agent: 7}\n").unwrap();
    let keys: Vec<_> = told
        .lines()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["limits.max_streams", "ceiling.users", "ceiling.agent"],
        "{told}"
    );
}
