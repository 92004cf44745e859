//! The command line: which commands there are, and the flags they share. Each command's own flags
//! stand beside the command.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;

use adit_process::logging::Format;
use clap::builder::StyledStr;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    access, agent, completions, config, cut, dev, doctor, kubeconfig, man, manifests, relay,
    status, token,
};

/// Lets CI jobs use kubectl and helm against clusters that only dial out.
#[derive(Debug, Parser)]
#[command(
    name = "adit",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) logging: LoggingArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to log; always to standard error.
#[derive(Debug, Args)]
pub(crate) struct LoggingArgs {
    /// What to log: a level, or levels by module such as `info,adit_relay=debug` [default: `log.filter` of
    /// the config file or `info` for `relay` and `agent`, else `warn`]; empty is as if it were not there
    #[arg(long = "log", value_name = "FILTER", env = "ADIT_LOG")]
    #[arg(global = true, help_heading = "Logging")]
    pub(crate) filter: Option<String>,
    /// Lines for people, or one JSON object per line: `human` or `json`
    #[arg(
        long = "log-format",
        value_name = "FORMAT",
        env = "ADIT_LOG_FORMAT",
        default_value = "human"
    )]
    #[arg(global = true, help_heading = "Logging")]
    pub(crate) format: Format,
}

impl LoggingArgs {
    /// What to log, if anything is said: an empty flag, as templates leave it, says nothing.
    pub(crate) fn given(&self) -> Option<&str> {
        let filter = self.filter.as_deref();
        filter.filter(|filter| !filter.trim().is_empty())
    }
}

/// What the binary can do, in the order `--help` shows.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::DevArgs),
    Relay(relay::RelayArgs),
    Agent(agent::AgentArgs),
    Kubeconfig(kubeconfig::KubeconfigArgs),
    Doctor(doctor::DoctorArgs),
    Status(status::StatusArgs),
    Cut(cut::CutArgs),
    Token(token::TokenArgs),
    Config(config::ConfigArgs),
    Access(access::AccessArgs),
    Manifests(manifests::ManifestsArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Cli {
    /// Of the command line and the environment, of which an empty variable says nothing: so templates leave what is not set. But for
    /// [`ca_file`]'s.
    pub(crate) fn given() -> Result<Self, clap::Error> {
        let matches = without_empty_variables(Self::command()).try_get_matches();
        matches
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(advised)
    }

    /// What to log: as asked, or what suits the command. A server's log is its diary; at a
    /// terminal it would bury what the command prints. The verifier logs each certificate that it
    /// refuses, which is in our own error too.
    pub(crate) fn log_filter(&self) -> &str {
        let default = match self.command {
            Command::Relay(_) | Command::Agent(_) => "info,rustls_platform_verifier=off",
            Command::Dev(_)
            | Command::Kubeconfig(_)
            | Command::Doctor(_)
            | Command::Status(_)
            | Command::Cut(_)
            | Command::Token(_)
            | Command::Config(_)
            | Command::Access(_)
            | Command::Manifests(_)
            | Command::Completions(_)
            | Command::Man(_) => "warn,rustls_platform_verifier=off",
        };
        self.logging.given().unwrap_or(default)
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| {
        let value = env::var(name);
        value.is_ok_and(|value| value.trim().is_empty())
    };
    let is_of_cas = |name: &OsStr| name.as_encoded_bytes().ends_with(b"_CA");
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if is_empty(name) && !is_of_cas(name) => arg.env(None),
        Some(_) | None => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

/// A file of CAs, which this variable names, too. An empty one is a mistake: without it the system's are believed, which are more.
pub(crate) fn ca_file(variable: &'static str) -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(move |file| {
        let is_empty = file.to_str().is_some_and(|file| file.trim().is_empty());
        if is_empty {
            let why = format!(
                "an empty {variable} does not mean the system's CAs: unset it for those, or name a file"
            );
            return Err(why);
        }
        Ok(PathBuf::from(file))
    })
}

/// With a tip where a config file stands alone, `adit relay relay.yaml`, and where a variable can stand for a flag that is missing.
fn advised(mut error: clap::Error) -> clap::Error {
    if let Some(tips) = variables_of_missing(&error) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(file)) = error.get(ContextKind::InvalidArg)
        && [".yaml", ".yml"].iter().any(|end| file.ends_with(end))
    {
        let tip = format!("a config file goes with `--config`: `--config {file}`").into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// The flags that are missing are told as they stand in a usage, and the command in its usage.
fn variables_of_missing(error: &clap::Error) -> Option<Vec<StyledStr>> {
    let Some(ContextValue::Strings(missing)) = error
        .get(ContextKind::InvalidArg)
        .filter(|_| error.kind() == ErrorKind::MissingRequiredArgument)
    else {
        return None;
    };
    let usage = error.get(ContextKind::Usage)?.to_string();
    let mut root = Cli::command();
    // Before that, no argument can be told.
    root.build();
    let command = usage.split_whitespace().fold(&root, |command, word| {
        command.find_subcommand(word).unwrap_or(command)
    });
    let is_missing = |arg: &&clap::Arg| missing.contains(&arg.to_string());
    let tips = command
        .get_arguments()
        .filter(is_missing)
        .filter_map(|arg| {
            let variable = arg.get_env()?.to_str()?;
            Some(format!("the variable {variable} can say it, too").into())
        });
    Some(tips.collect())
}

const AFTER_HELP: &str = "\
Examples:
  adit dev                                 try it with the cluster you are logged in to
  adit token new --token-file agent.token  make a token for an agent
  adit relay --config relay.yaml           run a relay
  adit agent --relay https://relay.example.com --token-file agent.token
  adit kubeconfig --output kubeconfig      in a CI job: a context for each agent it may use
  adit doctor job                          in a CI job: which hop to the API server is broken

Exit codes:
   0  done, or stopped as asked
   1  it could not be done
   2  the command line is wrong
  64  a config file or value is wrong: starting again will not help
  69  a peer that is needed cannot be reached
  70  a defect in adit
  75  it may work in a moment
  77  a credential was refused";
