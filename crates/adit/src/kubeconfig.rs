//! `adit kubeconfig`: in a CI job, turns the job's token into a kubeconfig with a context for
//! each agent that the job may use.
//!
//! It asks the relay what the token may reach ([`ask`]), knows agents by GitLab's names ([`names`]), asks GitLab which of several
//! agents is meant ([`environment`]), builds the file ([`document`]) and puts it where kubectl looks ([`place`]). The invariant: the token ([`token`]) goes to the relay and
//! into a file that only its owner can read.

mod ask;
mod document;
mod environment;
mod mark;
mod names;
mod place;
mod relay_url;
mod token;
pub(crate) mod way;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use adit_identity::{BadLabel, Label};
use adit_process::tls::TrustRoots;
use adit_process::{Exit, chain};
use anyhow::{Context, anyhow};
use clap::Args;
use tokio::runtime::Builder;

pub(crate) use self::ask::{NO_AGENT, Reachable, bearer, listed};
pub(crate) use self::document::Document;
use self::environment::{Environment, Named};
use self::names::{Names, is_unnamed};
pub(crate) use self::place::Destination;
use self::place::PlaceError;
pub(crate) use self::relay_url::{BadRelayUrl, RelayUrl};
pub(crate) use self::token::JobToken;
use self::token::NoToken;
use crate::cli::ca_file;
use crate::failure::{Ends, Failure};

/// In a CI job: write a kubeconfig with a context for each agent the job may use
#[derive(Debug, Args)]
#[command(after_help = "\
The job is known by its ID token, from the variable ADIT_ID_TOKEN or from --id-token-file; else by CI_JOB_TOKEN, \
which every job of GitLab's has, where the relay asks GitLab. A token is never a flag, because other processes can \
read those. The file's mode is 0600.

With one context, that one is current. With more, name one by --context, or choose an agent in the settings of the \
job's environment at GitLab, or in the job with `kubectl config use-context`.

Examples, in .gitlab-ci.yml:
  deploy:
    variables:
      ADIT_RELAY_URL: https://relay.example.com
      KUBECONFIG: $CI_PROJECT_DIR/.adit-kubeconfig
    id_tokens:
      ADIT_ID_TOKEN:
        aud: https://relay.example.com
    script:
      - adit kubeconfig
      - kubectl config get-contexts
      - kubectl --context group/app:demo get pods")]
pub(crate) struct KubeconfigArgs {
    /// The relay
    #[arg(long, value_name = "URL", env = "ADIT_RELAY_URL")]
    relay: RelayUrl,
    /// Read the ID token from this file instead of the variable ADIT_ID_TOKEN
    #[arg(long, value_name = "FILE", env = "ADIT_ID_TOKEN_FILE")]
    id_token_file: Option<PathBuf>,
    /// Believe this CA for the relay instead of the system's, and write it into the kubeconfig (PEM)
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CA", value_parser = ca_file("ADIT_RELAY_CA"))]
    ca: Option<PathBuf>,
    /// Which context is current, such as `group/app:demo` [default: the only one, or that of the environment's agent]
    #[arg(long, value_name = "NAME", env = "KUBE_CONTEXT")]
    context: Option<String>,
    /// The namespace of all contexts [default: what the agent's configuration says]
    #[arg(long, value_name = "NAME", env = "KUBE_NAMESPACE", value_parser = label_or_nothing)]
    namespace: Option<String>,
    /// Where to write, `-` for standard output [default: the variable KUBECONFIG]
    #[arg(long, short, value_name = "FILE")]
    output: Option<OsString>,
    /// Replace a file that has entries which adit did not write
    #[arg(long)]
    force: bool,
}

/// An empty variable is how CI says "not set".
fn label_or_nothing(text: &str) -> Result<String, BadLabel> {
    if text.is_empty() {
        return Ok(String::new());
    }
    text.parse::<Label>().map(|label| label.to_string())
}

