//! Puts the stages of a relay together from its configuration; nothing listens yet.

use std::{sync::Arc, time::SystemTime};

use adit_authority::{
    Authoriser, FetchKeys, GitLab, KeyRefresh, Oidc, Secrets,
    gitlab::{AgentFiles, ApiSecret, Gitaly, ReadToken, Sources},
};
use adit_process::{Stop, admin::Readiness};
use adit_tunnel::Budget;
use prometheus_client::registry::Registry as MetricsRegistry;

use super::{Configured, StartError, Upkeep, configured::Parts, files, gitlab_api};
use crate::{
    agents::Agents,
    audit::{Audit, Writer},
    authenticate::{Authenticate, Authorities, Fetch},
    browsers::Browsers,
    config::{Config, Pending},
    forward::Forward,
    front_door::{FrontDoor, Places},
    gitlab::{Client, Cuts, Events, GitalyClient, Pushes, read_files},
    handle::Handler,
    in_flight::InFlight,
    jobs::Jobs,
    lasting::Lasting,
    metrics::{Metrics, Scraped, Stage},
    registry::Registry,
    route::Route,
    rules::{Current, Rules},
    secret_file::SecretError,
    seldom::Seldom,
    status::{Gate, Status},
};

/// The parts of a relay that its owner needs, and the front door that holds the rest.
pub(super) struct Built {
    pub(super) door: Arc<FrontDoor>,
    pub(super) registry: Arc<Registry>,
    pub(super) in_flight: InFlight,
    pub(super) stop: Stop,
    pub(super) readiness: Readiness,
    pub(super) metrics: MetricsRegistry,
    pub(super) upkeep: Upkeep,
    pub(super) audit: Option<Writer>,
    pub(super) rules: Current,
    pub(super) configured: Configured,
    pub(super) gitlab_api: Option<gitlab_api::Unopened>,
    /// What operators see, beside metrics.
    pub(super) status: axum::Router,
}

