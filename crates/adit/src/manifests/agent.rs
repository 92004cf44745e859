//! `adit manifests agent`: an agent, and what the API server lets it do for others.
//!
//! Called by [`super::run`]. Invariant: no form lets the agent act for `system:masters` or as a service account, nor by itself but for
//! Flux.

mod access;
mod flux;
mod workload;

use std::path::PathBuf;

use adit_authority::token::{self, TokenHash};
use adit_process::Exit;
use anyhow::anyhow;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use super::document::Place;
use super::names;
use super::rule::{self, Rule};
use crate::cli::ca_file;
use crate::cluster_version::Version;
use crate::failure::{Ends, Failure};
use crate::input::read_text;
use crate::token::of_agent;

/// Print an agent's manifests: namespace, account, rights, token, pods
#[derive(Debug, Args)]
#[command(after_help = "\
Without --flux the agent can do nothing by itself. What it may do for a job is what is allowed here *and* to the job's own \
groups. A rule is VERBS:RESOURCES, where `*` stands for all:

  get,list,watch:pods,pods/log   get,create:pods/exec   create,patch:deployments.apps

Examples:
  adit manifests agent --relay https://relay.example.com --namespace shop \\
    --image registry.example.com/adit:0.1.0 | kubectl apply -f -
  adit manifests agent --relay https://relay.example.com --token-file agent.token \\
    --namespace flux-system --allow create,delete:secrets --read-everywhere > agent.yaml
  adit manifests agent --relay https://relay.example.com --kubernetes 1.35 \\
    --group gitlab:ci_job --group gitlab:project:150 > agent.yaml")]
pub(crate) struct AgentArgs {
    /// The relay that it dials
    #[arg(long, value_name = "URL", env = "ADIT_RELAY_URL")]
    relay: String,
    /// Believe this CA for the relay instead of the system's (PEM)
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CA", value_parser = ca_file("ADIT_RELAY_CA"))]
    ca: Option<PathBuf>,
    /// The file with the agent's token [default: a new token]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A namespace, which exists, in which it may act for others
    #[arg(long = "namespace", short, value_name = "NAME", value_parser = names::label, help_heading = RIGHTS)]
    namespaces: Vec<String>,
    /// What it may do there [default: *:*]
    #[arg(long, value_name = "VERBS:RESOURCES", requires = "namespaces", help_heading = RIGHTS)]
    allow: Vec<Rule>,
    /// Let it read Kubernetes' own kinds but secrets in the whole cluster
    #[arg(long, help_heading = RIGHTS)]
    read_everywhere: bool,
    /// What else it may do in the whole cluster
    #[arg(long, value_name = "VERBS:RESOURCES", help_heading = RIGHTS)]
    allow_everywhere: Vec<Rule>,
    /// A group that it may act for; with one, name each group of each job [default: all but system:masters]
    #[arg(long = "group", value_name = "NAME", value_parser = group, help_heading = RIGHTS)]
    groups: Vec<String>,
    /// A user that it may act as [default: all but service accounts and, from Kubernetes 1.36 on, nodes]
    #[arg(long = "user", value_name = "NAME", value_parser = user, help_heading = RIGHTS)]
    users: Vec<String>,
    /// An extra that it may set, beside those of GitLab's jobs
    #[arg(long = "extra", value_name = "KEY", value_parser = names::extra_key, help_heading = RIGHTS)]
    extras: Vec<String>,
    /// Let it set a user's uid
    #[arg(long, help_heading = RIGHTS)]
    uids: bool,
    /// The cluster's version. Before 1.36 the API server holds only as whom the agent acts; what and where, its own ceiling alone. Groups
    /// must be named
    #[arg(long, value_name = "VERSION", default_value_t, help_heading = RIGHTS)]
    kubernetes: Version,

    /// Pass pushes to this GitLab's projects on to Flux, with the roles that this needs
    #[arg(long, value_name = "GITLAB-URL", help_heading = FLUX)]
    flux: Option<String>,
    /// A namespace, which exists, with repositories of Flux's [default: flux-system]
    #[arg(long = "flux-namespace", value_name = "NAME", value_parser = names::label, requires = "flux", help_heading = FLUX)]
    flux_namespaces: Vec<String>,

    /// Its image [default: `adit` with this version as tag]
    #[arg(long, value_name = "IMAGE", value_parser = names::image, help_heading = PODS)]
    image: Option<String>,
    /// How many pods, each with a tunnel of its own; 0 for everything but pods
    #[arg(long, value_name = "COUNT", default_value_t = 2, help_heading = PODS)]
    replicas: u32,
    /// What its objects are called, several in one cluster differently
    #[arg(long, value_name = "NAME", value_parser = names::label, default_value = "adit-agent", help_heading = PODS)]
    name: String,
    /// The namespace that is made for it, one of its own: Pod Security `restricted` is enforced there [default: its name]
    #[arg(long, value_name = "NAME", value_parser = names::label, help_heading = PODS)]
    install_namespace: Option<String>,
}