pub(crate) fn run(args: KubeconfigArgs) -> Result<(), Failure> {
    let kubeconfig = std::env::var_os("KUBECONFIG");
    let mut names = Names::of_job(kubeconfig.as_deref());
    let destination = Destination::choose(args.output, kubeconfig).and_then(|destination| {
        destination.check(args.force)?;
        Ok(destination)
    });
    let (destination, token) = both(
        destination,
        JobToken::find(args.id_token_file).and_then(JobToken::not_an_agents),
    )?;
    let ca = args
        .ca
        .as_ref()
        .map(|path| {
            let read = fs::read(path);
            read.with_context(|| format!("cannot read the CA file {}", path.display()))
        })
        .transpose()
        .ends(Exit::BadConfig)?;
    let roots = args.ca.clone().map_or(TrustRoots::System, TrustRoots::Only);

    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .ends(Exit::Failed)?;
    // An empty variable is how CI says "not set".
    let wanted = args.context.as_deref().filter(|name| !name.is_empty());
    let is_enough = |agents: &[Reachable]| {
        let mut agents = agents.to_vec();
        names.give(&mut agents);
        wanted.is_none_or(|wanted| !may_yet_be_named(wanted, &agents))
    };
    let mut agents = runtime
        .block_on(ask::reachable(&args.relay, &token.token, &roots, is_enough))
        .map_err(|error| {
            let (exit, advice) = (error.exit(), error.advice());
            let what = format!("{} gave no list of agents for {token}", args.relay);
            let failure = Failure::new(exit, anyhow::Error::from(error).context(what));
            match advice {
                Some(advice) => failure.advising(advice),
                None => failure,
            }
        })?;
    if agents.is_empty() {
        let none = anyhow!("this job may use no agent");
        return Err(Failure::new(Exit::NotPermitted, none).advising(NO_AGENT));
    }

    names.give(&mut agents);
    let mut current = current(wanted, &agents)?.map(str::to_owned);
    if current.is_none()
        && let Some(named) = runtime.block_on(of_environment(&agents))
    {
        names.add(named.id, &named.context);
        names.give(&mut agents);
        current = Some(named.context);
    }
    let document = Document {
        relay: &args.relay,
        ca: ca.as_deref(),
        agents: &agents,
        current: current.as_deref(),
        // An empty variable is how CI says "not set".
        namespace: args.namespace.as_deref().filter(|name| !name.is_empty()),
        token: &token.token,
    };
    let text = document.to_yaml().ends(Exit::Internal)?;
    destination.write(&text).ends(Exit::Failed)?;
    report(&destination, &agents, current.as_deref());
    Ok(())
}

/// What a job may lack, all at once: each try is a run of its pipeline.
fn both(
    destination: Result<Destination, PlaceError>,
    token: Result<JobToken, NoToken>,
) -> Result<(Destination, JobToken), Failure> {
    let (place, token) = match (destination, token) {
        (Ok(destination), Ok(token)) => return Ok((destination, token)),
        (Err(place), Ok(_)) => return Err(Failure::new(Exit::BadConfig, place)),
        (destination, Err(token)) => (destination.err(), token),
    };
    let advice = token.advice();
    let error = match place {
        None => token.into(),
        Some(place) => {
            let two = anyhow!("{}\n{}", chain(&token), chain(&place));
            two.context("a kubeconfig needs a token, and a place")
        }
    };
    Err(Failure::new(Exit::BadConfig, error).advising(advice))
}

/// Whether an agent that is listed by its id may turn out to be the one that is wanted.
fn may_yet_be_named(wanted: &str, agents: &[Reachable]) -> bool {
    let project = |context: &str| context.rsplit_once(':').map(|(path, _)| path.to_owned());
    let wanted_of = project(wanted);
    let may_be = |agent: &Reachable| {
        let of = project(&agent.context);
        is_unnamed(agent) && (of.is_none() || of == wanted_of)
    };
    let is_listed = agents.iter().any(|agent| agent.context == wanted);
    !is_listed && agents.iter().any(may_be)
}

