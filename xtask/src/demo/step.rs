//! What the demo shows, step by step: a script of `deploy/demo/steps` each, run in a shell that has the job's variables and
//! no others.
//!
//! A script's first comment is its title. `# needs: a real node` leaves it out where pods are simulated, `# only: GitLab` where an
//! issuer of ID tokens vouches for jobs, `# ends: the job` where the job is to go on; `# job: other` runs it as the job of another
//! project. Beside the job's programs a script has four words of ours: `refused COMMAND` expects a
//! failure and keeps what was said, `says TEXT` looks for a text in that, `begin FILE COMMAND` leaves a command running with its
//! output in a file and its id in `begun`, `soon COMMAND` waits until a command succeeds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::progress::{self, Tone, line, paint};
use xtask::{command, workspace};

use super::issuer::Whose;
use super::voucher::Vouched;

/// One script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    title: String,
    script: String,
    whose: Whose,
    needs_real_pods: bool,
    needs_gitlab: bool,
    ends_job: bool,
}

impl Step {
    /// All, in the order of their names.
    pub(super) fn all() -> Result<Vec<Self>> {
        let folder = workspace::root().join("deploy/demo/steps");
        let mut files: Vec<_> = fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        files.sort();
        files
            .iter()
            .map(|file| {
                Self::parse(&fs::read_to_string(file)?).with_context(|| file.display().to_string())
            })
            .collect()
    }

    fn parse(text: &str) -> Result<Self> {
        let comments = || text.lines().map_while(|line| line.strip_prefix("# "));
        let title = comments()
            .last()
            .context("a step begins with a comment: its title")?;
        let has = |header| comments().any(|comment| comment == header);
        Ok(Self {
            title: title.to_owned(),
            script: text
                .lines()
                .filter(|line| !line.starts_with('#'))
                .fold(String::new(), |all, line| all + line + "\n"),
            whose: if has("job: other") {
                Whose::Others
            } else {
                Whose::Ours
            },
            needs_real_pods: has("needs: a real node"),
            needs_gitlab: has("only: GitLab"),
            ends_job: has("ends: the job"),
        })
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) fn needs_real_pods(&self) -> bool {
        self.needs_real_pods
    }

    pub(super) fn needs_gitlab(&self) -> bool {
        self.needs_gitlab
    }

    pub(super) fn ends_job(&self) -> bool {
        self.ends_job
    }
}

/// The job's shell.
#[derive(Debug)]
pub(super) struct Shell {
    folder: PathBuf,
    variables: Vec<(String, String)>,
    /// The variable that has the token.
    token_variable: &'static str,
    tokens: [(Whose, String); 2],
}

