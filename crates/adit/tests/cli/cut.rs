//! `adit cut`: an operator ends a stream or a tunnel, and means it.

use std::process::{Output, Stdio};

use crate::fake_relay::FakeRelay;
use crate::process::{adit, stderr, stdout};
use crate::status::STATUS;

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

/// Then nobody is asked whether it is meant.
#[test]
fn cut_of_what_the_relay_does_not_have_ends_there() {
    let relay = FakeRelay::answering("200 OK", STATUS);
    let output = cut(&relay, &["stream", "deadbeef"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("the relay has no stream deadbeef"), "{told}");
}

#[test]
fn cut_of_what_is_not_there_has_a_reason_and_a_code() {
    let relay = FakeRelay::answering("404 Not Found", "no such stream runs here\n");
    let output = cut(&relay, &["stream", "5b0c", "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("column REQUEST"),
        "{}",
        stderr(&output)
    );
    let relay = FakeRelay::answering("401 Unauthorized", "show the token\n");
    let output = cut(&relay, &["tunnel", "5b0c", "--yes"]);
    assert_eq!(output.status.code(), Some(77));
    for odd in ["../status", "", "5b0c/cut"] {
        let output = adit(&["cut", "stream", odd, "--yes"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{odd}");
    }
}
