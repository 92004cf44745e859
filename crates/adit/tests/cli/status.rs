//! `adit status`: what a relay's private port tells, for people and for programs.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use adit_tests::pki::{Made, Pki};
use adit_tests::{relay, scenario};
use tempfile::TempDir;

use crate::fake_relay::FakeRelay;
use crate::process::{adit, stderr, stdout};

/// What a relay's private port answers.
pub(crate) const STATUS: &str = r#"{"version":"1.2.3","since":"2026-11-25T20:00:00Z","draining":false,"requests":3,"connected":1,
"agents":{"count":3,"shown":[
{"id":7,"name":"group/app:demo","replicas":[{"replica":"pod-a\u001b[2J","version":"1.2.2","kubernetes":"v1.36.0","tunnel":"ab12",
"since":"2026-11-25T20:00:01Z","round_trip_ms":1.26,"streams":2,"draining":true}]},
{"id":8,"name":"group/app:old","replicas":[],"offline_since":"2026-11-25T21:00:00Z"}]},
"streams":{"count":1,"shown":[{"request_id":"5b0c9e7d21f4a386","agent":7,"agent_name":"group/app:demo","job":9001,"project":"group/app",
"login":"dev1","verb":"create","resource":"pods/exec","namespace":"shop","name":"web","kind":"exec","age":75,"request_bytes":5,
"answer_bytes":20480}]},
"refusals":{"token_expired":4},"problems":[{"about":"gitlab","message":"GitLab does not answer"}],
"history":{"every":10,"answered":[50,12],"refused":[0,4],"cancelled":[1,0],"request_bytes":[0,100],"answer_bytes":[204800,51200],
"median_ms":[1.25,null],"p99_ms":[40.5,31.0]}}"#;

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
        "relay 1.2.3, up since 2026-11-25T20:00:00Z, 1 of 3 agents connected, 3 requests running",
        "PROBLEM gitlab: GitLab does not answer",
        "group/app:demo 7 pod-a [2J (draining) 1.2.2 v1.36.0 2026-11-25T20:00:01Z 1.3 ms 2 ab12",
        "group/app:old 8 offline since 2026-11-25T21:00:00Z",
        "and 1 more",
        "1m15s exec create pods/exec shop web group/app:demo 9001 group/app dev1 5 B 20 KiB 5b0c9e7d21f4a386",
        "THE LAST HOUR NOW MOST",
        "answered 1.2 /s 5.0 /s",
        "refused 0.4 /s 0.4 /s",
        "cancelled 0.0 /s 0.1 /s",
        "half of the answers within - 1.2 ms",
        "99 of 100 within 31.0 ms 40.5 ms",
        "to callers 5120 B/s 20 KiB/s",
        "from callers 10 B/s 10 B/s",
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
fn status_of_a_relay_without_agents_says_so() {
    let nothing = r#"{"version":"1","since":"","draining":false,"requests":0,"connected":0,"agents":{"count":0,"shown":[]},
"streams":{"count":0,"shown":[]},"refusals":{},"problems":[]}"#;
    let relay = FakeRelay::answering("200 OK", nothing);
    let text = stdout(&status(&relay, &[]).output().unwrap());
    assert!(text.contains("no agents"), "{text}");
    assert!(!text.contains("AGENT"), "{text}");
    relay.request.join().unwrap();
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

/// All that the first version said. It stays as it is: what comes later is not asked of it.
const FIRST: &str = r#"{"version":"0.1.0","since":"2026-11-25T20:00:00Z","draining":false,"requests":3,
"agents":{"count":3,"shown":[
{"id":7,"name":"group/app:demo","replicas":[{"replica":"pod-a","version":"0.1.0","kubernetes":"v1.36.0","tunnel":"ab12",
"since":"2026-11-25T20:00:01Z","streams":2,"draining":false}]},
{"id":8,"replicas":[]}]},
"streams":{"count":1,"shown":[{"request_id":"5b0c9e7d21f4a386","agent":7,"agent_name":"group/app:demo",
"login":"dev1","verb":"create","resource":"pods/exec","kind":"exec","age":75,"request_bytes":5,"answer_bytes":20480}]},
"refusals":{"token_expired":4},"problems":[{"about":"gitlab","message":"GitLab does not answer"}]}"#;

#[test]
fn status_of_the_first_version_is_read_by_each_later_one() {
    let relay = FakeRelay::answering("200 OK", FIRST);
    let output = status(&relay, &[]).output().unwrap();
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for told in ["1 of 3 agents connected", "exec", "token_expired"] {
        assert!(text.contains(told), "{told} is not in\n{text}");
    }
    relay.request.join().unwrap();
}

