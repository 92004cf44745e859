//! Puts the stages of a relay together from its configuration; nothing listens yet.

use std::{sync::Arc, time::SystemTime};

use adit_authority::{Authoriser, FetchKeys, KeyRefresh, Oidc, Secrets};
use adit_otlp::{Counts, Exporter, Token};
use adit_process::{
    Stop,
    admin::Readiness,
    tls::{ServerTls, ShownTo},
};
use adit_tunnel::Budget;
use prometheus_client::registry::Registry as MetricsRegistry;

use super::{
    Configured, StartError, Upkeep,
    configured::Parts,
    files::{self, Bundles},
    gitlab_api,
    of_gitlab::OfGitLab,
};
use crate::{
    agents::Agents,
    audit::{Audit, Writer},
    authenticate::{Authenticate, Authorities, Fetch},
    browsers::Browsers,
    config::{Config, Doubts, Pending},
    forward::Forward,
    front_door::{FrontDoor, Places},
    gitlab::Cuts,
    handle::Handler,
    in_flight::InFlight,
    jobs::Jobs,
    lasting::Lasting,
    metrics::{Certificates, Metrics, Scraped},
    registry::Registry,
    route::Route,
    rules::{Current, Rules},
    seldom::Seldom,
    status::{Gate, Status},
};

/// The parts of a relay that its owner needs, and the front door that holds the rest.
pub(super) struct Built {
    pub(super) door: Arc<FrontDoor>,
    pub(super) registry: Arc<Registry>,
    pub(super) in_flight: InFlight,
    pub(super) waiting: InFlight,
    pub(super) stop: Stop,
    pub(super) readiness: Readiness,
    pub(super) metrics: MetricsRegistry,
    pub(super) upkeep: Upkeep,
    pub(super) audit: Option<Writer>,
    pub(super) traces: Option<Exporter>,
    pub(super) rules: Current,
    pub(super) configured: Configured,
    pub(super) gitlab_api: Option<gitlab_api::Unopened>,
    pub(super) admin_tls: Option<ServerTls>,
    /// What operators see, beside metrics.
    pub(super) status: axum::Router,
}

