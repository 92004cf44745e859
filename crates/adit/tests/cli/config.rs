//! `adit config`: whether a configuration is right, before it is used.

use std::fs;
use std::process::Command;

use adit_tests::{TestIssuer, pki};
use tempfile::TempDir;

use crate::process::{adit, stderr, stdout};

#[test]
fn missing_config_file_ends_with_64() {
    let ended = adit(&["config", "check", "/nowhere/relay.yaml"])
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(64));
    assert!(
        stderr(&ended).starts_with("error: cannot read /nowhere/relay.yaml\n  because: "),
        "{}",
        stderr(&ended)
    );
}

#[test]
fn empty_file_is_told_to_be_empty() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.yaml");
    let mut agent = vec!["agent", "--relay", "https://relay.invalid"];
    agent.extend(["--token-file", "/nowhere/token", "--config"]);
    for text in [
        "",
        " \n\n",
        "# listen: {}\n\n  # agents: []\n",
        "---\n",
        "# a\n--- # b\n...\n",
    ] {
        fs::write(&file, text).unwrap();
        for command in [&["config", "check"][..], &["relay", "--config"], &agent] {
            let ended = adit(command).arg(&file).output().unwrap();
            let told = stderr(&ended);
            assert_eq!(ended.status.code(), Some(64), "{told}");
            let because = "\n  because: (file): the file is empty\n";
            assert!(told.contains(because), "{told}");
            assert_eq!(told.contains("leave out --config"), command == agent);
        }
    }
}

#[test]
fn log_filter_that_would_silence_everything_is_refused_wherever_it_stands() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("relay.yaml");
    let refused = |mut command: Command, expected: &str| {
        let ended = command.output().unwrap();
        let told = stderr(&ended);
        assert_eq!(ended.status.code(), Some(64), "{told}");
        assert!(told.contains(expected), "{told}");
        assert_eq!(told.matches("write one of").count(), 1, "{told}");
    };
    for (filter, expected) in [
        ("warning", "did you mean `warn`?"),
        ("verbose", "`verbose` is no level"),
        ("adit_relay:debug", "a single `:`"),
    ] {
        let by = |arguments: &[&str]| {
            let mut command = adit(&["token", "new", "--token-file", "/nowhere/token"]);
            command.args(arguments);
            command
        };
        refused(by(&["--log", filter]), "--log, or ADIT_LOG, cannot be used");
        refused(by(&["--log", filter]), expected);
        let mut by_variable = by(&[]);
        by_variable.env("ADIT_LOG", filter);
        refused(by_variable, expected);
        fs::write(&file, format!("log: {{ filter: '{filter}' }}\n")).unwrap();
        let path = file.to_str().unwrap();
        refused(adit(&["config", "check", path]), "log.filter: ");
        refused(adit(&["relay", "--config", path]), expected);
        let looked = adit(&["doctor", "relay", "--config", path])
            .output()
            .unwrap();
        assert!(stdout(&looked).contains(expected), "{}", stdout(&looked));
        refused(adit(&["agent", "--config", path]), expected);
    }
    fs::write(&file, "log: { filter: '' }\n").unwrap();
    let path = file.to_str().unwrap();
    refused(adit(&["config", "check", path]), "log.filter: is empty");
}

