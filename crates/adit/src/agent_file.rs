//! Reads an agent's file at GitLab, and learns from flags and a pipeline's variables what the file itself does not say. Called by the
//! commands that take one.

use std::env;
use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use adit_authority::agent_file::Findings;
use adit_authority::{AgentFile, Home};
use adit_identity::{FullPath, Label};
use adit_process::Exit;
use anyhow::{Context, anyhow};
use clap::Args;

use crate::failure::{Ends, Failure};
use crate::file_kind::FileKind;
use crate::input::read_text;
use crate::terminal::warn;

/// What becomes of what is only odd, such as a key that GitLab does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddities {
    /// It is told on standard error.
    Warned,
    /// It is a mistake.
    Refused,
}

/// The file, if there is no mistake in it.
pub(crate) fn read(path: &Path, oddities: Oddities) -> Result<AgentFile, Failure> {
    let mut findings = Findings::default();
    let text = read_text(path)?;
    if let Some(kind) = FileKind::of(&text).filter(|kind| *kind != FileKind::AtGitLab) {
        // GitLab would pass over all of it, and nothing in it would be a mistake.
        let error = anyhow!("it is no agent's file at GitLab");
        let error = error.context(format!("{} cannot be used", path.display()));
        return Err(Failure::new(Exit::BadConfig, error).advising(kind.advice()));
    }
    let file = AgentFile::read(&text, &mut findings);
    let shown = path.display();
    let misplaced = misplaced(path);
    let is_misnamed = path.file_name().is_some_and(|name| name == "config.yml");
    let misnamed = (misplaced.is_none() && is_misnamed).then_some(MISNAMED);
    let mut told = Vec::new();
    told.extend(misplaced.map(|why| format!("{shown}: {why}")));
    match oddities {
        Oddities::Warned => {
            if let Some(misnamed) = misnamed {
                warn(format_args!("{shown}: {misnamed}"));
            }
            for warning in &findings.warnings {
                warn(format_args!("{shown}:{warning}"));
            }
        }
        Oddities::Refused => {
            told.extend(misnamed.map(|why| format!("{shown}: {why}")));
            let warnings = findings.warnings.iter();
            told.extend(warnings.map(|warning| format!("{shown}:{warning}")));
        }
    }
    let mistakes = findings.mistakes.iter();
    told.extend(mistakes.map(|mistake| format!("{shown}:{mistake}")));
    match file {
        Some(file) if told.is_empty() => Ok(file),
        _ => Err(anyhow!("{}", told.join("\n")).context(format!("{shown} cannot be used")))
            .ends(Exit::BadConfig),
    }
}

const MISNAMED: &str = "GitLab reads `config.yaml`, and not `config.yml`";

/// What is wrong with a path that is meant to be one where GitLab looks.
fn misplaced(path: &Path) -> Option<String> {
    // Whoever stands in the folder names the file alone; `-` is none.
    let whole = std::path::absolute(path)
        .ok()
        .filter(|_| path != Path::new("-"))?;
    let names: Vec<_> = whole
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        })
        .collect();
    let [.., ".gitlab", "agents", agent, name] = names.as_slice() else {
        return None;
    };
    if *name != "config.yaml" {
        return Some(format!("GitLab reads `config.yaml`, and not `{name}`"));
    }
    let why = agent.parse::<Label>().err()?;
    Some(format!("no agent can be called `{agent}`: {why}"))
}

/// What GitLab knows of the agent.
#[derive(Debug, Args)]
#[command(next_help_heading = AT_GITLAB)]
pub(crate) struct HomeArgs {
    /// Its project stands in a user's namespace, not in a group
    #[arg(long)]
    personal: bool,
    /// GitLab's setting "Enable instance level authorization" is on
    #[arg(long)]
    instance_authorization: bool,
}

/// Above the flags of [`HomeArgs`], and above the agent's name, which not every command needs.
pub(crate) const AT_GITLAB: &str = "The agent at GitLab";

impl HomeArgs {
    /// Whether anything was said.
    pub(crate) fn is_given(&self) -> bool {
        self.personal || self.instance_authorization
    }

    /// Of that agent, else of any that the pipeline's project has.
    pub(crate) fn home(&self, agent: Option<&AgentName>) -> Result<Home, Failure> {
        let project = match agent {
            Some(agent) => Some(agent.project.clone()),
            None => project_of_the_pipeline()?,
        };
        Ok(Home {
            project,
            is_personal: self.personal,
            has_instance_authorization: self.instance_authorization,
        })
    }
}

/// In a pipeline, the file is of the project whose pipeline it is.
fn project_of_the_pipeline() -> Result<Option<FullPath>, Failure> {
    let named = env::var("CI_PROJECT_PATH").unwrap_or_default();
    if named.is_empty() {
        return Ok(None);
    }
    named
        .parse()
        .map(Some)
        .context("CI_PROJECT_PATH names no project")
        .ends(Exit::BadConfig)
}

/// `<project>:<name>`, as its context is called.
#[derive(Clone, Debug)]
pub(crate) struct AgentName {
    pub(crate) project: FullPath,
    name: Label,
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.project, self.name)
    }
}

impl FromStr for AgentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (project, name) = text
            .split_once(':')
            .ok_or("write <path of its project>:<its name>")?;
        let project = FullPath::of_project(project);
        let name = name.parse::<Label>();
        Ok(Self {
            project: project.map_err(|why| format!("its project: {why}"))?,
            name: name.map_err(|why| format!("its name: {why}"))?,
        })
    }
}
