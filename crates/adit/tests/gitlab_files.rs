//! Agents' files at GitLab as a user has them checked and explained: output and exit codes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
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

    fn explain(&self, arguments: &[&str]) -> Output {
        let explain = ["access", "explain", FILE, "--agent", "group/agents:prod"];
        self.run(&[&explain, arguments].concat())
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
    let (check, explain) = (blocks("adit config check"), blocks("adit access explain"));
    let project = Project::with(check[1]);
    let binary = Path::new(env!("CARGO_BIN_EXE_adit")).parent().unwrap();
    for example in [check[2], explain[1]] {
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
        stdout(&checked).ends_with(": no grant is refused\n"),
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
            "error: {FILE} cannot be used\n  because: {FILE}:3:9: ci_access.projects[0].id: "
        )),
        "{told}"
    );
    assert!(
        told.contains(&format!(
            "\n    {FILE}:4:17: ci_access.projects[0].access_as.root: "
        )),
        "{told}"
    );
    assert_eq!(stdout(&ended), "");
}

#[test]
fn a_wildcard_that_lets_strangers_in_is_warned_of() {
    let project = Project::with(&GRANTED.replace("[production]", "[review/*, prod*]"));
    let checked = project.run(&["config", "check", "--gitlab", FILE]);
    let told = stderr(&checked);
    assert!(checked.status.success(), "{told}");
    let place = format!("warning: {FILE}:4:30: ci_access.projects[0].environments[1]: ");
    assert!(told.starts_with(&place), "{told}");
    assert!(told.contains("lets `non-prod` in"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn what_is_only_odd_is_a_mistake_to_the_strict() {
    let project = Project::with(&GRANTED.replace("environments", "enviroments"));
    let lenient = project.run(&["config", "check", "--gitlab", FILE]);
    assert!(lenient.status.success(), "{}", stderr(&lenient));
    let strict = project.run(&["config", "check", "--gitlab", "--strict", FILE]);
    assert_eq!(strict.status.code(), Some(64));
    let told = stderr(&strict);
    assert!(told.starts_with("error: "), "{told}");
    assert!(
        told.contains(&format!("{FILE}:4:5: ci_access.projects[0].enviroments: ")),
        "{told}"
    );
    let project = Project::with(GRANTED);
    let strict = project.run(&["config", "check", "--gitlab", "--strict", FILE]);
    assert!(strict.status.success(), "{}", stderr(&strict));
}

#[test]
fn grants_that_adits_agents_refuse_are_told() {
    let check = |text: &str| {
        let project = Project::with(text);
        stdout(&project.run(&[
            "config",
            "check",
            "--gitlab",
            "--agent",
            "group/agents:prod",
            FILE,
        ]))
    };
    let refused = "it refuses, unless its `ceiling.agent` is true";
    // The agent's own project, of which the file says nothing.
    assert!(check(GRANTED).contains(refused));
    let own = "  - id: group/agents\n    access_as: {ci_job: {}}\n";
    let text = check(&format!("{GRANTED}{own}"));
    assert!(!text.contains("as `agent`"), "{text}");
    let text = check(&format!("{GRANTED}{own}  - id: group/shop\n"));
    assert!(text.contains(refused), "{text}");
}

#[test]
fn a_ref_that_nobody_has_said_is_told_with_what_it_means() {
    let project = Project::with(&GRANTED.replace(
        "environments: [production]",
        "protected_branches_only: true",
    ));
    let ended = project.explain(&["--project", "group/app"]);
    assert_eq!(ended.status.code(), Some(77));
    let (text, told) = (stdout(&ended), stderr(&ended));
    assert!(
        text.contains("job of group/app on a ref that --ref does not say (not protected)"),
        "{text}"
    );
    assert!(
        told.contains("it is not known on which this one runs"),
        "{told}"
    );
    assert!(told.contains("do: say it by --ref"), "{told}");
    let ended = project.explain(&["--project", "group/app", "--ref", "main", "--protected"]);
    assert!(ended.status.success(), "{}", stderr(&ended));
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
    let told = stderr(&ended);
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(
        told.contains("`--agent`, ") && told.contains("add `--gitlab`"),
        "{told}"
    );
}

#[test]
fn a_job_that_gets_in_is_shown_as_whom() {
    let project = Project::with(GRANTED);
    let job = [
        "--project",
        "group/app",
        "--environment",
        "production",
        "--json",
    ];
    let ended = project.explain(&job);
    assert!(ended.status.success(), "{}", stderr(&ended));
    let answer: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(answer["allowed"], true);
    assert_eq!(answer["rules"][0]["verdict"], "decides");
    assert_eq!(answer["rules"][0]["line"], 3);
    assert_eq!(answer["rules"][1]["key"], Value::Null);
    let user = &answer["act_as"]["impersonate"];
    assert_eq!(user["username"], "gitlab:ci_job:<job id>");
    let expected = json!([
        "gitlab:ci_job",
        "gitlab:group:<id of group>",
        "gitlab:group_env_tier:<id of group>:production",
        "gitlab:project:<project id>",
        "gitlab:project_env:<project id>:production",
        "gitlab:project_env_tier:<project id>:production",
    ]);
    assert_eq!(user["groups"], expected);
}

#[test]
fn a_job_that_does_not_get_in_ends_with_77_and_the_rule_that_said_so() {
    let project = Project::with(GRANTED);
    let ended = project.explain(&["--project", "group/app", "--environment", "staging"]);
    assert_eq!(ended.status.code(), Some(77));
    assert!(stdout(&ended).contains("ci_access.projects[0]: project group/app, as `ci_job`, in environment production\n           decides\n"), "{}", stdout(&ended));
    assert!(
        stderr(&ended).contains("`staging` is none of them"),
        "{}",
        stderr(&ended)
    );
    let ended = project.explain(&["--project", "group/other", "--json"]);
    assert_eq!(ended.status.code(), Some(77));
    let answer: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(
        (&answer["allowed"], &answer["reason"]),
        (&json!(false), &json!("no_grant"))
    );
    assert!(
        !stderr(&ended).contains("18446744073709551615"),
        "{}",
        stderr(&ended)
    );
    let ended = project.explain(&["--project", "group/app", "--free"]);
    assert!(
        stdout(&ended).contains("takes Premium"),
        "{}",
        stdout(&ended)
    );
}

#[test]
fn an_agent_without_a_file_lets_its_own_project_in() {
    let project = Project::with("");
    let ended = project.explain(&["--project", "Group/Agents"]);
    assert!(ended.status.success(), "{}", stderr(&ended));
    assert!(
        stdout(&ended).contains("as the agent's own service account"),
        "{}",
        stdout(&ended)
    );
}

#[test]
fn a_question_without_an_agent_or_about_a_wrong_file_has_no_answer() {
    let project = Project::with("ci_access: []");
    let ended = project
        .command(&["access", "explain", FILE, "--project", "a/b"])
        .env("CI_PROJECT_PATH", "group/agents")
        .output()
        .unwrap();
    let told = stderr(&ended);
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(
        told.contains("`--agent \"$CI_PROJECT_PATH:<its name>\"`"),
        "{told}"
    );
    let ended = project.explain(&["--project", "a/b"]);
    assert_eq!(ended.status.code(), Some(64), "{}", stderr(&ended));
}
