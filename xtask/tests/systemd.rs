//! The systemd unit and its user are what systemd takes, and the unit stays as closed as it is.
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
    // By `RestartPreventExitStatus` the relay stays down after a wrong config, but not what would look at it before.
    assert!(text.contains("RestartPreventExitStatus=64 70\n"));
    assert!(!text.contains("ExecStartPre="));
    fs::write(&unit, text).unwrap();
    // A key that is misspelt is a warning only.
    assert_eq!(analyze(&["verify", "--man=no"], &unit), "");
    // Tenths: what is left is the network, a port below 1024, and the host's own files, to read.
    let most = "--threshold=16";
    analyze(&["security", "--offline=true", "--no-pager", most], &unit);
}

#[test]
fn user_of_the_unit_is_made() {
    let name = "user_of_the_unit_is_made";
    if command::find("systemd-sysusers").is_none() {
        return skip::skipped(name, "there is no systemd-sysusers (Debian: systemd)");
    }
    let systemd = workspace::root().join("deploy/systemd");
    // A machine without users.
    let machine = tempfile::tempdir().unwrap();
    fs::create_dir(machine.path().join("etc")).unwrap();
    let mut sysusers = Command::new("systemd-sysusers");
    sysusers.arg("--dry-run").arg("--root").arg(machine.path());
    sysusers.arg(systemd.join("adit.sysusers"));
    let ended = command::finish(&mut sysusers, "", Duration::from_secs(60)).unwrap();
    assert!(ended.status.success(), "{}", ended.stderr);
    let unit = fs::read_to_string(systemd.join("adit-relay.service")).unwrap();
    for (key, made) in [("User=", "Creating user '"), ("Group=", "Creating group '")] {
        let name = unit
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap();
        let made = format!("{made}{name}'");
        assert!(ended.stderr.contains(&made), "{made}: {}", ended.stderr);
    }
}

/// What it says to standard error.
fn analyze(args: &[&str], unit: &Path) -> String {
    let mut analyze = Command::new("systemd-analyze");
    let ended = command::finish(analyze.args(args).arg(unit), "", Duration::from_secs(60)).unwrap();
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    ended.stderr
}
