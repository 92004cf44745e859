//! `adit token`: an agent's token and its hash.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use tempfile::TempDir;

use crate::process::{adit, stderr, stdout};

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
    assert!(
        stderr(&again).contains("do: name another file"),
        "{}",
        stderr(&again)
    );
    assert_eq!(fs::read_to_string(path).unwrap(), token);
}

#[test]
fn mistyped_token_is_told_and_not_shown() {
    for (text, words) in [
        ("adit-agent-nonsense", "cut short"),
        (
            "listen: nonsense\nadmin: nonsense\n",
            "one line of visible ASCII",
        ),
        ("sha256:nonsense", "it is the hash of an agent token"),
        (r#"{"hash":"a","token":"nonsense"}"#, "it is JSON"),
        ("{\n  \"token\": \"nonsense\"\n}\n", "it is JSON"),
    ] {
        let mut hashing = adit(&["token", "hash"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        write!(hashing.stdin.take().unwrap(), "{text}").unwrap();
        let ended = hashing.wait_with_output().unwrap();
        let told = stderr(&ended);
        assert_eq!(ended.status.code(), Some(64), "{told}");
        assert!(!told.contains("nonsense") && told.contains(words), "{told}");
    }
}