#[test]
fn boundary_that_was_begun_and_has_no_value_is_a_mistake() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("config.yaml");
    let keys_of = |command: &[&str], text: &str| {
        fs::write(&file, text).unwrap();
        let ended = adit(command).arg(&file).output().unwrap();
        let told = stderr(&ended);
        assert_eq!(ended.status.code(), Some(64), "{text}: {told}");
        let keys = told
            .lines()
            .filter_map(|line| line.split_once(": has no value: "));
        keys.map(|(key, _)| key.rsplit(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let agent = ["agent", "--config"];
    for key in [
        "namespaces",
        "verbs",
        "users",
        "groups",
        "subresources",
        "agent",
        "cluster_scope",
    ] {
        let told = keys_of(&agent, &format!("ceiling:\n  {key}:\n"));
        assert_eq!(told, [format!("ceiling.{key}")]);
    }
    assert_eq!(keys_of(&agent, "ceiling:\n"), ["ceiling"]);
    let relay = ["config", "check"];
    let text = "listen: { address: '127.0.0.1:0' }\ntunnel: { client_ca_file: }\naudit:\n  to:\n\
                agents:\n- id: 1\n  name: a\n  project: g/p\n  ci_access:\n    projects:\n    - id: g/q\n      \
                environments:\n      access_as:\n    instance:\n";
    let expected = [
        "tunnel.client_ca_file",
        "audit.to",
        "agents[0].ci_access.projects[0].environments",
        "agents[0].ci_access.projects[0].access_as",
        "agents[0].ci_access.instance",
    ];
    assert_eq!(keys_of(&relay, text), expected);
}

/// Nothing would mean the system's CAs, which believe more.
#[test]
fn empty_variable_of_cas_is_a_mistake() {
    let agent = ["agent", "--relay", "https://relay.invalid"];
    let manifests = ["manifests", "agent", "--relay", "https://relay.invalid"];
    let kubeconfig = ["kubeconfig", "--relay", "https://relay.invalid"];
    for (args, variable) in [
        (&agent[..], "ADIT_RELAY_CA"),
        (&manifests, "ADIT_RELAY_CA"),
        (&kubeconfig, "ADIT_RELAY_CA"),
        (&["doctor", "job"], "ADIT_RELAY_CA"),
        (&["status"], "ADIT_RELAY_ADMIN_CA"),
        (&["cut", "stream", "1"], "ADIT_RELAY_ADMIN_CA"),
    ] {
        for nothing in ["", " "] {
            let ended = adit(args).env(variable, nothing).output().unwrap();
            let told = stderr(&ended);
            let words = format!("an empty {variable} does not mean the system's CAs");
            assert!(told.contains(&words), "{args:?}: {told}");
            assert!(!ended.status.success(), "{args:?}");
        }
        // Where it is not asked there is no harm in it.
        let mut with_flag = adit(args);
        with_flag
            .args(["--ca", "/nowhere/ca.pem"])
            .env(variable, "");
        let told = stderr(&with_flag.output().unwrap());
        assert!(!told.contains("an empty"), "{args:?}: {told}");
    }
}

#[test]
fn empty_variables_say_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("agent.yaml");
    let text = "\
        relay: { url: 'https://relay.invalid', token_file: /nowhere/token }\n\
        kubernetes: { kubeconfig: /nowhere/kubeconfig }\n";
    fs::write(&file, text).unwrap();
    for set in [None, Some(""), Some(" ")] {
        let mut agent = adit(&["agent"]);
        agent.env("ADIT_AGENT_CONFIG", &file);
        for variable in [
            "ADIT_LOG",
            "ADIT_LOG_FORMAT",
            "ADIT_RELAY_URL",
            "ADIT_AGENT_ADMIN",
            "ADIT_AGENT_TOKEN",
            "ADIT_AGENT_TOKEN_FILE",
        ] {
            agent.envs(set.map(|value| (variable, value)));
        }
        let ended = agent.output().unwrap();
        let told = stderr(&ended);
        // By the file it is, then: it comes as far as that.
        assert!(told.contains("/nowhere/kubeconfig"), "{set:?}: {told}");
        assert_eq!(ended.status.code(), Some(64), "{set:?}: {told}");
    }
}

#[test]
fn file_that_is_named_by_a_relative_path_is_told_by_its_whole_one() {
    let folder = TempDir::new().unwrap();
    let here = folder.path().canonicalize().unwrap();
    let file = "listen: { address: '127.0.0.1:0', certificate: a.crt, key: a.key }\n\
                admin: { address: '127.0.0.1:0' }\n";
    fs::write(here.join("relay.yaml"), file).unwrap();
    let mut relay = adit(&["relay", "--config", "relay.yaml"]);
    let ended = relay.current_dir(&here).output().unwrap();
    assert_eq!(ended.status.code(), Some(64), "{}", stderr(&ended));
    let whole = here.join("a.crt").display().to_string();
    assert!(stderr(&ended).contains(&whole), "{}", stderr(&ended));
}

#[test]
fn relay_that_would_let_nobody_in_is_warned_of() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("relay.yaml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        adit(&["config", "check"]).arg(&file).output().unwrap()
    };
    let listen = "listen: { address: '127.0.0.1:0' }\n";
    let nobody = check(listen);
    assert_eq!(nobody.status.code(), Some(0), "{}", stderr(&nobody));
    for key in ["relay.yaml: authorities: ", "relay.yaml: agents: "] {
        assert!(stderr(&nobody).contains(key), "{}", stderr(&nobody));
    }
    let issuer = |url: &str| {
        format!(
            "{listen}authorities: {{ oidc: {{ issuers: [{{ url: '{url}', audiences: [a] }}] }} }}\n\
             agents: [{{ id: 1, name: a, project: g/p, tokens: ['sha256:{0:064}'] }}]\n",
            0
        )
    };
    let slash = check(&issuer("https://gitlab.example.com/"));
    assert!(
        stderr(&slash).starts_with("warning: ")
            && stderr(&slash).contains("authorities.oidc.issuers[0].url: "),
        "{}",
        stderr(&slash)
    );
    let well = check(&issuer("https://gitlab.example.com"));
    assert_eq!(stderr(&well), "");
    let example = check(include_str!("../../../../deploy/relay.example.yaml"));
    assert_eq!(example.status.code(), Some(0), "{}", stderr(&example));
    assert!(
        stderr(&example).contains("nobody's"),
        "{}",
        stderr(&example)
    );
}