impl Built {
    pub(super) fn new(config: Config, shards: usize) -> Result<Self, StartError> {
        let mut registered = MetricsRegistry::default();
        adit_process::metrics::register(&mut registered, env!("CARGO_PKG_VERSION"));
        let metrics = Metrics::register(&mut registered);
        let mut upkeep = Upkeep::new(metrics.secret_reloads.clone());
        upkeep.spawn(metrics.remember_refusals());
        upkeep.spawn(metrics.remember_history());
        let tls = files::certificate(&config.front_door)?;
        if let Some(tls) = &tls {
            tls.register(&mut registered);
            upkeep.keep(tls.clone());
        }
        let (oidc, refreshes) = oidc(&config)?;

        let stop = Stop::new();
        let in_flight = InFlight::default();
        let registry = Arc::new(Registry::new());
        let jobs = Arc::new(Jobs::new());
        let cuts = Cuts {
            jobs: Arc::clone(&jobs),
            registry: Arc::clone(&registry),
            metrics: Arc::clone(&metrics),
        };
        let shared = config.gitlab.as_ref().map(files::api_secret).transpose()?;
        let shared = shared.flatten();
        let shared = shared.map(|it| upkeep.secret(it, ApiSecret::replace));
        let gitlab = gitlab(&config, shared.clone(), cuts, &metrics, &mut upkeep)?;
        let events = events(&config, gitlab.as_ref(), &metrics, &mut upkeep)?;
        let gitaly = gitaly(&config)?;
        let agent_files = agent_files(&config, gitlab.as_ref(), gitaly.as_ref(), &mut upkeep)?;
        let pushes = config.gitlab_api.as_ref().map(|_| Arc::<Pushes>::default());
        if let (Some(pushes), Some(files)) = (&pushes, &agent_files) {
            upkeep.spawn(read_files(pushes.subscribe(), Arc::clone(files)));
        }
        let to = config.audit.to.clone();
        let audit = Audit::start(config.audit.clone(), shards, metrics.audit.clone());
        let (audit, writer) = audit.map_err(|source| StartError::Audit { to, source })?;
        let names = gitlab
            .as_ref()
            .map(|gitlab| Arc::clone(gitlab.agent_names()))
            .unwrap_or_default();
        let authoriser = Authoriser::new(config.agents.clone(), Arc::clone(&names));
        let budget = Budget::new(config.tunnel.max_buffered_bytes_in_all);
        let rules = Rules::new(&config, oidc, authoriser, Arc::clone(&budget));
        let (rules, pending) = (Current::new(rules), Pending::default());
        let configured = Configured::new(Parts {
            started: config.clone(),
            rules: rules.clone(),
            pending: pending.clone(),
            refreshes,
            jobs: Arc::clone(&jobs),
            registry: Arc::clone(&registry),
            files: agent_files.clone(),
            audit: audit.clone(),
            metrics: Arc::clone(&metrics),
        });
        let scraped = Scraped {
            rules: rules.clone(),
            pending: pending.clone(),
            registry: Arc::clone(&registry),
            budget,
            gitlab: gitlab.clone(),
            gitaly: gitaly.clone(),
            agent_files: agent_files.clone(),
            in_flight: in_flight.clone(),
            audit: audit.clone(),
        };
        Metrics::register_scraped(&mut registered, scraped);
        let readiness = Readiness::new();
        let lasting = Lasting::default();
        let shown = files::admin_token(config.admin_token_file.as_deref())?;
        let shown = shown.map(|it| upkeep.secret(it, Secrets::replace));
        let gate = Gate::new(config.admin, shown);
        let status = Status {
            started: SystemTime::now(),
            stop: stop.clone(),
            readiness: readiness.clone(),
            rules: rules.clone(),
            pending,
            registry: Arc::clone(&registry),
            lasting: lasting.clone(),
            in_flight: in_flight.clone(),
            metrics: Arc::clone(&metrics),
            tls: tls.clone(),
            gitlab: gitlab.clone(),
            audit: audit.clone(),
        };
        let agents = Agents {
            rules: rules.clone(),
            gitlab: gitlab.clone().filter(|gitlab| gitlab.has_secret()),
            files: agent_files,
            pushes: pushes.clone(),
            registry: Arc::clone(&registry),
            stop: stop.clone(),
            metrics: Arc::clone(&metrics),
            denials: Seldom::default(),
        };
        let gitlab_api = match (config.gitlab_api, pushes, gitaly) {
            (Some(api), Some(pushes), Some(gitaly)) => {
                let own = files::gitlab_api_secret(&api)?;
                let own = own.map(|it| upkeep.secret(it, ApiSecret::replace));
                let parts = gitlab_api::Parts {
                    secret: own.or(shared).expect("the configuration has a secret"),
                    registry: Arc::clone(&registry),
                    rules: rules.clone(),
                    names,
                    pushes,
                    gitaly,
                    stop: stop.clone(),
                    metrics: Arc::clone(&metrics),
                };
                Some(gitlab_api::Unopened::new(api, parts, &mut upkeep)?)
            }
            (Some(_) | None, _, _) => None,
        };
        let route = Route::new(Arc::clone(&registry), stop.clone(), Arc::clone(&metrics));
        let route = Arc::new(route);
        let browsers = config.gitlab.and_then(|gitlab| gitlab.browsers);
        let browsers = browsers.map(|browsers| {
            Browsers::new(browsers.allowed_origins, browsers.extra_response_headers)
        });
        let handler = Handler {
            authenticate: Authenticate::new(
                rules.clone(),
                Authorities {
                    gitlab,
                    takes_sessions: browsers.is_some(),
                },
                jobs,
                Arc::clone(&metrics),
            ),
            forward: Forward::new(
                rules.clone(),
                Arc::clone(&route),
                lasting,
                Arc::clone(&metrics),
            ),
            browsers,
            events,
            route,
            in_flight: in_flight.clone(),
            metrics,
        };
        let door = Arc::new(FrontDoor {
            rules: rules.clone(),
            tls,
            places: Places::new(),
            handler: Arc::new(handler),
            agents: Arc::new(agents),
            audit,
            stop: stop.clone(),
        });
        Ok(Self {
            door,
            registry,
            in_flight,
            stop,
            readiness,
            metrics: registered,
            upkeep,
            audit: writer,
            rules,
            configured,
            gitlab_api,
            status: status.router(gate),
        })
    }
}

fn oidc(config: &Config) -> Result<(Oidc, Vec<KeyRefresh>), StartError> {
    let tls = files::issuers_roots(config)?;
    let fetch: Arc<dyn FetchKeys> = Arc::new(Fetch::new(&tls));
    Ok(Oidc::new(config.oidc.clone(), &fetch))
}

fn gitlab(
    config: &Config,
    secret: Option<Arc<ApiSecret>>,
    cuts: Cuts,
    metrics: &Metrics,
    upkeep: &mut Upkeep,
) -> Result<Option<Arc<GitLab>>, StartError> {
    let Some(gitlab) = &config.gitlab else {
        return Ok(None);
    };
    let tls = files::gitlab_roots(config, gitlab)?;
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
fn gitaly(config: &Config) -> Result<Option<Arc<Gitaly>>, StartError> {
    let asking = config.gitlab.as_ref().filter(|gitlab| {
        let files = gitlab.agent_files.as_ref();
        config.gitlab_api.is_some() || files.is_some_and(|files| files.asks_gitaly)
    });
    let Some(gitlab) = asking else {
        return Ok(None);
    };
    let tls = files::gitaly_roots(config, gitlab)?;
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
