//! Agents' files at GitLab as a user has them checked: output and exit codes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// What users read about it.
const COMMANDS: &str = include_str!("../../../docs/commands.md");

/// A project with the file of the agent `prod`.
struct Project(TempDir);

impl Project {
    fn with(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(FILE);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        Self(folder)
    }

    /// Runs this in the project.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(arguments)
            .env_clear()
            .current_dir(self.0.path());
        command
    }
}

const FILE: &str = ".gitlab/agents/prod/config.yaml";

const GRANTED: &str = "ci_access:\n  projects:\n  - id: group/app\n    environments: [production]\n    access_as: {ci_job: {}}\n";

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The texts between three backticks in the section of a command, without what follows them in the first line.
fn blocks(heading: &str) -> Vec<&'static str> {
    let (_, section) = COMMANDS.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```").skip(1).step_by(2);
    blocks
        .map(|block| block.split_once('\n').unwrap().1)
        .collect()
}

#[test]
fn documented_examples_print_what_the_documentation_says() {
    let check = blocks("adit config check");
    let project = Project::with(check[1]);
    let binary = Path::new(env!("CARGO_BIN_EXE_adit")).parent().unwrap();
    for example in [check[2]] {
        let end = example.match_indices('\n').map(|(at, _)| at);
        let end = end
            .into_iter()
            .find(|end| !example[..*end].ends_with('\\'))
            .unwrap();
        let (command, expected) = example.split_at(end);
        let command = command.strip_prefix("$ ").unwrap();
        let run = Command::new("/bin/sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .env_clear()
            .env("PATH", binary)
            .current_dir(project.0.path())
            .output()
            .unwrap();
        assert_eq!(stdout(&run), expected[1..], "{command}");
    }
}

#[test]
fn a_file_whose_grants_all_hold_passes() {
    let project = Project::with(GRANTED);
    let checked = project.run(&["config", "check", "--gitlab", FILE]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert!(
        stdout(&checked).contains("without --agent"),
        "{}",
        stdout(&checked)
    );
    let checked = project
        .command(&["config", "check", "--gitlab", FILE])
        .env("CI_PROJECT_PATH", "group/agents")
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert!(
        !stdout(&checked).contains("without --agent"),
        "{}",
        stdout(&checked)
    );
    assert!(
        stdout(&checked).ends_with(": no mistakes\n"),
        "{}",
        stdout(&checked)
    );
}

#[test]
fn a_grant_of_elsewhere_is_refused_for_the_pipelines_project() {
    let project = Project::with(GRANTED);
    let check = |more: &[&str]| {
        let arguments = [&["config", "check", "--gitlab", FILE], more].concat();
        let mut command = project.command(&arguments);
        let ended = command.env("CI_PROJECT_PATH", "other/agents").output();
        ended.unwrap()
    };
    let refused = check(&[]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(
        stdout(&refused).contains(":3:5: refused: ci_access.projects[0]: project group/app"),
        "{}",
        stdout(&refused)
    );
    assert!(
        stderr(&refused).contains("would drop 1 of 1 grants"),
        "{}",
        stderr(&refused)
    );
    assert!(check(&["--instance-authorization"]).status.success());
    assert!(check(&["--agent", "group/agents:prod"]).status.success());
}

#[test]
fn every_mistake_is_told_with_line_and_column() {
    let project = Project::with("ci_access:\n  projects:\n  - id: /a\n    access_as: {root: {}}\n");
    let ended = project.run(&["config", "check", "--gitlab", FILE]);
    assert_eq!(ended.status.code(), Some(64));
    let told = stderr(&ended);
    assert!(
        told.starts_with(&format!(
            "error: {FILE} cannot be used\n  because: 3:9: ci_access.projects[0].id: "
        )),
        "{told}"
    );
    assert!(
        told.contains("\n    4:17: ci_access.projects[0].access_as.root: "),
        "{told}"
    );
    assert_eq!(stdout(&ended), "");
}

#[test]
fn a_file_where_gitlab_does_not_look_is_a_mistake() {
    let project = Project::with(GRANTED);
    let agents = project.0.path().join(".gitlab/agents");
    fs::copy(
        agents.join("prod/config.yaml"),
        agents.join("prod/config.yml"),
    )
    .unwrap();
    fs::create_dir(agents.join("Prod")).unwrap();
    fs::copy(
        agents.join("prod/config.yaml"),
        agents.join("Prod/config.yaml"),
    )
    .unwrap();
    for (file, told) in [
        ("prod/config.yml", "reads `config.yaml`"),
        ("Prod/config.yaml", "can be called `Prod`"),
    ] {
        let file = format!(".gitlab/agents/{file}");
        let ended = project.run(&["config", "check", "--gitlab", &file]);
        assert_eq!(ended.status.code(), Some(64), "{file}");
        assert!(stderr(&ended).contains(told), "{}", stderr(&ended));
    }
}

#[test]
fn what_a_relays_file_does_not_know_is_a_wrong_command_line() {
    let ended = Project::with("").run(&["config", "check", "--agent", "a/b:c", FILE]);
    assert_eq!(ended.status.code(), Some(2), "{}", stderr(&ended));
}