/// With a certificate and its key, the operators' token, an issuer's keys and the audit log, all in this folder.
fn naming_files_in(folder: &str) -> String {
    format!(
        "listen: {{ certificate: {folder}/server.pem, key: {folder}/server.key }}\n\
         admin: {{ token_file: {folder}/token }}\n\
         audit: {{ to: file, file: {folder}/audit.log }}\n\
         authorities: {{ oidc: {{ issuers: [{{ url: 'https://gitlab.example.com', audiences: [a], jwks_file: {folder}/keys.json }}] }} }}\n\
         agents: [{{ id: 1, name: a, project: g/p, tokens: ['sha256:{0:064}'] }}]\n",
        0
    )
}

const KEYS_OF_FILES: [&str; 4] = [
    "listen.certificate, listen.key: ",
    "(admin.token_file)",
    "(audit.file)",
    "authorities.oidc.issuers[0].jwks_file: ",
];

#[test]
fn files_that_are_not_here_are_warned_of_and_refused_when_strict() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("relay.yaml");
    fs::write(&file, naming_files_in("/nowhere/adit")).unwrap();
    let ended = adit(&["config", "check"]).arg(&file).output().unwrap();
    let told = stderr(&ended);
    assert_eq!(ended.status.code(), Some(0), "{told}");
    let warnings: Vec<_> = told.lines().collect();
    assert_eq!(warnings.len(), KEYS_OF_FILES.len(), "{told}");
    for key in KEYS_OF_FILES {
        let mut of_key = warnings.iter().filter(|line| line.contains(key));
        let told = of_key.next().unwrap_or_else(|| panic!("{key}: {told}"));
        assert!(
            told.starts_with("warning: ")
                && told.contains("/nowhere/adit/")
                && told.ends_with("a relay needs it where it runs"),
            "{told}"
        );
    }
    let strict = adit(&["config", "check", "--strict"]).arg(&file).output();
    let strict = strict.unwrap();
    assert_eq!(strict.status.code(), Some(64));
    for key in KEYS_OF_FILES {
        assert!(stderr(&strict).contains(key), "{}", stderr(&strict));
    }
}

