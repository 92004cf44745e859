//! A relay, and an agent, on a plain machine: what the documents say to install is run with another root, where the unit finds all that it
//! asks for.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use adit_tests::documents::commands_run_by;
use tempfile::TempDir;

use super::{root, section};

/// A machine, and a checkout on it.
struct Machine {
    root: TempDir,
    checkout: TempDir,
    unit: String,
}

impl Machine {
    fn of(unit: &str) -> Self {
        let machine = Self {
            root: tempfile::tempdir().unwrap(),
            checkout: tempfile::tempdir().unwrap(),
            unit: fs::read_to_string(root().join("deploy/systemd").join(unit)).unwrap(),
        };
        // As every machine has them.
        for folder in ["etc", "usr/local/bin"] {
            fs::create_dir_all(machine.root.path().join(folder)).unwrap();
        }
        let checkout = machine.checkout.path();
        let deploy = root().canonicalize().unwrap().join("deploy");
        symlink(deploy, checkout.join("deploy")).unwrap();
        fs::create_dir_all(checkout.join("target/release")).unwrap();
        for file in [
            "target/release/adit",
            "relay.yaml",
            "relay.crt",
            "relay.key",
            "admin-token",
            "agent.yaml",
            "agent.token",
            "kubeconfig",
        ] {
            fs::write(checkout.join(file), file).unwrap();
        }
        machine
    }

    fn does(&self, command: &str) {
        for part in command.split(" && ") {
            let words: Vec<_> = part.split(' ').collect();
            match words[..] {
                ["install", ..] => self.installs(&words[1..]),
                ["cp", from, to] => drop(fs::copy(self.at(from), self.at(to)).unwrap()),
                // Of a machine that runs: it has read the user's file and the unit before.
                ["systemd-sysusers"] => assert!(self.has("/etc/sysusers.d/adit.conf")),
                ["systemctl", "daemon-reload"] => {}
                ["systemctl", "enable", "--now", unit] | ["systemctl", "restart", unit] => {
                    assert!(self.has(&format!("/etc/systemd/system/{unit}.service")));
                }
                // The new one, before anything is changed.
                ["target/release/adit", "config", "check", file] => {
                    assert!(self.has(file) && !self.has("/usr/local/bin/adit.old"));
                }
                // The unit does it, too, when it is told to read again.
                ["adit", ..] => assert!(
                    self.unit
                        .contains(&format!("ExecReload=/usr/local/bin/{part}\n")),
                    "{part}"
                ),
                _ => panic!("this is not known here: {part}"),
            }
        }
    }

    /// But for the owners, who are not on this machine.
    fn installs(&self, words: &[&str]) {
        let (to, words) = words.split_last().unwrap();
        let to = self.at(to);
        let is_owner = |word: &&str| word.starts_with("--owner=") || word.starts_with("--group=");
        let (owners, words): (Vec<&str>, Vec<_>) = words.iter().copied().partition(is_owner);
        for owner in owners {
            let (_, name) = owner.split_once('=').unwrap();
            assert!(name == "root" || self.unit.contains(&format!("\nGroup={name}\n")));
        }
        let words = words.iter().map(|word| {
            let is_of_the_machine = word.starts_with('/');
            if is_of_the_machine {
                self.at(word)
            } else {
                word.into()
            }
        });
        let mut install = Command::new("install");
        install
            .args(words)
            .arg(&to)
            .current_dir(self.checkout.path());
        let said = install.output().unwrap();
        assert!(said.status.success(), "{to:?}: {said:?}");
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.strip_prefix('/').unwrap())
    }

    /// What a document says is done, where it is said to be run by that test.
    fn does_all(&self, document: &str, test: &str) {
        for command in commands_run_by(document, test) {
            self.does(&command);
        }
    }

    fn has(&self, path: &str) -> bool {
        self.at(path).is_file()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.at(path)).unwrap().permissions().mode() & 0o777
    }
}

