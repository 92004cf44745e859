//! What the binary says of itself: help, exit codes, completions, the manual.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use xtask::{command, skip};

use crate::process::{adit, stderr, stdout};

/// What users read about it.
const COMMANDS: &str = include_str!("../../../../docs/commands.md");

#[test]
fn help_shows_examples_and_exit_codes_and_no_secret() {
    let help = adit(&["--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(stdout(&help).contains("Examples:") && stdout(&help).contains("  64  a config file"));
    let help = adit(&["kubeconfig", "--help"])
        .env("ADIT_ID_TOKEN", "very-secret")
        .output()
        .unwrap();
    assert!(!stdout(&help).contains("very-secret"));
    assert!(!stdout(&help).contains('\x1b'), "coloured off a terminal");
}

#[test]
fn config_file_that_stands_alone_is_told_its_flag() {
    for command in [&["relay"][..], &["agent"], &["doctor", "relay"]] {
        let refused = adit(command).arg("its.yaml").output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let told = stderr(&refused);
        assert!(told.contains("`--config its.yaml`"), "{told}");
    }
    let other = adit(&["relay", "its.toml"]).output().unwrap();
    assert!(!stderr(&other).contains("--config its"));
}

#[test]
fn help_and_documentation_have_the_same_exit_codes() {
    let help = stdout(&adit(&["--help"]).output().unwrap());
    let (_, told) = help.split_once("Exit codes:\n").unwrap();
    let told: Vec<u8> = told
        .lines()
        .map_while(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    let (_, page) = COMMANDS.split_once("### Exit codes\n").unwrap();
    let (page, _) = page.split_once("\n#").unwrap();
    let documented: Vec<u8> = page
        .lines()
        .filter_map(|line| line.split('|').nth(1)?.trim().parse().ok())
        .collect();
    assert_eq!(told, documented);
    assert_eq!(told, [0, 1, 2, 64, 69, 70, 75, 77]);
}

#[test]
fn help_and_documentation_have_the_same_codes_of_the_doctor() {
    let help = stdout(&adit(&["doctor", "--help"]).output().unwrap());
    let (_, told) = help.split_once("Exit codes, ").unwrap();
    let told: Vec<u8> = told
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    let (_, page) = COMMANDS.split_once("## adit doctor\n").unwrap();
    let (page, _) = page.split_once("\n## ").unwrap();
    let documented: Vec<u8> = page
        .lines()
        .filter_map(|line| line.split('|').nth(1)?.trim().parse().ok())
        .collect();
    assert_eq!(told, documented);
    assert_eq!(told, [0, 10, 11, 12, 13, 14, 15]);
}

#[test]
fn wrong_command_line_ends_with_2() {
    assert_eq!(
        adit(&["kubeconfig", "--relay", "http://relay.test"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
    assert_eq!(adit(&["nonsense"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn value_that_a_flag_does_not_take_is_told_with_one_that_it_does() {
    for (line, code, words) in [
        (&["dev", "--listen", "18150"][..], 2, "127.0.0.1:18150"),
        (&["dev", "--project", "app"], 2, "such as group/app"),
        (&["doctor", "job", "--idle", "0s"], 2, "such as 75s"),
        (
            &["doctor", "job", "--relay", "https://relay.test:0"],
            2,
            "has port 0",
        ),
        (
            &[
                "manifests",
                "agent",
                "--relay",
                "https://relay.test:0",
                "-n",
                "a",
            ],
            64,
            "has port 0",
        ),
        (
            &["doctor", "job", "--namespace", "Foo_Bar"],
            2,
            "lower-case",
        ),
        (&["doctor", "agent", "--namespace", ""], 2, "--namespace"),
        (&["man", "/nothing"], 64, "cannot write to /nothing"),
    ] {
        let refused = adit(line).output().unwrap();
        let told = stderr(&refused);
        assert_eq!(refused.status.code(), Some(code), "{line:?}: {told}");
        assert!(told.contains(words), "{line:?}: {told}");
    }
}

/// As the help lists them, those of commands with commands too.
fn commands() -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut ahead = vec![Vec::new()];
    while let Some(of) = ahead.pop() {
        let asked: Vec<_> = of.iter().map(String::as_str).chain(["--help"]).collect();
        let help = stdout(&adit(&asked).output().unwrap());
        let below = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        let below = below.lines().take_while(|line| line.starts_with("  "));
        // What is further in goes on from the line above.
        let names = below.filter_map(|line| line[2..].split(' ').next());
        for name in names.filter(|name| !["", "help"].contains(name)) {
            let command = [of.clone(), vec![name.to_owned()]].concat();
            ahead.push(command.clone());
            found.push(command);
        }
    }
    found
}

#[test]
fn completions_know_the_commands() {
    let commands = commands();
    assert!(
        commands.contains(&vec!["manifests".into(), "agent".into()]),
        "{commands:?}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = adit(&["completions", shell]).output().unwrap();
        assert!(script.status.success());
        let script = stdout(&script);
        for name in commands.iter().flatten() {
            let is_word = |word: &str| word.trim_matches(['"', '\'']) == name;
            let mut words = script.split(|c: char| c.is_whitespace() || "(:)".contains(c));
            assert!(words.any(is_word), "{shell}: {name}");
        }
    }
}

/// The shell reads the script and runs nothing of it.
#[test]
fn completions_are_scripts_of_their_shells() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        if command::find(shell).is_none() {
            skip::left_out("what zsh or fish say of their completions", shell);
            continue;
        }
        let script = folder.path().join(shell);
        let made = adit(&["completions", shell]).output().unwrap();
        fs::write(&script, made.stdout).unwrap();
        let read = Command::new(shell).arg("-n").arg(&script).output().unwrap();
        let said = stderr(&read);
        assert!(read.status.success() && said.is_empty(), "{shell}: {said}");
    }
}

#[test]
fn bash_completes_commands_and_flags() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("adit.bash");
    let made = adit(&["completions", "bash"]).output().unwrap();
    fs::write(&script, made.stdout).unwrap();
    let ask = r#"source "$1"; COMP_WORDS=($2); COMP_CWORD=$3
        _adit adit "${COMP_WORDS[$3]}" "${COMP_WORDS[$3 - 1]}"; echo "${COMPREPLY[*]}""#;
    for (words, at, completed) in [
        ("adit ku", "1", "kubeconfig"),
        ("adit kubeconfig --fo", "2", "--force"),
    ] {
        let answer = Command::new("bash")
            .args(["-c", ask, "bash", script.to_str().unwrap(), words, at])
            .output()
            .unwrap();
        assert_eq!(stdout(&answer).trim(), completed, "{}", stderr(&answer));
    }
}

#[test]
fn manual_has_a_page_for_each_command() {
    let folder = TempDir::new().unwrap();
    let written = adit(&["man"]).arg(folder.path()).output().unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    for command in commands() {
        let page = format!("adit-{}.1", command.join("-"));
        let text = fs::read_to_string(folder.path().join(&page)).unwrap();
        assert!(
            text.contains(".SH OPTIONS") && text.contains(".SH SYNOPSIS"),
            "{page}: {text}"
        );
    }
}

#[test]
fn manual_is_set_without_a_warning() {
    let name = "help::manual_is_set_without_a_warning";
    if command::find("groff").is_none() {
        return skip::skipped(name, "there is no groff (Debian: groff-base)");
    }
    let folder = TempDir::new().unwrap();
    let written = adit(&["man"]).arg(folder.path()).output().unwrap();
    assert!(written.status.success(), "{}", stderr(&written));
    let mut pages = 0;
    for page in fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap().path();
        let set = set(&page);
        let said = stderr(&set);
        assert!(
            set.status.success() && said.is_empty(),
            "{}: {said}",
            page.display()
        );
        assert!(stdout(&set).lines().count() > 20, "{}", page.display());
        pages += 1;
    }
    assert_eq!(pages, 1 + commands().len());
    // It would be told.
    let wrong = folder.path().join("wrong.1");
    fs::write(&wrong, ".TH wrong 1\n.NONSENSE\n").unwrap();
    assert!(stderr(&set(&wrong)).contains("NONSENSE"));
}

/// A page for a terminal, as `man --warnings` has it set.
fn set(page: &Path) -> Output {
    let mut groff = Command::new("groff");
    groff.args(["-ww", "-man", "-Tutf8"]).arg(page);
    groff.output().unwrap()
}