#[test]
fn status_of_a_later_version_is_read_and_passed_on_whole() {
    let later = STATUS
        .replacen('{', r#"{"tomorrow":[1],"#, 1)
        .replace(r#"{"id":"#, r#"{"colour":"red","id":"#)
        .replace(r#"{"every":"#, r#"{"p50_ms":[],"every":"#);
    let later: &'static str = later.leak();
    let relay = FakeRelay::answering("200 OK", later);
    let output = status(&relay, &[]).output().unwrap();
    let text = stdout(&output);
    assert!(text.contains("group/app:demo"), "{}", stderr(&output));
    let relay = FakeRelay::answering("200 OK", later);
    let output = status(&relay, &["--json"]).output().unwrap();
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    let [shown, said] =
        [&*text, later].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    assert_eq!(shown, said);
}

#[test]
fn what_is_no_status_is_not_taken_for_an_empty_one() {
    for other in [
        "<html>",
        "{}",
        "[]",
        r#"{"version":"1","status":"ok"}"#,
        "null",
    ] {
        for flags in [&[][..], &["--json"]] {
            let relay = FakeRelay::answering("200 OK", other);
            let output = status(&relay, flags).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{other}");
            assert_eq!(stdout(&output), "");
            let told = stderr(&output);
            assert!(told.contains("is this the private port"), "{other}: {told}");
        }
    }
}

#[test]
fn status_that_is_not_given_has_a_reason_and_a_code() {
    let refusing = FakeRelay::answering("401 Unauthorized", "show the token\n");
    let output = status(&refusing, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(77));
    let told = stderr(&output);
    assert!(
        told.contains("show the token") && told.contains("--token-file"),
        "{told}"
    );
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    for (holds, code, words) in [
        ("", 64, "token (--token-file) holds no token"),
        ("another", 77, "does not take the token in"),
    ] {
        fs::write(&file, holds).unwrap();
        let refusing = FakeRelay::answering("401 Unauthorized", "show the token\n");
        let shown = ["--token-file", file.to_str().unwrap()];
        let output = status(&refusing, &shown).output().unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(words), "{words}: {told}");
    }
    let public = r#"{"kind":"Status","message":"no","details":{"causes":[{"reason":"AditHop","message":"client"}]}}"#;
    let public = FakeRelay::answering("404 Not Found", public);
    let output = status(&public, &[]).output().unwrap();
    assert!(
        stderr(&output).contains("public port"),
        "{}",
        stderr(&output)
    );
    let agents = FakeRelay::answering("404 Not Found", "there is nothing at this path\n");
    let output = status(&agents, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stderr(&output).contains("an agent's has none"),
        "{}",
        stderr(&output)
    );
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

#[test]
fn token_is_not_sent_in_clear() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "0123456789abcdef\n").unwrap();
    for address in ["192.0.2.7:8151", "http://relay.example.com:8151"] {
        let output = adit(&["status", "--admin", address, "--token-file"])
            .arg(&file)
            .output()
            .unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(
            told.contains("in clear") && told.contains("https://"),
            "{told}"
        );
    }
    let ca = folder.path().join("ca.pem");
    let output = adit(&["status", "--admin", "127.0.0.1:8151", "--ca"])
        .arg(&ca)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    let output = adit(&["status", "--admin", "https://127.0.0.1:8151", "--ca"])
        .arg(&ca)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).contains("ca.pem"), "{}", stderr(&output));
    let output = adit(&["status", "--certificate"])
        .arg(&ca)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn status_is_shown_over_tls_for_a_token_or_a_client_certificate() {
    scenario(async {
        let folder = TempDir::new().unwrap();
        let there = |name: &str| folder.path().join(name).display().to_string();
        let ca = Pki::new("operators' CA");
        fs::write(there("operators.pem"), ca.ca_pem()).unwrap();
        fs::write(there("token"), "0123456789abcdef\n").unwrap();
        let (certificate, key) = ca.write_client(folder.path(), Made::default());
        let relay = relay()
            .with("admin", "client_ca_file", there("operators.pem"))
            .with("admin", "token_file", there("token"));
        let relay = relay.with_admin_certificate(folder.path()).start().await;
        let at = format!("https://{}", relay.admin());
        let believed = relay.ca().display().to_string();
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let own = ["--certificate", &certificate, "--key", &key];
        let token = there("token");
        for (flags, code) in [
            (&["--ca", &believed, "--token-file", &token][..], 0),
            (&[&["--ca", &believed][..], &own].concat(), 0),
            (&["--ca", &believed], 77),
            // Another's certificate, as far as this one knows.
            (
                &["--ca", &there("operators.pem"), "--token-file", &token],
                69,
            ),
        ] {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_adit"));
            command
                .args(["status", "--admin", &at])
                .args(flags)
                .env_clear();
            let output = command.output().await.unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{flags:?}: {}",
                stderr(&output)
            );
            assert_eq!(stdout(&output).contains("group/sub/app:prod"), code == 0);
        }
        relay.stop().await;
    });
}