/// What a line of the unit names below `/usr/local` and `/etc`.
fn named(unit: &str) -> Vec<&str> {
    let lines = unit.lines().filter(|line| line.starts_with("Exec"));
    let words = lines.flat_map(|line| line.split(['=', ' ']));
    let own = |word: &&str| word.starts_with("/usr/local/") || word.starts_with("/etc/");
    words.filter(own).collect()
}

#[test]
fn documented_installation_is_where_the_unit_looks_for_it() {
    let test = "documented_installation_is_where_the_unit_looks_for_it";
    let machine = Machine::of("adit-relay.service");
    for document in ["docs/install.md", "docs/status.md", "docs/upgrade.md"] {
        machine.does_all(document, test);
    }
    let named = named(&machine.unit);
    assert!(named.contains(&"/usr/local/bin/adit") && named.contains(&"/etc/adit/relay.yaml"));
    for file in named {
        assert!(machine.has(file), "{file}");
    }
    assert_eq!(machine.mode("/usr/local/bin/adit"), 0o755);
    // Where the example of a relay's file has them.
    let example = fs::read_to_string(root().join("deploy/relay.example.yaml")).unwrap();
    for (key, mode) in [
        ("certificate", 0o644),
        ("key", 0o640),
        ("# token_file", 0o640),
    ] {
        let prefix = format!("  {key}: ");
        let file = example.lines().find_map(|line| line.strip_prefix(&prefix));
        let file = file.unwrap().split(' ').next().unwrap();
        assert!(Path::new(file).is_absolute() && machine.has(file), "{file}");
        assert_eq!(machine.mode(file), mode, "{file}");
    }
}

#[test]
fn documented_way_back_brings_the_old_binary() {
    let test = "documented_way_back_brings_the_old_binary";
    let installation = "documented_installation_is_where_the_unit_looks_for_it";
    let machine = Machine::of("adit-relay.service");
    let installed = || fs::read_to_string(machine.at("/usr/local/bin/adit")).unwrap();
    machine.does_all("docs/install.md", installation);
    let old = installed();
    fs::write(machine.checkout.path().join("target/release/adit"), "new").unwrap();
    machine.does_all("docs/upgrade.md", installation);
    assert_eq!(installed(), "new");
    machine.does_all("docs/upgrade.md", test);
    assert_eq!(installed(), old);
    assert_eq!(machine.mode("/usr/local/bin/adit"), 0o755);
}

/// `installs` sees to it that a unit's files are of its own group.
#[test]
fn relay_and_agent_of_one_machine_do_not_share_their_secrets() {
    let units = ["adit-relay.service", "adit-agent.service"].map(Machine::of);
    for key in ["User=", "Group="] {
        let [relay, agent] = units.each_ref().map(|machine| {
            let mut lines = machine.unit.lines();
            lines.find_map(|line| line.strip_prefix(key)).unwrap()
        });
        assert_ne!(relay, agent, "{key}");
    }
}

#[test]
fn documented_agent_is_where_its_unit_looks_for_it() {
    let test = "documented_agent_is_where_its_unit_looks_for_it";
    let machine = Machine::of("adit-agent.service");
    machine.does_all("docs/agent.md", test);
    let named = named(&machine.unit);
    assert!(named.contains(&"/usr/local/bin/adit") && named.contains(&"/etc/adit/agent.yaml"));
    for file in named {
        assert!(machine.has(file), "{file}");
    }
    // What its file is to name.
    let document = fs::read_to_string(root().join("docs/agent.md")).unwrap();
    let example = section(&document, "## On a machine");
    for (key, file) in [
        ("token_file: ", "/etc/adit/agent.token"),
        ("kubeconfig: ", "/etc/adit/kubeconfig"),
    ] {
        assert!(example.contains(&format!("{key}{file} }}")), "{file}");
        assert_eq!(machine.mode(file), 0o640, "{file}");
    }
}
