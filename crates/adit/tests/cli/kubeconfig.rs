//! `adit kubeconfig`: what a job writes for kubectl, and whom it shows its token.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::fake_relay::FakeRelay;
use crate::process::{adit, stderr, stdout};

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
        stderr(&written).contains("has 1 context:\n* group/app:demo"),
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

/// `adit kubeconfig` in a job that may use two agents and is for the environment `production`.
fn kubeconfig_in_production(gitlab: &str) -> Command {
    let relay = FakeRelay::answering(
        "200 OK",
        r#"{"agents":[{"id":41,"context":"group/app:demo"},{"id":42,"context":"group/app:other"}]}"#,
    );
    in_production(&relay, gitlab)
}

/// `adit kubeconfig` in a job that is for the environment `production`.
fn in_production(relay: &FakeRelay, gitlab: &str) -> Command {
    let mut command = adit(&["kubeconfig", "--relay", &relay.url, "--output", "-"]);
    command
        .env("CI_JOB_TOKEN", "glcbt-64_opaque")
        .env("CI_API_V4_URL", format!("{gitlab}/api/v4"))
        .env("CI_PROJECT_ID", "150")
        .env("CI_ENVIRONMENT_NAME", "production");
    command
}

#[test]
fn context_of_the_agent_that_the_environment_names_is_current() {
    let gitlab = FakeRelay::answering(
        "200 OK",
        r#"[{"name":"production","cluster_agent":{"id":42,"name":"other","config_project":{"path_with_namespace":"group/app"}}}]"#,
    );
    let written = kubeconfig_in_production(&gitlab.url).output().unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    let text = stdout(&written);
    assert!(text.contains("current-context: group/app:other"), "{text}");
    let request = gitlab.request.join().unwrap();
    let line = "GET /api/v4/projects/150/environments?name=production HTTP/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
    assert!(
        request.contains("job-token: glcbt-64_opaque\r\n"),
        "{request}"
    );
}

