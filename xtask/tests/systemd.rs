//! The systemd unit is one that systemd takes, and stays as closed as it is.
#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use xtask::{command, skip, workspace};

#[test]
fn unit_of_the_relay_is_valid_and_closed() {
    let name = "unit_of_the_relay_is_valid_and_closed";
    if command::find("systemd-analyze").is_none() {
        return skip::skipped(name, "there is no systemd-analyze (Debian: systemd)");
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("adit-relay.service");
    let text = fs::read_to_string(workspace::root().join("deploy/systemd/adit-relay.service"));
    // It asks whether the program is there.
    let text = text.unwrap().replace("/usr/local/bin/adit", "/bin/true");
    fs::write(&unit, text).unwrap();
    // A key that is misspelt is a warning only.
    assert_eq!(analyze(&["verify", "--man=no"], &unit), "");
    // Tenths: what is left is the network, a port below 1024, and the host's own files, to read.
    let most = "--threshold=16";
    analyze(&["security", "--offline=true", "--no-pager", most], &unit);
}

/// What it says to standard error.
fn analyze(args: &[&str], unit: &Path) -> String {
    let mut analyze = Command::new("systemd-analyze");
    let ended = command::finish(analyze.args(args).arg(unit), "", Duration::from_secs(60)).unwrap();
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    ended.stderr
}