/// The context that is to be current: the one asked for, or the only one.
fn current<'a>(wanted: Option<&str>, agents: &'a [Reachable]) -> Result<Option<&'a str>, Failure> {
    let mut names = agents.iter().map(|agent| agent.context.as_str());
    let Some(wanted) = wanted else {
        return Ok(names.next().filter(|_| names.next().is_none()));
    };
    if let Some(found) = names.clone().find(|name| *name == wanted) {
        return Ok(Some(found));
    }
    let known = names.collect::<Vec<_>>().join(", ");
    let error = anyhow!("{wanted} is not among the contexts that this job may use: {known}");
    let failure = Failure::new(Exit::NotPermitted, error);
    Err(if may_yet_be_named(wanted, agents) {
        failure.advising(UNNAMED)
    } else {
        failure
    })
}

/// Of several, the agent that the job's environment names. Where that cannot be known, none is current, as without an environment; why,
/// is told.
async fn of_environment(agents: &[Reachable]) -> Option<Named> {
    let environment = Environment::of_job()?;
    let name = environment.name();
    let why = match environment.agent().await {
        Ok(None) => return None,
        Ok(Some(named)) => {
            let is_it = |agent: &Reachable| {
                agent.context == named.context || (is_unnamed(agent) && agent.id == named.id)
            };
            if agents.iter().any(is_it) {
                return Some(named);
            }
            let named = named.context;
            format!("the environment {name} names the agent {named}, which this job may not use")
        }
        Err(error) => {
            let error = chain(&error);
            format!("GitLab has not said which agent the environment {name} names: {error}")
        }
    };
    let _ = writeln!(io::stderr(), "warning: no context is current: {why}");
    None
}

/// What to do about an agent that is wanted by a name that the relay does not know.
const UNNAMED: &str = "an agent stands there by its id until it has connected to the relay since that started: see why it has not, with `adit doctor agent` in its cluster; or name it by its id, once you have seen at GitLab that it is the one; or leave KUBECONFIG to GitLab's file, which has the names, and give --output";

fn report(destination: &Destination, agents: &[Reachable], current: Option<&str>) {
    let Destination::File(path) = destination else {
        return;
    };
    let contexts = match agents.len() {
        1 => "1 context".to_owned(),
        count => format!("{count} contexts"),
    };
    let mut text = format!("{} has {contexts}:\n", path.display());
    for agent in agents {
        let mark = if current == Some(agent.context.as_str()) {
            '*'
        } else {
            ' '
        };
        text.push_str(&format!("{mark} {}\n", agent.context));
    }
    // The file is written; that is what counts.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(contexts: &[&str]) -> Vec<Reachable> {
        (1..)
            .zip(contexts)
            .map(|(id, name)| Reachable::new(id, name, None))
            .collect()
    }

    #[test]
    fn only_context_is_current_and_of_two_none() {
        assert_eq!(current(None, &agents(&["g/p:a"])).unwrap(), Some("g/p:a"));
        assert_eq!(current(None, &agents(&["g/p:a", "g/p:b"])).unwrap(), None);
        assert_eq!(
            current(Some("g/p:b"), &agents(&["g/p:a", "g/p:b"])).unwrap(),
            Some("g/p:b")
        );
    }

    #[test]
    fn context_that_the_job_may_not_use_is_refused() {
        assert_eq!(
            current(Some("g/p:c"), &agents(&["g/p:a"]))
                .unwrap_err()
                .exit(),
            Exit::NotPermitted
        );
    }

    /// It may be the one that the job is kept out of, which is not listed.
    #[test]
    fn only_agent_without_a_name_is_not_taken_for_the_one_that_is_wanted() {
        let unnamed = |context| [Reachable::new(42, context, None)];
        let agents = unnamed("g/p:42");
        let refused = current(Some("g/p:prod"), &agents).unwrap_err();
        assert_eq!(refused.exit(), Exit::NotPermitted);
        assert!(may_yet_be_named("g/p:prod", &agents));
        assert!(may_yet_be_named("g/p:prod", &unnamed("42")));
        assert!(!may_yet_be_named("g/p:42", &agents));
        assert!(!may_yet_be_named("g/other:prod", &agents));
        assert!(!may_yet_be_named("g/p:prod", &unnamed("g/p:demo")));
    }
}
