//! The systemd units and their user are what systemd takes, and the units stay as closed as they are.
#![allow(clippy::unwrap_used, reason = "a test's way to fail")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use xtask::{command, skip, workspace};

#[test]
fn units_are_valid_and_closed() {
    let name = "units_are_valid_and_closed";
    if command::find("systemd-analyze").is_none() {
        return skip::skipped(name, "there is no systemd-analyze (Debian: systemd)");
    }
    let folder = tempfile::tempdir().unwrap();
    // Tenths: what is left is the network and the host's own files, to read, and for the relay a port below 1024.
    for (unit, most) in [("adit-relay", 16), ("adit-agent", 14)] {
        let path = folder.path().join(format!("{unit}.service"));
        // It asks whether the program is there.
        let text =
            of_systemd(&format!("{unit}.service")).replace("/usr/local/bin/adit", "/bin/true");
        // By `RestartPreventExitStatus` it stays down after a wrong config, but not what would look at it before.
        assert!(text.contains("RestartPreventExitStatus=64 70\n"));
        assert!(!text.contains("ExecStartPre="));
        fs::write(&path, text).unwrap();
        // A key that is misspelt is a warning only.
        assert_eq!(analyze(&["verify", "--man=no"], &path), "");
        let most = format!("--threshold={most}");
        analyze(&["security", "--offline=true", "--no-pager", &most], &path);
    }
}

#[test]
fn users_of_the_units_are_made_and_differ() {
    let name = "users_of_the_units_are_made_and_differ";
    if command::find("systemd-sysusers").is_none() {
        return skip::skipped(name, "there is no systemd-sysusers (Debian: systemd)");
    }
    // A machine without users.
    let machine = tempfile::tempdir().unwrap();
    fs::create_dir(machine.path().join("etc")).unwrap();
    let mut sysusers = Command::new("systemd-sysusers");
    sysusers.arg("--dry-run").arg("--root").arg(machine.path());
    sysusers.arg(workspace::root().join("deploy/systemd/adit.sysusers"));
    let ended = command::finish(&mut sysusers, "", Duration::from_secs(60)).unwrap();
    assert!(ended.status.success(), "{}", ended.stderr);
    let units = ["adit-relay.service", "adit-agent.service"].map(of_systemd);
    for (key, made) in [("User=", "Creating user '"), ("Group=", "Creating group '")] {
        let names = units.each_ref().map(|unit| {
            let mut lines = unit.lines();
            lines.find_map(|line| line.strip_prefix(key)).unwrap()
        });
        for name in names {
            let made = format!("{made}{name}'");
            assert!(ended.stderr.contains(&made), "{made}: {}", ended.stderr);
        }
        // Of a machine that has both the relay is public, and the agent has a cluster's credentials.
        let [relay, agent] = names;
        assert_ne!(relay, agent, "{key}");
    }
}

fn of_systemd(file: &str) -> String {
    let path = workspace::root().join("deploy/systemd").join(file);
    fs::read_to_string(path).unwrap()
}

/// What it says to standard error.
fn analyze(args: &[&str], unit: &Path) -> String {
    let mut analyze = Command::new("systemd-analyze");
    let ended = command::finish(analyze.args(args).arg(unit), "", Duration::from_secs(60)).unwrap();
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    ended.stderr
}
