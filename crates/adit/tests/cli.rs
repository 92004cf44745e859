//! The binary as a user meets it: output, exit codes, files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::thread;

use tempfile::TempDir;

/// What users read about it.
const COMMANDS: &str = include_str!("../../../docs/commands.md");

fn adit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A relay that answers one request, over plain HTTP on loopback, and gives it back.
struct FakeRelay {
    url: String,
    request: thread::JoinHandle<String>,
}

impl FakeRelay {
    fn answering(status: &'static str, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let request = thread::spawn(move || {
            let mut socket = listener.accept().unwrap().0;
            let mut request = String::new();
            let mut reader = BufReader::new(socket.try_clone().unwrap());
            while reader.read_line(&mut request).unwrap() > 2 {}
            write!(
                socket,
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len(),
            )
            .unwrap();
            request
        });
        Self { url, request }
    }
}

#[test]
fn new_token_and_its_hash_belong_together() {
    let made = adit(&["token", "new", "--json"]).output().unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("adit-agent-"));

    let mut hashing = adit(&["token", "hash"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(hashing.stdin.take().unwrap(), "{token}").unwrap();
    let mut hash = String::new();
    hashing
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut hash)
        .unwrap();
    assert!(hashing.wait().unwrap().success());
    assert_eq!(hash.trim_end(), made["hash"].as_str().unwrap());
}

#[test]
fn token_file_is_private_and_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("agent.token");
    let path = path.to_str().unwrap();
    let made = adit(&["token", "new", "--token-file", path])
        .output()
        .unwrap();
    let token = fs::read_to_string(path).unwrap();
    assert!(
        !stdout(&made).contains(token.trim_end()),
        "shown beside being written"
    );
    assert!(stdout(&made).contains("sha256:"));
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let again = adit(&["token", "new", "--token-file", path])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(fs::read_to_string(path).unwrap(), token);
}

#[test]
fn mistyped_token_is_told_and_not_shown() {
    let mut hashing = adit(&["token", "hash"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    write!(hashing.stdin.take().unwrap(), "adit-agent-nonsense").unwrap();
    let ended = hashing.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(64));
    assert!(!stderr(&ended).contains("nonsense"), "{}", stderr(&ended));
}

#[test]
fn kubeconfig_is_written_for_what_the_token_may_reach() {
    let relay = FakeRelay::answering(
        "200 OK",
        r#"{"agents":[{"id":41,"context":"group/app:demo","default_namespace":"web","new":1}]}"#,
    );
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config");
    let written = adit(&["kubeconfig", "--relay", &relay.url])
        .env("ADIT_ID_TOKEN", "e30.e30.c2ln\n")
        .env("KUBECONFIG", &path)
        .output()
        .unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    assert!(
        stderr(&written).contains("* group/app:demo"),
        "{}",
        stderr(&written)
    );
    assert!(!stderr(&written).contains("e30"), "a token in the output");

    let request = relay.request.join().unwrap();
    assert!(
        request.starts_with("GET /adit/v1/agents HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("authorization: Bearer e30.e30.c2ln\r\n"),
        "{request}"
    );

    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("ci:41:e30.e30.c2ln"), "{text}");
    assert!(text.contains("current-context: group/app:demo"), "{text}");
    assert!(text.contains(&format!("{}/k8s-proxy", relay.url)), "{text}");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn kubeconfig_takes_gitlabs_own_token_and_namespace() {
    let relay = FakeRelay::answering(
        "200 OK",
        r#"{"agents":[{"id":41,"context":"group/app:demo","default_namespace":"web"}]}"#,
    );
    let written = adit(&["kubeconfig", "--relay", &relay.url, "--output", "-"])
        .env("CI_JOB_TOKEN", "glcbt-64_opaque")
        .env("KUBE_CONTEXT", "")
        .env("KUBE_NAMESPACE", "review")
        .output()
        .unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    let request = relay.request.join().unwrap();
    assert!(
        request.contains("authorization: Bearer glcbt-64_opaque\r\n"),
        "{request}"
    );
    let text = stdout(&written);
    assert!(text.contains("namespace: review"), "{text}");
    assert!(text.contains("token: ci:41:glcbt-64_opaque"), "{text}");
}

#[test]
fn refused_id_token_ends_with_77_and_the_relays_words() {
    let relay = FakeRelay::answering(
        "401 Unauthorized",
        r#"{"kind":"Status","message":"the token has expired"}"#,
    );
    let refused = adit(&["kubeconfig", "--relay", &relay.url, "--output", "-"])
        .env("ADIT_ID_TOKEN", "e30.e30.c2ln")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(77));
    assert!(
        stderr(&refused).contains("the token has expired"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(stdout(&refused), "");
    relay.request.join().unwrap();
}

#[test]
fn relay_that_is_not_believed_is_told_once_and_gets_no_token() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    let relay = thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let mut session = rustls::ServerConnection::new(config.into()).unwrap();
        let mut received = String::new();
        let _ = rustls::Stream::new(&mut session, &mut socket).read_to_string(&mut received);
        received
    });
    let refused = adit(&["kubeconfig", "--relay", &url, "-o", "-"])
        .env("ADIT_ID_TOKEN", "e30.e30.c2ln")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(69));
    assert!(stderr(&refused).contains("--ca"), "{}", stderr(&refused));
    assert_eq!(
        stderr(&refused).matches("invalid peer certificate").count(),
        1,
        "{}",
        stderr(&refused)
    );
    assert_eq!(relay.join().unwrap(), "");
}

