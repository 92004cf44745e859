//! `adit access explain`: a job as it is described, in front of an agent's file.

use std::io::{self, Write};
use std::path::PathBuf;

use adit_authority::{Licence, NotAllowed, Question};
use adit_identity::{Environment, FullPath, GitRef, JobIdentity, Project, Tier, User};
use adit_process::Exit;
use anyhow::{Context, anyhow};
use clap::Args;

use super::{print, unknown};
use crate::agent_file::{self, AT_GITLAB, AgentName, HomeArgs, Oddities};
use crate::failure::{Ends, Failure};

/// Say whether a job may use an agent by the agent's file at GitLab, as whom, and why; the exit code is 77 if it may not
#[derive(Debug, Args)]
#[command(after_help = "\
The file is `.gitlab/agents/<name>/config.yaml`. An agent without one has an empty file: /dev/null.

Example:
  adit access explain .gitlab/agents/prod/config.yaml \\
    --agent group/agents:prod --project group/app --ref main --protected \\
    --environment production")]
pub(crate) struct ExplainArgs {
    /// The agent's file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The job's project
    #[arg(long, value_name = "PATH")]
    project: FullPath,
    /// The branch or tag that the job runs on [default: one that is not known, and not protected]
    #[arg(long = "ref", value_name = "NAME")]
    git_ref: Option<String>,
    /// That branch or tag is protected
    #[arg(long, requires = "git_ref")]
    protected: bool,
    /// The job's environment, with its variables expanded. GitLab must have it already: at a job's first run it has not
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The environment's tier [default: what GitLab guesses from the name]
    #[arg(long, requires = "environment")]
    tier: Option<Tier>,
    /// The job's project is of GitLab's tier Free, which has `access_as: agent` alone
    #[arg(long)]
    free: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    /// The agent, such as `group/agents:prod`; it must be given, since CI_PROJECT_PATH names a project and no agent
    #[arg(long, value_name = "PROJECT:NAME", help_heading = AT_GITLAB)]
    agent: Option<AgentName>,
    #[command(flatten)]
    home: HomeArgs,
}

pub(super) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let Some(agent) = &args.agent else {
        let error = anyhow!(
            "say which agent: `--agent <path of its project>:<its name>`; in its project's pipeline `--agent \"$CI_PROJECT_PATH:<its name>\"`"
        );
        return Err(Failure::new(Exit::Usage, error));
    };
    let question = args.question(agent)?;
    let file = agent_file::read(&args.file, Oddities::Warned)?;
    let explanation = question.explain(&file);
    let text = if args.json {
        print::json(&question, &explanation)
    } else {
        print::text(&question, &explanation)
    };
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("cannot print")
        .ends(Exit::Failed)?;
    match explanation.outcome {
        Ok(_) => Ok(()),
        Err(why) => {
            let told = anyhow!("{}", unknown::named(&why.to_string(), &question.job));
            let told = told.context("the job does not get in");
            let failure = Failure::new(Exit::NotPermitted, told);
            Err(if matches!(why, NotAllowed::RefUnknown { .. }) {
                failure.advising("say it by --ref, and by --protected if it is protected")
            } else {
                failure
            })
        }
    }
}

impl ExplainArgs {
    fn question(&self, agent: &AgentName) -> Result<Question, Failure> {
        Ok(Question {
            job: self.job()?,
            licence: if self.free {
                Licence::Free
            } else {
                Licence::Premium
            },
            home: self.home.home(Some(agent))?,
            agent: unknown::AGENT,
            context: agent.to_string().into(),
            config_project: unknown::CONFIG_PROJECT,
        })
    }

    fn job(&self) -> Result<JobIdentity, Failure> {
        let environment = match &self.environment {
            Some(name) => {
                let tier = self.tier.unwrap_or_else(|| Tier::guessed(name));
                let environment = Environment::named(name, tier, false);
                Some(environment.context("--environment").ends(Exit::Usage)?)
            }
            None => None,
        };
        Ok(JobIdentity {
            issuer: "".into(),
            job: unknown::JOB,
            pipeline: unknown::PIPELINE,
            source: None,
            project: Project {
                id: unknown::PROJECT,
                path: Some(self.project.clone()),
            },
            namespace: None,
            groups: unknown::groups(&self.project),
            user: User {
                id: unknown::USER,
                login: unknown::LOGIN.into(),
            },
            git_ref: self.git_ref.as_ref().map(|name| GitRef {
                name: name.as_str().into(),
                kind: None,
                protected: self.protected,
            }),
            environment,
        })
    }
}
