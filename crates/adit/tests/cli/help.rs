//! What the binary says of itself: help, exit codes, completions, the manual.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

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
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = adit(&["completions", shell]).output().unwrap();
        assert!(script.status.success());
        assert!(stdout(&script).contains("kubeconfig"), "{shell}");
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
    for page in ["adit.1", "adit-relay.1", "adit-manifests-agent.1"] {
        let text = fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH OPTIONS"), "{page}: {text}");
    }
}