#[test]
fn environment_that_chooses_nothing_keeps_no_kubeconfig_from_being_written() {
    for (status, body, told) in [
        ("200 OK", "[]", None),
        ("200 OK", r#"[{"name":"production"}]"#, None),
        (
            "200 OK",
            r#"[{"name":"production","cluster_agent":{"id":43,"name":"x","config_project":{"path_with_namespace":"a/b"}}}]"#,
            Some("names the agent a/b:x, which this job may not use"),
        ),
        ("200 OK", "<html>", Some("is not a list of environments")),
        ("500 Oops", "", Some("it answered 500")),
    ] {
        let gitlab = FakeRelay::answering(status, body);
        let written = kubeconfig_in_production(&gitlab.url).output().unwrap();
        assert!(written.status.success(), "{}", stderr(&written));
        let (text, warnings) = (stdout(&written), stderr(&written));
        assert!(text.contains("name: group/app:other"), "{text}");
        assert!(!text.contains("current-context"), "{text}");
        match told {
            Some(told) => assert!(warnings.contains(told), "{warnings}"),
            None => assert_eq!(warnings, ""),
        }
        gitlab.request.join().unwrap();
    }
}

#[test]
fn gitlab_is_not_asked_which_agent_is_meant_where_somebody_has_said_it() {
    // Nobody listens there.
    let mut told = kubeconfig_in_production("http://127.0.0.1:1");
    let written = told.env("KUBE_CONTEXT", "group/app:demo").output().unwrap();
    let text = stdout(&written);
    assert!(text.contains("current-context: group/app:demo"), "{text}");
    assert_eq!(stderr(&written), "");
}

/// As a relay lists them that began just now.
const UNNAMED: &str =
    r#"{"agents":[{"id":41,"context":"group/app:41"},{"id":42,"context":"group/app:42"}]}"#;

#[test]
fn agent_that_the_relay_has_no_name_for_is_known_by_the_one_in_gitlabs_file() {
    let relay = FakeRelay::answering("200 OK", UNNAMED);
    let folder = TempDir::new().unwrap();
    let gitlabs = folder.path().join("gitlabs");
    let text = "
clusters: [{name: gitlab, cluster: {server: https://kas.test/k8s-proxy}}]
users: [{name: 'agent:41', user: {token: 'ci:41:t'}}, {name: 'agent:42', user: {token: 'ci:42:t'}}]
contexts:
- {name: 'group/app:demo', context: {cluster: gitlab, user: 'agent:41'}}
- {name: 'group/app:prod', context: {cluster: gitlab, user: 'agent:42'}}
";
    fs::write(&gitlabs, text).unwrap();
    let written = adit(&["kubeconfig", "--relay", &relay.url, "--output", "-"])
        .env("CI_JOB_TOKEN", "glcbt-64_opaque")
        .env("KUBECONFIG", &gitlabs)
        .env("KUBE_CONTEXT", "group/app:prod")
        .output()
        .unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    let text = stdout(&written);
    assert!(text.contains("current-context: group/app:prod"), "{text}");
    assert!(text.contains("name: group/app:demo"), "{text}");
    let (_, of_prod) = text.split_once("contexts:").unwrap();
    let (_, of_prod) = of_prod.split_once("name: group/app:prod").unwrap();
    assert!(of_prod.contains("user: agent:42"), "{text}");
    relay.request.join().unwrap();
}

#[test]
fn relay_that_has_no_name_for_the_agent_yet_is_asked_again() {
    let named = r#"{"agents":[{"id":42,"context":"group/app:prod"}]}"#;
    let unnamed = r#"{"agents":[{"id":42,"context":"group/app:42"}]}"#;
    let relay = FakeRelay::answering_in_turn(vec![("200 OK", unnamed), ("200 OK", named)]);
    let written = adit(&["kubeconfig", "--relay", &relay.url, "--output", "-"])
        .env("CI_JOB_TOKEN", "glcbt-64_opaque")
        .env("KUBE_CONTEXT", "group/app:prod")
        .output()
        .unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    let text = stdout(&written);
    assert!(text.contains("current-context: group/app:prod"), "{text}");
    relay.request.join().unwrap();
}

#[test]
fn agent_of_the_environment_is_known_by_its_id() {
    let relay = FakeRelay::answering("200 OK", UNNAMED);
    let gitlab = FakeRelay::answering(
        "200 OK",
        r#"[{"name":"production","cluster_agent":{"id":42,"name":"prod","config_project":{"path_with_namespace":"group/app"}}}]"#,
    );
    let mut told = in_production(&relay, &gitlab.url);
    let written = told.output().unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    let text = stdout(&written);
    assert!(text.contains("current-context: group/app:prod"), "{text}");
    assert!(text.contains("name: group/app:41"), "{text}");
    gitlab.request.join().unwrap();
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
fn job_that_may_use_no_agent_is_told_what_may_keep_it_out() {
    let relay = FakeRelay::answering("200 OK", r#"{"agents":[]}"#);
    let refused = adit(&["kubeconfig", "--relay", &relay.url, "--output", "-"])
        .env("CI_JOB_TOKEN", "glcbt-64_opaque")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(77));
    let told = stderr(&refused);
    assert!(told.contains("may use no agent\n  do: ask"), "{told}");
    assert!(told.contains("`protected_branches_only`"), "{told}");
    relay.request.join().unwrap();
}

#[test]
fn relay_that_is_away_is_told_of_while_it_is_asked_again() {
    // Nobody listens on it any more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let url = format!("http://{}", free.unwrap());
    tells_why_it_asks_again(&url);
}

#[test]
fn relay_that_goes_away_after_its_first_answer_is_told_of() {
    let unnamed = r#"{"agents":[{"id":42,"context":"group/app:42"}]}"#;
    let relay = FakeRelay::answering("200 OK", unnamed);
    tells_why_it_asks_again(&relay.url);
    relay.request.join().unwrap();
}

/// The first line that comes says why the relay is asked again.
fn tells_why_it_asks_again(url: &str) {
    let mut asking = adit(&["kubeconfig", "--relay", url, "--output", "-"])
        .env("CI_JOB_TOKEN", "glcbt-64_opaque")
        .env("KUBE_CONTEXT", "group/app:prod")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut lines = BufReader::new(asking.stderr.take().unwrap());
    lines.read_line(&mut told).unwrap();
    asking.kill().unwrap();
    asking.wait().unwrap();
    assert!(
        told.starts_with("warning: ") && told.contains(url) && told.contains("asking again"),
        "{told}"
    );
    assert!(told.contains("onnection refused"), "{told}");
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
    let told = stderr(&anonymous);
    assert!(told.contains("nor CI_JOB_TOKEN is set\n  do: "), "{told}");
    let neither = stderr(&unplaced);
    for missing in [
        "\n  because: no token: neither ADIT_ID_TOKEN nor CI_JOB_TOKEN is set\n",
        "\n    say where to write: set KUBECONFIG",
        "\n  do: run it in a job",
    ] {
        assert!(neither.contains(missing), "{missing}: {neither}");
    }
}

#[test]
fn namespace_that_none_can_have_is_refused_and_an_empty_one_is_none() {
    let relay = FakeRelay::answering(
        "200 OK",
        r#"{"agents":[{"id":41,"context":"group/app:demo","default_namespace":"web"}]}"#,
    );
    let write = |namespace: &str| {
        adit(&["kubeconfig", "--relay", &relay.url, "--output", "-"])
            .env("ADIT_ID_TOKEN", "e30.e30.c2ln")
            .env("KUBE_NAMESPACE", namespace)
            .output()
            .unwrap()
    };
    let refused = write("Foo_Bar");
    assert_eq!(refused.status.code(), Some(2));
    let told = stderr(&refused);
    assert!(told.contains("'--namespace <NAME>'"), "{told}");
    let written = write("");
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
}

#[test]
fn missing_flag_is_told_with_the_variable_that_can_say_it() {
    for (command, variable) in [
        (&["kubeconfig"][..], "ADIT_RELAY_URL"),
        (&["manifests", "agent"], "ADIT_RELAY_URL"),
        (&["manifests", "relay"], "ADIT_RELAY_CONFIG"),
        (&["relay"], "ADIT_RELAY_CONFIG"),
    ] {
        let ended = adit(command).output().unwrap();
        let told = stderr(&ended);
        assert_eq!(ended.status.code(), Some(2), "{told}");
        let tip = format!("tip: the variable {variable} can say it, too");
        assert!(told.contains(&tip), "{command:?}: {told}");
    }
    let ended = adit(&["token", "hash"]).output().unwrap();
    assert!(!stderr(&ended).contains("tip: the"), "{}", stderr(&ended));
}
