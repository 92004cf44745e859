//! `adit kubeconfig`: what a job writes for kubectl, and whom it shows its token.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
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