impl Shell {
    pub(super) fn new(folder: PathBuf, relay: &str, ca: &Path, vouched: &Vouched) -> Result<Self> {
        fs::create_dir_all(folder.join("bin"))?;
        if let Some(kubeconfig) = &vouched.kubeconfig {
            fs::write(folder.join("gitlab.kubeconfig"), kubeconfig)?;
        }
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            folder.join("bin").display()
        );
        let shell = Self {
            folder,
            variables: Vec::new(),
            token_variable: vouched.variable,
            tokens: vouched.tokens.clone(),
        };
        let home = shell.folder.display().to_string();
        let kubeconfig = shell.kubeconfig(Whose::Ours).display().to_string();
        let more = vouched.variables.iter();
        let shell = more.fold(shell, |shell, (name, value)| shell.variable(name, value));
        Ok(shell
            .variable("PATH", &path)
            .variable("HOME", &home)
            .variable("KUBECONFIG", &kubeconfig)
            .variable("ADIT_RELAY_URL", relay)
            .variable("ADIT_RELAY_CA", &ca.to_string_lossy()))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program that the job's image has.
    pub(super) fn program(self, name: &str, file: &Path) -> Result<Self> {
        symlink(file, self.folder.join("bin").join(name))?;
        Ok(self)
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lines that make a person's shell the job's.
    pub(super) fn exports(&self) -> String {
        let shown = ["PATH", "KUBECONFIG"];
        let named = self
            .variables
            .iter()
            .filter(|(name, _)| shown.contains(&name.as_str()));
        named
            .map(|(name, value)| match name.as_str() {
                "PATH" => format!(
                    "    export PATH={}:$PATH",
                    self.folder.join("bin").display()
                ),
                _ => format!("    export {name}={value}"),
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Runs a step, and shows what it says.
    pub(super) fn run(&self, step: &Step) -> Result<()> {
        line(format_args!("\n{}", paint(Tone::Strong, &step.title)));
        if step.whose == Whose::Others {
            self.forge_kubeconfig()?;
        }
        let begin = Instant::now();
        let ended = command::finish(&mut self.command(step), "", STEP_WITHIN)?;
        for said in ended.stderr.lines() {
            line(format_args!("    {}", paint(Tone::Faint, said)));
        }
        let took = progress::took(begin.elapsed());
        if ended.status.success() {
            line(format_args!("    {} {took}", paint(Tone::Good, "ok")));
            return Ok(());
        }
        line(format_args!("    {} {took}", paint(Tone::Bad, "failed")));
        bail!(
            "the step \"{}\" failed ({}): its last command above did not do what the demo expects",
            step.title,
            ended.status,
        )
    }

    /// Commands and what they say go the same way, so that they stand in the order in which they came.
    fn command(&self, step: &Step) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-ec", &format!("{PRELUDE}{}", step.script)]);
        shell.current_dir(&self.folder).env_clear();
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        shell.env("KUBECONFIG", self.kubeconfig(step.whose));
        shell.envs(
            self.tokens
                .iter()
                .filter(|(whose, _)| *whose == step.whose)
                .map(|(_, token)| (self.token_variable, token)),
        );
        shell
    }

    fn kubeconfig(&self, whose: Whose) -> PathBuf {
        self.folder.join(match whose {
            Whose::Ours => "kubeconfig",
            Whose::Others => "kubeconfig-of-another",
        })
    }

    /// What an ill-meaning job would do: our job's file with its own token in it.
    fn forge_kubeconfig(&self) -> Result<()> {
        let token = |wanted| {
            let found = self.tokens.iter().find(|(whose, _)| *whose == wanted);
            found
                .map(|(_, token)| token.as_str())
                .context("both jobs have a token")
        };
        let ours = fs::read_to_string(self.kubeconfig(Whose::Ours))?;
        let forged = ours.replace(token(Whose::Ours)?, token(Whose::Others)?);
        fs::write(self.kubeconfig(Whose::Others), forged)?;
        Ok(())
    }
}

/// What they do inside is of no interest: the trace shows what a job would type. `! command` would not do for a refusal: a
/// shell with `-e` goes on after it, whatever the outcome.
const PRELUDE: &str = r#"exec 1>&2
refused() {
    { set +x; } 2>/dev/null
    if "$@" 2>said; then echo 'this should have been refused'; exit 1; fi
    cat said
    set -x
}
says() {
    { set +x; } 2>/dev/null
    grep --quiet --fixed-strings -- "$1" said || { echo 'it does not say that'; exit 1; }
    set -x
}
begin() {
    { set +x; } 2>/dev/null
    output=$1; shift
    "$@" >"$output" & begun=$!
    set -x
}
soon() {
    { set +x; } 2>/dev/null
    until "$@"; do sleep 0.05; done
    set -x
}
PS4='$ '
set -x
"#;
const STEP_WITHIN: Duration = Duration::from_mins(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_steps_have_titles_and_scripts() {
        let steps = Step::all().unwrap();
        assert!(steps.len() > 10);
        for step in &steps {
            assert!(!step.script.trim().is_empty(), "{step:?}");
            assert!(
                !["needs:", "only:", "ends:", "job:"]
                    .iter()
                    .any(|header| step.title.starts_with(header)),
                "{step:?}"
            );
        }
        assert!(steps.iter().any(|step| step.whose == Whose::Others));
        assert!(steps.iter().any(Step::needs_real_pods));
        assert!(steps.iter().any(Step::needs_gitlab));
    }
}