/// The manifests, as YAML.
pub(super) fn print(args: &AgentArgs) -> Result<String, Failure> {
    args.check().ends(Exit::BadConfig)?;
    let token = args.token()?;
    let mut documents = args.access();
    documents.extend(args.flux_roles());
    documents.extend(args.workload(&token)?);
    documents
        .settled(&Place {
            app: "adit-agent",
            name: &args.name,
            namespace: args.home(),
        })
        .to_yaml(&args.comment(&token))
        .ends(Exit::Internal)
}

impl AgentArgs {
    fn check(&self) -> anyhow::Result<()> {
        for (flag, names) in [
            ("--namespace", &self.namespaces),
            ("--flux-namespace", &self.flux_namespaces),
            ("--group", &self.groups),
            ("--user", &self.users),
            ("--extra", &self.extras),
        ] {
            if let Some(name) = names::repeated(names) {
                return Err(anyhow!("{flag} {name} is there twice: leave one out"));
            }
        }
        if let Some(resource) = rule::outside_namespaces(&self.allow) {
            return Err(anyhow!(
                "--allow {resource}: it is in no namespace, so this would never hold: leave it out, or give it in the whole cluster by \
                 --allow-everywhere"
            ));
        }
        let jobs: Vec<_> = self.namespaces.iter().map(String::as_str).collect();
        let repositories = self.with_repositories();
        let there = [
            ("--namespace", jobs.as_slice()),
            ("--flux-namespace", repositories.as_slice()),
        ];
        names::is_own(self.home(), &there)?;
        let is_allowed = !self.namespaces.is_empty()
            || self.read_everywhere
            || !self.allow_everywhere.is_empty();
        if self.kubernetes.constrains_impersonation() {
            if is_allowed {
                return Ok(());
            }
            return Err(anyhow!(
                "say what the agent may do for others: in which namespaces (--namespace), or in the whole cluster \
                 (--read-everywhere, --allow-everywhere)"
            ));
        }
        if self.read_everywhere || !self.allow_everywhere.is_empty() {
            return Err(anyhow!(
                "Kubernetes {} cannot hold what an agent does for others, only as whom: leave out --read-everywhere and \
                 --allow-everywhere; the roles of the jobs' groups decide alone, and what --namespace and --allow put into the agent's \
                 own ceiling",
                self.kubernetes
            ));
        }
        if self.groups.is_empty() {
            return Err(anyhow!(
                "name each group of each job that may come (--group gitlab:ci_job --group gitlab:project:<id> ...): \
                 without names, Kubernetes {} lets the agent act for system:masters",
                self.kubernetes
            ));
        }
        Ok(())
    }

    fn token(&self) -> Result<SecretString, Failure> {
        let Some(file) = &self.token_file else {
            return Ok(token::new());
        };
        let named = format!("{} (--token-file)", file.display());
        of_agent(&read_text(file)?, &named)
    }

    fn home(&self) -> &str {
        self.install_namespace.as_ref().unwrap_or(&self.name)
    }

    fn comment(&self, token: &SecretString) -> String {
        let token = token.expose_secret();
        let who = if token.starts_with(token::GITLAB_PREFIX) {
            "The token is GitLab's: a relay that asks GitLab about agents (authorities.gitlab.api_secret_file) needs nothing more.\n\
             Any other relay"
        } else {
            "The relay"
        };
        format!(
            "An agent for {}. This holds its token: keep it as a secret.\n\
             {who} knows the token by this hash, which goes into its config at `agents[].tokens`:\n\
             {INDENT}{}\n{}",
            self.relay,
            TokenHash::of(token),
            self.unheld(),
        )
    }

    /// What the API server does not hold, where the agent is limited all the same.
    fn unheld(&self) -> String {
        if self.kubernetes.constrains_impersonation() || self.namespaces.is_empty() {
            return String::new();
        }
        format!(
            "\nThe API server of Kubernetes {} does not hold what the agent does for others, nor where: its own ceiling does, by\n\
             namespace, verb and subresource. Of which resources, the roles of the jobs' groups decide alone.\n",
            self.kubernetes
        )
    }
}

/// RBAC cannot stop who is in `system:masters`.
fn group(name: &str) -> Result<String, &'static str> {
    match name {
        "" => Err("a group has a name"),
        "system:masters" => Err("nobody acts for system:masters: RBAC could not stop them"),
        name if name.contains('*') => Err(NO_PATTERN),
        name => Ok(name.to_owned()),
    }
}

/// Service accounts and nodes are no users to RBAC's impersonation, but resources of their own, which no role here has.
fn user(name: &str) -> Result<String, &'static str> {
    if name.is_empty() {
        Err("a user has a name")
    } else if name.contains('*') {
        Err(NO_PATTERN)
    } else if name.starts_with("system:serviceaccount:") || name.starts_with("system:node:") {
        Err("the agent acts as no service account and as no node")
    } else {
        Ok(name.to_owned())
    }
}

const NO_PATTERN: &str = "RBAC takes a `*` here as a letter of the name: name each one";

const RIGHTS: &str = "Rights";
const FLUX: &str = "Flux";
const PODS: &str = "Pods";
const INDENT: &str = "    ";