impl Built {
    pub(super) fn new(config: Config, shards: usize) -> Result<Self, StartError> {
        let mut registered = MetricsRegistry::default();
        adit_process::metrics::register(&mut registered, env!("CARGO_PKG_VERSION"));
        let metrics = Metrics::register(&mut registered);
        let doubts = Doubts::default();
        doubts.tell(&config);
        let mut upkeep = Upkeep::new(&metrics);
        upkeep.spawn(metrics.remember_refusals());
        upkeep.spawn(metrics.remember_history());
        let started = config.front_door.clone();
        let tls = files::certificate(&started)?;
        let admin_tls = files::admin_certificate(&config.admin)?;
        let gitlab_api_tls = config.gitlab_api.as_ref();
        let gitlab_api_tls = gitlab_api_tls.map(files::gitlab_api_certificate);
        let gitlab_api_tls = gitlab_api_tls.transpose()?.flatten();
        let mut certificates = Certificates::default();
        for (port, to, tls) in [
            ("public", ShownTo::Agents, &tls),
            ("admin", ShownTo::Operators, &admin_tls),
            ("gitlab_api", ShownTo::GitLab, &gitlab_api_tls),
        ] {
            if let Some(tls) = tls {
                certificates.add(port, tls);
                tls.own().shown_to(to);
                upkeep.keep(tls.own().clone());
            }
        }
        let client_roots = files::client_roots(&config, tls.as_ref())?;
        let operators = files::operators_roots(&config.admin, admin_tls.as_ref())?;
        for (port, roots) in [("public", &client_roots), ("admin", &operators)] {
            let Some(roots) = roots else { continue };
            certificates.believe(port, roots);
            upkeep.keep(roots.clone());
        }
        let mut believed = Bundles::default();
        let (oidc, refreshes) = oidc(&config, &mut believed)?;

        let stop = Stop::new();
        let (in_flight, waiting) = (InFlight::default(), InFlight::default());
        let registry = Arc::new(Registry::new());
        let jobs = Arc::new(Jobs::new());
        let cuts = Cuts {
            jobs: Arc::clone(&jobs),
            registry: Arc::clone(&registry),
            metrics: Arc::clone(&metrics),
        };
        let OfGitLab {
            gitlab,
            events,
            gitaly,
            agent_files,
            called,
        } = OfGitLab::new(&config, cuts, &metrics, &mut believed, &mut upkeep)?;
        let to = config.audit.to.clone();
        let token = files::collector_token(config.audit.to.collector())?;
        let token = token.map(|it| upkeep.secret(it, Token::replace));
        let sink = files::audit(&config, token, &mut believed)?;
        let audit = Audit::start(sink, &config.audit, shards, metrics.audit.clone());
        let (audit, writer) = audit.map_err(|source| StartError::Audit {
            to: Box::new(to),
            source,
        })?;
        let collector = config.traces.as_ref().map(|traces| &traces.collector);
        let token = files::collector_token(collector)?;
        let token = token.map(|it| upkeep.secret(it, Token::replace));
        let counts = Counts::register(&mut registered);
        let traces = files::traces(&config, token, counts, &mut believed)?;
        let servers = upkeep.believed(believed);
        let (traces, exporter) = traces.unzip();
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
            doubts: doubts.clone(),
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
            waiting: waiting.clone(),
            audit: audit.clone(),
        };
        Metrics::register_scraped(&mut registered, scraped);
        let readiness = Readiness::new();
        let lasting = Lasting::default();
        let shown = files::admin_token(config.admin.token_file.as_deref())?;
        let shown = shown.map(|it| upkeep.secret(it, Secrets::replace));
        let gate = Gate::new(config.admin.address, shown, operators.clone());
        let status = Status {
            started: SystemTime::now(),
            stop: stop.clone(),
            readiness: readiness.clone(),
            rules: rules.clone(),
            pending,
            doubts,
            secrets: upkeep.secrets(),
            registry: Arc::clone(&registry),
            lasting: lasting.clone(),
            in_flight: in_flight.clone(),
            metrics: Arc::clone(&metrics),
            tls: tls.clone(),
            admin_tls: admin_tls.clone(),
            gitlab_api_tls: gitlab_api_tls.clone(),
            client_roots: client_roots.clone(),
            operators,
            servers,
            gitlab: gitlab.clone(),
            gitaly,
            agent_files: agent_files.clone(),
            audit: audit.clone(),
        };
        let agents = Agents {
            rules: rules.clone(),
            client_roots,
            gitlab: gitlab.clone().filter(|gitlab| gitlab.has_secret()),
            files: agent_files.clone(),
            pushes: called.as_ref().map(|called| Arc::clone(&called.pushes)),
            registry: Arc::clone(&registry),
            stop: stop.clone(),
            metrics: Arc::clone(&metrics),
            denials: Seldom::default(),
        };
        let gitlab_api = match (config.gitlab_api, called) {
            (Some(api), Some(called)) => {
                let parts = gitlab_api::Parts {
                    called,
                    registry: Arc::clone(&registry),
                    rules: rules.clone(),
                    names,
                    stop: stop.clone(),
                    metrics: Arc::clone(&metrics),
                };
                Some(gitlab_api::Unopened::new(&api, gitlab_api_tls, parts))
            }
            (Some(_) | None, _) => None,
        };
        certificates.register(&mut registered);
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
            agent_files,
            route,
            in_flight: in_flight.clone(),
            waiting: waiting.clone(),
            traces,
            metrics,
        };
        let door = Arc::new(FrontDoor {
            rules: rules.clone(),
            tls,
            started,
            places: Places::new(),
            handler: Arc::new(handler),
            agents: Arc::new(agents),
            audit,
            stop: stop.clone(),
            strangers: Seldom::default(),
        });
        Ok(Self {
            door,
            registry,
            in_flight,
            waiting,
            stop,
            readiness,
            metrics: registered,
            upkeep,
            audit: writer,
            traces: exporter,
            rules,
            configured,
            gitlab_api,
            admin_tls,
            status: status.router(gate),
        })
    }
}

fn oidc(config: &Config, believed: &mut Bundles) -> Result<(Oidc, Vec<KeyRefresh>), StartError> {
    let tls = files::issuers_roots(config, believed)?;
    let fetch: Arc<dyn FetchKeys> = Arc::new(Fetch::new(&tls));
    Ok(Oidc::new(config.oidc.clone(), &fetch))
}