#[test]
fn kubeconfig_without_a_token_or_a_place_is_a_bad_config() {
    let unplaced = adit(&["kubeconfig", "--relay", "https://relay.test"])
        .output()
        .unwrap();
    assert_eq!(unplaced.status.code(), Some(64));
    assert!(
        stderr(&unplaced).contains("KUBECONFIG"),
        "{}",
        stderr(&unplaced)
    );

    let anonymous = adit(&["kubeconfig", "--relay", "https://relay.test", "-o", "-"])
        .output()
        .unwrap();
    assert_eq!(anonymous.status.code(), Some(64));
    assert!(
        stderr(&anonymous).contains("ADIT_ID_TOKEN"),
        "{}",
        stderr(&anonymous)
    );
}

#[test]
fn help_shows_examples_and_exit_codes_and_no_secret() {
    let help = adit(&["--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(stdout(&help).contains("Examples:") && stdout(&help).contains("  64  a config file"));
    let help = adit(&["kubeconfig", "--help"])
        .env("ADIT_ID_TOKEN", "very-secret")
        .output()
        .unwrap();
    assert!(!stdout(&help).contains("very-secret"));
    assert!(!stdout(&help).contains('\x1b'), "coloured off a terminal");
}

#[test]
fn help_and_documentation_have_the_same_exit_codes() {
    let help = stdout(&adit(&["--help"]).output().unwrap());
    let (_, told) = help.split_once("Exit codes:\n").unwrap();
    let told: Vec<u8> = told
        .lines()
        .map_while(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    let (_, page) = COMMANDS.split_once("### Exit codes\n").unwrap();
    let (page, _) = page.split_once("\n#").unwrap();
    let documented: Vec<u8> = page
        .lines()
        .filter_map(|line| line.split('|').nth(1)?.trim().parse().ok())
        .collect();
    assert_eq!(told, documented);
    assert_eq!(told, [0, 1, 2, 64, 69, 70, 75, 77]);
}

#[test]
fn help_and_documentation_have_the_same_codes_of_the_doctor() {
    let help = stdout(&adit(&["doctor", "--help"]).output().unwrap());
    let (_, told) = help.split_once("Exit codes, ").unwrap();
    let told: Vec<u8> = told
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    let (_, page) = COMMANDS.split_once("## adit doctor\n").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let documented: Vec<u8> = page
        .lines()
        .filter_map(|line| line.split('|').nth(1)?.trim().parse().ok())
        .collect();
    assert_eq!(told, documented);
    assert_eq!(told, [0, 10, 11, 12, 13, 14, 15]);
}

#[test]
fn wrong_command_line_ends_with_2() {
    assert_eq!(
        adit(&["kubeconfig", "--relay", "http://relay.test"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
    assert_eq!(adit(&["nonsense"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = adit(&["completions", shell]).output().unwrap();
        assert!(script.status.success());
        assert!(stdout(&script).contains("kubeconfig"), "{shell}");
    }
}

#[test]
fn bash_completes_commands_and_flags() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("adit.bash");
    let made = adit(&["completions", "bash"]).output().unwrap();
    fs::write(&script, made.stdout).unwrap();
    let ask = r#"source "$1"; COMP_WORDS=($2); COMP_CWORD=$3
        _adit adit "${COMP_WORDS[$3]}" "${COMP_WORDS[$3 - 1]}"; echo "${COMPREPLY[*]}""#;
    for (words, at, completed) in [
        ("adit ku", "1", "kubeconfig"),
        ("adit kubeconfig --fo", "2", "--force"),
    ] {
        let answer = Command::new("bash")
            .args(["-c", ask, "bash", script.to_str().unwrap(), words, at])
            .output()
            .unwrap();
        assert_eq!(stdout(&answer).trim(), completed, "{}", stderr(&answer));
    }
}

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
fn manual_has_a_page_for_each_command() {
    let folder = TempDir::new().unwrap();
    let written = adit(&["man"]).arg(folder.path()).output().unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    for page in ["adit.1", "adit-relay.1", "adit-manifests-agent.1"] {
        let text = fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH OPTIONS"), "{page}: {text}");
    }
}

#[test]
fn agents_manifests_hold_its_token_and_tell_the_hash() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("agent.token");
    let made = adit(&["token", "new", "--token-file"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(made.status.success());
    let token = fs::read_to_string(&file).unwrap();
    let printed = adit(&["manifests", "agent", "--relay", "https://relay.example.com"])
        .args(["--namespace", "shop", "--name", "other", "--token-file"])
        .arg(&file)
        .output()
        .unwrap();
    let text = stdout(&printed);
    assert!(text.contains(&format!("token: {}", token.trim())), "{text}");
    assert!(!stderr(&printed).contains(token.trim()));
    let hashed = stdout(&made);
    let hash = hashed
        .lines()
        .find_map(|line| line.trim().strip_prefix("- "))
        .unwrap();
    assert!(text.contains(&format!("#     {hash}\n")), "{text}");
}

#[test]
fn agents_manifests_have_roles_and_configuration_for_flux_where_it_is_asked_for() {
    let agent = ["manifests", "agent", "--relay", "https://relay.example.com"];
    let plain = adit(&agent).args(["--namespace", "shop"]).output().unwrap();
    assert!(!stdout(&plain).contains("flux"));
    let with_flux = adit(&agent)
        .args([
            "--namespace",
            "shop",
            "--name",
            "other",
            "--install-namespace",
            "adit",
        ])
        .args([
            "--flux",
            "https://gitlab.example.com",
            "--flux-namespace",
            "sources",
        ])
        .output()
        .unwrap();
    let text = stdout(&with_flux);
    let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
    let bindings: Vec<_> = objects
        .iter()
        .filter(|object| object["kind"] == "RoleBinding")
        .map(|object| &object["metadata"])
        .map(|metadata| format!("{} in {}", metadata["name"], metadata["namespace"]))
        .collect();
    let expected = [
        r#""other" in "shop""#,
        r#""other-flux" in "adit""#,
        r#""other-flux-receivers" in "sources""#,
    ];
    assert_eq!(bindings, expected);
    let role = objects
        .iter()
        .find(|object| object["kind"] == "Role")
        .unwrap();
    assert_eq!(role["rules"][0]["resourceNames"][0], "other-flux");
    let map = objects
        .iter()
        .find(|object| object["kind"] == "ConfigMap")
        .unwrap();
    let config: serde_json::Value =
        serde_saphyr::from_str(map["data"]["agent.yaml"].as_str().unwrap()).unwrap();
    let expected = serde_json::json!({
        "gitlab_url": "https://gitlab.example.com", "namespaces": ["sources"],
        "lease_name": "other-flux", "lease_namespace": "adit",
    });
    assert_eq!(config["flux"], expected);
}

#[test]
fn manifests_say_what_is_missing() {
    let agent = ["manifests", "agent", "--relay", "https://relay.example.com"];
    for (more, code, because) in [
        (&[][..], 64, "--namespace"),
        (&["--kubernetes", "1.35"], 64, "name each group"),
        (
            &["--kubernetes", "1.35", "--group", "a", "--namespace", "b"],
            64,
            "leave out --namespace",
        ),
        (
            &["--namespace", "a", "--relay", "http://relay.example.com"],
            2,
            "cannot be used multiple",
        ),
        (
            &["--namespace", "a", "--group", "system:masters"],
            2,
            "nobody acts for system:masters",
        ),
        (
            &["--namespace", "a", "--allow", "exec:pods"],
            2,
            "get,create:pods/exec",
        ),
        (
            &["--namespace", "a", "--token-file", "/nothing"],
            64,
            "/nothing",
        ),
    ] {
        let refused = adit(&agent).args(more).output().unwrap();
        assert_eq!(
            refused.status.code(),
            Some(code),
            "{more:?}: {}",
            stderr(&refused)
        );
        assert!(
            stderr(&refused).contains(because),
            "{more:?}: {}",
            stderr(&refused)
        );
        assert!(refused.stdout.is_empty());
    }
}

#[test]
fn relays_manifests_have_its_config_where_the_pod_needs_it() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let file = |more: &str| {
        fs::write(
            &config,
            format!(
                "listen: {{ address: '127.0.0.1:1', certificate: /here/a, key: /here/b }}\n\
                 authorities: {{ oidc: {{ issuers: [{{ url: 'https://gitlab.test', audiences: [a]{more} }}] }} }}\n"
            ),
        )
        .unwrap();
    };
    let print = || {
        adit(&["manifests", "relay", "--config"])
            .arg(&config)
            .output()
            .unwrap()
    };
    file("");
    let text = stdout(&print());
    assert!(
        text.contains("address: 0.0.0.0:8150") && text.contains("/etc/adit/tls/tls.key"),
        "{text}"
    );
    assert!(
        text.contains("https://gitlab.test") && !text.contains("gitlab.example.com"),
        "{text}"
    );
    assert!(
        !text.contains("/here/") && !text.contains("127.0.0.1"),
        "{text}"
    );
    file(", jwks_file: /here/keys.json");
    let refused = print();
    assert_eq!(refused.status.code(), Some(64));
    assert!(
        stderr(&refused).contains("authorities.oidc.issuers.0.jwks_file"),
        "{}",
        stderr(&refused)
    );
}

/// What a relay's private port answers.
const STATUS: &str = r#"{"version":"1.2.3","since":"2026-11-25T20:00:00Z","draining":false,"requests":3,
"agents":{"count":3,"shown":[
{"id":7,"name":"group/app:demo","replicas":[{"replica":"pod-a\u001b[2J","version":"1.2.2","kubernetes":"v1.36.0","tunnel":"ab12",
"since":"2026-11-25T20:00:01Z","round_trip_ms":1.26,"streams":2,"draining":true}]},
{"id":8,"name":"group/app:old","replicas":[],"offline_since":"2026-11-25T21:00:00Z"}]},
"streams":{"count":1,"shown":[{"request_id":"5b0c9e7d21f4a386","agent":7,"agent_name":"group/app:demo","job":9001,"project":"group/app",
"login":"dev1","verb":"create","resource":"pods/exec","namespace":"shop","name":"web","kind":"exec","age":75,"request_bytes":5,
"answer_bytes":20480}]},
"refusals":{"token_expired":4},"problems":[{"about":"gitlab","message":"GitLab does not answer"}]}"#;

fn status(relay: &FakeRelay, more: &[&str]) -> Command {
    let address = relay.url.trim_start_matches("http://");
    adit(&[&["status", "--admin", address], more].concat())
}

#[test]
fn status_is_laid_out_for_people() {
    let relay = FakeRelay::answering("200 OK", STATUS);
    let output = status(&relay, &[]).output().unwrap();
    let text = stdout(&output);
    let rows: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for row in [
        "relay 1.2.3, up since 2026-11-25T20:00:00Z, 3 requests running",
        "PROBLEM gitlab: GitLab does not answer",
        "group/app:demo 7 pod-a [2J (draining) 1.2.2 v1.36.0 2026-11-25T20:00:01Z 1.3 ms 2 ab12",
        "group/app:old 8 offline since 2026-11-25T21:00:00Z",
        "and 1 more",
        "1m15s exec create pods/exec shop web group/app:demo 9001 group/app 5 B 20 KiB 5b0c9e7d21f4a386",
        "token_expired 4",
    ] {
        assert!(
            rows.iter().any(|found| found == row),
            "{row} is not in\n{text}"
        );
    }
    assert!(
        relay
            .request
            .join()
            .unwrap()
            .starts_with("GET /status HTTP/1.1\r\n")
    );
}

#[test]
fn status_as_json_is_what_the_relay_said() {
    let relay = FakeRelay::answering("200 OK", STATUS);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "0123456789abcdef\n").unwrap();
    let flags = ["--json", "--token-file", file.to_str().unwrap()];
    let output = status(&relay, &flags).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let said: serde_json::Value = serde_json::from_str(STATUS).unwrap();
    assert_eq!(shown, said);
    let request = relay.request.join().unwrap();
    assert!(
        request.contains("authorization: Bearer 0123456789abcdef\r\n"),
        "{request}"
    );
}

#[test]
fn status_that_is_not_given_has_a_reason_and_a_code() {
    let refusing = FakeRelay::answering("401 Unauthorized", "show the token\n");
    let output = status(&refusing, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(77));
    assert!(stderr(&output).contains("show the token"));
    let other = FakeRelay::answering("200 OK", "<html>");
    let output = status(&other, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let output = adit(&["status", "--admin", &nobody.to_string()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
    let output = adit(&["status", "--admin", "somewhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
}

fn cut(relay: &FakeRelay, more: &[&str]) -> Output {
    let address = relay.url.trim_start_matches("http://");
    adit(&[&["cut"], more, &["--admin", address]].concat())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn cut_says_twice_what_is_to_be_cut() {
    for (what, these) in [("stream", "streams"), ("tunnel", "tunnels")] {
        let relay = FakeRelay::answering("200 OK", "it is\n");
        let output = cut(&relay, &[what, "5b0c", "--yes"]);
        assert_eq!(stdout(&output), format!("{what} 5b0c is cut\n"));
        let request = relay.request.join().unwrap();
        let begin = format!("POST /status/{these}/5b0c/cut HTTP/1.1\r\n");
        assert!(request.starts_with(&begin), "{request}");
        assert!(request.contains("adit-confirm: 5b0c\r\n"), "{request}");
    }
}

#[test]
fn cut_that_nobody_confirms_cuts_nothing() {
    let relay = FakeRelay::answering("200 OK", STATUS);
    let output = cut(&relay, &["stream", "5b0c9e7d21f4a386"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    let request = relay.request.join().unwrap();
    assert!(request.starts_with("GET /status "), "{request}");
}

#[test]
fn cut_of_what_is_not_there_has_a_reason_and_a_code() {
    let relay = FakeRelay::answering("404 Not Found", "no such stream runs here\n");
    let output = cut(&relay, &["stream", "5b0c", "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no such stream runs here"));
    let relay = FakeRelay::answering("401 Unauthorized", "show the token\n");
    let output = cut(&relay, &["tunnel", "5b0c", "--yes"]);
    assert_eq!(output.status.code(), Some(77));
    for odd in ["../status", "", "5b0c/cut"] {
        let output = adit(&["cut", "stream", odd, "--yes"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{odd}");
    }
}
