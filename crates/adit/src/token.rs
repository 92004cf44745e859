//! `adit token`: makes tokens for agents, and the hashes by which a relay knows them.
//!
//! The invariant: a token is printed by `new` only, once, and never taken from the command line,
//! where any process on the machine could read it.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use adit_authority::token::{self, TokenHash};
use adit_process::Exit;
use adit_process::secret_file::is_token;
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use crate::failure::{Ends, Failure};

/// Make tokens for agents, and the hashes that a relay knows them by
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, print it once, and its hash
    #[command(after_help = "\
Examples:
  adit token new
  adit token new --token-file agent.token   only the hash is printed
  kubectl --namespace adit-agent create secret generic adit-agent-token \\
    --from-file=token=agent.token")]
    New(NewArgs),
    /// Print the hash of a token that is read from standard input
    #[command(after_help = "\
Examples:
  adit token hash < agent.token")]
    Hash,
}

/// How to hand a new token over.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// Write the token to this new file, readable by its owner only, instead of printing it
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    token_file: Option<PathBuf>,
    /// Print a JSON object with `token` and `hash`
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::New(args) => {
            let token = token::new();
            let text = announcement(&token, args)?;
            print(&text)
        }
        TokenCommand::Hash => hash(),
    }
}

fn announcement(token: &SecretString, args: &NewArgs) -> Result<String, Failure> {
    let hash = TokenHash::of(token.expose_secret());
    if args.json {
        let pair = serde_json::json!({ "token": token.expose_secret(), "hash": hash.to_string() });
        return Ok(format!("{pair}\n"));
    }
    let shown = if let Some(path) = &args.token_file {
        write_new(path, token)?;
        format!(
            "The agent's token is in {}. Keep it secret.",
            path.display()
        )
    } else {
        format!(
            "The agent's token. It is shown this once; keep it secret.\n\
             Put it into a file for `adit agent --token-file`, or into the agent's Secret:\n\n    {}",
            token.expose_secret(),
        )
    };
    Ok(format!(
        "{shown}\n\nIts hash. Put it into the relay's config file, at the agent's `tokens`:\n\n    tokens:\n      - {hash}\n",
    ))
}

fn write_new(path: &Path, token: &SecretString) -> Result<(), Failure> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| writeln!(file, "{}", token.expose_secret()));
    written.map_err(|error| {
        let is_there = error.kind() == io::ErrorKind::AlreadyExists;
        let what = format!("cannot write the token to {}", path.display());
        let failure = Failure::new(Exit::Failed, anyhow::Error::from(error).context(what));
        if is_there {
            failure.advising("name another file, or remove this one if no agent uses the token in it; its hash is printed by `adit token hash`")
        } else {
            failure
        }
    })
}

fn hash() -> Result<(), Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // A hint; whoever cannot see it is none the worse.
        let _ = writeln!(
            io::stderr(),
            "Paste the token, then press Enter and Ctrl-D."
        );
    }
    let mut text = String::new();
    stdin
        .lock()
        .take(MAX_TOKEN_BYTES)
        .read_to_string(&mut text)
        .context("cannot read a token from standard input")
        .ends(Exit::Failed)?;
    let token = of_agent(&text, "standard input")?;
    print(&format!("{}\n", TokenHash::of(token.expose_secret())))
}

/// The token of an agent that a text from there holds.
pub(crate) fn of_agent(text: &str, from: &str) -> Result<SecretString, Failure> {
    let token = SecretString::from(text.trim());
    if token.expose_secret().is_empty() {
        let error = anyhow!("{from} holds no token");
        let advice = "make one by `adit token new --token-file FILE`";
        return Err(Failure::new(Exit::BadConfig, error).advising(advice));
    }
    token::check_format(token.expose_secret())
        .with_context(|| format!("{from} holds no token"))
        .ends(Exit::BadConfig)?;
    if !is_token(token.expose_secret()) {
        let error = anyhow!(
            "what {from} holds is no token: it must be one line of visible ASCII characters"
        );
        return Err(Failure::new(Exit::BadConfig, error));
    }
    Ok(token)
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("cannot print")
        .ends(Exit::Failed)
}

/// More than any token has; a wrong file is refused before it is read whole.
const MAX_TOKEN_BYTES: u64 = 16 * 1024;
