//! Instructions that the tunnel's protocol and a whole request take, against what they took when somebody last looked: a gate that other
//! work on the machine does not move.
//!
//! Built as tests are, so that nothing is built twice: the figures say nothing of a release. But who does more work, does more here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::process::Command;

use adit_benches::{instructions, path::Contender, rig::Rig};
use xtask::{command, skip, workspace};

#[test]
fn of_a_hundred_bodies_through_a_session() {
    if !can_count("of_a_hundred_bodies_through_a_session") {
        return;
    }
    let mut session = Command::new(env!("CARGO_BIN_EXE_adit-bench"));
    session.arg("--session");
    let counted = instructions::inside("*Pair*uploads*", &session).unwrap();
    // One thread without a clock: the same to the last thousand.
    judge(counted as f64, 44_158_000.0, 0.01);
}

#[test]
fn of_a_request() {
    if !can_count("of_a_request") {
        return;
    }
    let adit = Contender::adit("adit", workspace::adit().unwrap());
    let counted = instructions::per_request(&Rig::start().unwrap(), &adit, 200).unwrap();
    // On a busy machine a request is read in more pieces: up to three per cent were seen.
    judge(counted, 1_134_000.0, 0.06);
}

fn can_count(test: &str) -> bool {
    let missing = ["valgrind", "nginx", "h2load"]
        .into_iter()
        .find(|program| command::find(program).is_none());
    if let Some(program) = missing {
        skip::skipped(test, &format!("{program} is missing"));
    }
    missing.is_none()
}

/// Less is good; much less has not done its work. More than that share above the record is a loss.
fn judge(counted: f64, recorded: f64, noise: f64) {
    let ratio = counted / recorded;
    assert!(
        (0.8..1.0 + noise).contains(&ratio),
        "{counted:.0} instructions, {ratio:.3} of the {recorded:.0} on record: \
         find what does more, or put {counted:.0} on record"
    );
}
