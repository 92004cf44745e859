//! Puts together what a relay has for the authority `gitlab`: what asks it, what reads agents' files, and what hears from it.

use std::sync::Arc;

use adit_authority::{
    GitLab, Secrets,
    gitlab::{AgentFiles, ApiSecret, Gitaly, ReadToken, Sources},
};
use adit_process::secret_file::SecretError;

use super::{
    StartError, Upkeep,
    files::{self, Bundles},
};
use crate::{
    config::Config,
    gitlab::{Client, Cuts, Events, GitalyClient, Pushes, read_files},
    metrics::{Metrics, Stage},
};

/// Each is there if the configuration says so.
pub(super) struct OfGitLab {
    pub(super) gitlab: Option<Arc<GitLab>>,
    pub(super) events: Option<Events>,
    pub(super) gitaly: Option<Arc<Gitaly>>,
    pub(super) agent_files: Option<Arc<AgentFiles>>,
    pub(super) called: Option<Called>,
}

/// For the port that GitLab calls.
pub(super) struct Called {
    /// What GitLab proves itself with.
    pub(super) secret: Arc<ApiSecret>,
    pub(super) gitaly: Arc<Gitaly>,
    pub(super) pushes: Arc<Pushes>,
}

impl OfGitLab {
    pub(super) fn new(
        config: &Config,
        cuts: Cuts,
        metrics: &Arc<Metrics>,
        believed: &mut Bundles,
        upkeep: &mut Upkeep,
    ) -> Result<Self, StartError> {
        let shared = config.gitlab.as_ref().map(files::api_secret).transpose()?;
        let shared = shared.flatten();
        let shared = shared.map(|it| upkeep.secret(it, ApiSecret::replace));
        let gitlab = gitlab(config, shared.clone(), cuts, metrics, believed, upkeep)?;
        let events = events(config, gitlab.as_ref(), metrics, upkeep)?;
        let gitaly = gitaly(config, believed)?;
        let agent_files = agent_files(config, gitlab.as_ref(), gitaly.as_ref(), upkeep)?;
        let called = called(config, shared, gitaly.as_ref(), upkeep)?;
        if let (Some(called), Some(files)) = (&called, &agent_files) {
            upkeep.spawn(read_files(called.pushes.subscribe(), Arc::clone(files)));
        }
        Ok(Self {
            gitlab,
            events,
            gitaly,
            agent_files,
            called,
        })
    }
}

fn gitlab(
    config: &Config,
    secret: Option<Arc<ApiSecret>>,
    cuts: Cuts,
    metrics: &Metrics,
    believed: &mut Bundles,
    upkeep: &mut Upkeep,
) -> Result<Option<Arc<GitLab>>, StartError> {
    let Some(gitlab) = &config.gitlab else {
        return Ok(None);
    };
    let tls = files::gitlab_roots(config, gitlab, believed)?;
    let client = Client::new(&gitlab.url, &tls, metrics.stage(Stage::GitLab).clone());
    let (gitlab, work) = GitLab::new(gitlab, secret, Arc::new(client), Arc::new(cuts));
    upkeep.spawn(work.run());
    Ok(Some(Arc::new(gitlab)))
}

fn events(
    config: &Config,
    gitlab: Option<&Arc<GitLab>>,
    metrics: &Arc<Metrics>,
    upkeep: &mut Upkeep,
) -> Result<Option<Events>, SecretError> {
    let secrets = config.gitlab.as_ref().map(files::webhook_secrets);
    let (Some(secrets), Some(gitlab)) = (secrets.transpose()?.flatten(), gitlab) else {
        return Ok(None);
    };
    Ok(Some(Events {
        secrets: upkeep.secret(secrets, Secrets::replace),
        gitlab: Arc::clone(gitlab),
        metrics: Arc::clone(metrics),
    }))
}

/// Asked for agents' files alone: what they say, and, for GitLab's pages, where there are some.
fn gitaly(config: &Config, believed: &mut Bundles) -> Result<Option<Arc<Gitaly>>, StartError> {
    let asking = config.gitlab.as_ref().filter(|gitlab| {
        let files = gitlab.agent_files.as_ref();
        config.gitlab_api.is_some() || files.is_some_and(|files| files.asks_gitaly)
    });
    let Some(gitlab) = asking else {
        return Ok(None);
    };
    let tls = files::gitaly_roots(config, gitlab, believed)?;
    let client = Arc::new(GitalyClient::new(&tls));
    Ok(Some(Arc::new(Gitaly::new(gitlab.gitaly.clone(), client))))
}

fn agent_files(
    config: &Config,
    gitlab: Option<&Arc<GitLab>>,
    gitaly: Option<&Arc<Gitaly>>,
    upkeep: &mut Upkeep,
) -> Result<Option<Arc<AgentFiles>>, SecretError> {
    let how = config
        .gitlab
        .as_ref()
        .and_then(|gitlab| gitlab.agent_files.clone());
    let (Some(how), Some(gitlab)) = (how, gitlab) else {
        return Ok(None);
    };
    let token = files::read_token(&how)?;
    let sources = Sources {
        gitaly: gitaly.filter(|_| how.asks_gitaly).cloned(),
        token: token.map(|it| upkeep.secret(it, ReadToken::replace)),
    };
    let (files, work) = gitlab.agent_files(&config.agents, sources, how);
    upkeep.spawn(work.run());
    Ok(Some(files))
}

fn called(
    config: &Config,
    shared: Option<Arc<ApiSecret>>,
    gitaly: Option<&Arc<Gitaly>>,
    upkeep: &mut Upkeep,
) -> Result<Option<Called>, SecretError> {
    let (Some(api), Some(gitaly)) = (&config.gitlab_api, gitaly) else {
        return Ok(None);
    };
    let own = files::gitlab_api_secret(api)?;
    let own = own.map(|it| upkeep.secret(it, ApiSecret::replace));
    Ok(Some(Called {
        secret: own.or(shared).expect("the configuration has a secret"),
        gitaly: Arc::clone(gitaly),
        pushes: Arc::default(),
    }))
}