#[test]
fn files_that_a_relay_cannot_use_are_mistakes_all_of_them() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let file = path("relay.yaml");
    fs::write(&file, naming_files_in(folder.path().to_str().unwrap())).unwrap();
    let check = || adit(&["config", "check"]).arg(&file).output().unwrap();

    let (certificate, key) = pki::shared().write_server(folder.path());
    assert_eq!(certificate, path("server.pem"));
    fs::write(path("token"), "0123456789abcdef\n").unwrap();
    fs::write(path("keys.json"), TestIssuer::new().jwks()).unwrap();
    let well = check();
    assert_eq!(well.status.code(), Some(0), "{}", stderr(&well));
    assert_eq!(stderr(&well), "");
    assert!(!path("audit.log").exists(), "it is only looked at");

    fs::write(key, fs::read(certificate).unwrap()).unwrap();
    fs::write(path("token"), "guessed\n").unwrap();
    fs::write(path("keys.json"), "{}").unwrap();
    fs::create_dir(path("audit.log")).unwrap();
    let ended = check();
    let told = stderr(&ended);
    assert_eq!(ended.status.code(), Some(64), "{told}");
    for key in KEYS_OF_FILES {
        assert!(told.contains(key), "{key}: {told}");
    }
    assert!(!told.contains("guessed"), "{told}");
    let starts = adit(&["relay", "--config"]).arg(&file).output().unwrap();
    assert_eq!(starts.status.code(), Some(64), "{}", stderr(&starts));
}

#[test]
fn file_of_another_kind_is_told_to_be_one() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("relay.yaml"), "listen: {}\nagents: []\n").unwrap();
    fs::write(path("agent.yaml"), "relay: {}\nceiling: {}\n").unwrap();
    fs::write(path("config.yml"), "ci_access: {}\n").unwrap();
    fs::write(path("values.yaml"), "config: {}\nreplicas: 1\n").unwrap();
    let map = "apiVersion: v1\nkind: ConfigMap\ndata:\n  relay.yaml: |\n    listen: {}\n";
    fs::write(path("map.yaml"), map).unwrap();
    fs::write(path("tls.crt"), "-----BEGIN CERTIFICATE-----\nAA==\n").unwrap();
    fs::write(path("agent.token"), "adit-agent-abc\n").unwrap();
    for (command, name, told) in [
        (
            &["config", "check"][..],
            "agent.yaml",
            "adit agent --config",
        ),
        (&["config", "check"], "config.yml", "config check --gitlab"),
        (
            &["config", "check", "--gitlab"],
            "relay.yaml",
            "adit relay --config",
        ),
        (
            &["config", "check", "--gitlab"],
            "agent.yaml",
            "adit agent --config",
        ),
        (&["agent", "--config"], "relay.yaml", "adit relay --config"),
        (&["config", "check"], "values.yaml", "a chart's values"),
        (
            &["config", "check"],
            "map.yaml",
            "`data` has at `relay.yaml`",
        ),
        (&["config", "check"], "tls.crt", "a certificate or a key"),
        (&["config", "check"], "agent.token", "an agent's token"),
        (
            &["manifests", "relay", "--config"],
            "values.yaml",
            "a chart's values",
        ),
    ] {
        let output = adit(command).arg(path(name)).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}");
        let text = stderr(&output);
        assert!(
            text.contains("do: this looks like") && text.contains(told),
            "{text}"
        );
    }
    let doctor = adit(&["doctor", "agent", "--config"])
        .arg(path("relay.yaml"))
        .output()
        .unwrap();
    assert!(
        stdout(&doctor).contains("this looks like a relay's file"),
        "{}",
        stdout(&doctor)
    );
    let odd = adit(&["config", "check", "--gitlab"])
        .arg(path("config.yml"))
        .output()
        .unwrap();
    assert_eq!(odd.status.code(), Some(0), "{}", stderr(&odd));
    assert!(
        stderr(&odd).contains("GitLab reads `config.yaml`"),
        "{}",
        stderr(&odd)
    );
}
