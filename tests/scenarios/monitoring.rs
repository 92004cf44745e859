//! Dashboards and alerts before a real Prometheus, which scrapes real relays and agents: every panel shows something, and every alert
//! fires when its fault is made. What alerts count is counted often enough, without one ([`ranges`]).

mod place;
mod ranges;

use std::{collections::BTreeSet, fs};

use adit_tests::{
    AgentBuilder, AuditLog, Caller, GitLab, Prometheus, SOON, TestIssuer, TestRelay, World, agent,
    body,
    caller::{get, request},
    gitlab,
    gitlab::arrange,
    kube, lonely,
    pki::{Made, Pki},
    prometheus, relay, scenario, within,
};
use http::Method;
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use self::place::{Place, cut_off, lower_descriptors};
use crate::{
    documents::{
        alerts::{alerts, rules},
        dashboards::{self, Panel},
    },
    upgrades::SPDY,
};

const PODS: &str = "/api/v1/namespaces/shop/pods";

#[test]
fn every_panel_shows_what_goes_on() {
    let Some(programs) = prometheus::programs("monitoring::every_panel_shows_what_goes_on") else {
        return;
    };
    scenario(async {
        let gitlab = gitlab_of_ours().await;
        let log = AuditLog::default();
        let keys = format!("{}, agent_files: {{}}", trusting(&gitlab));
        let relay = log
            .of(relay())
            .asking(&gitlab, &keys)
            .believing(TestIssuer::over_https().await)
            .with("metrics", "agents", 10);
        let (folder, ca) = (tempfile::tempdir().unwrap(), Pki::new("agents' CA"));
        let relay = relay.with(
            "tunnel",
            "client_ca_file",
            ca.write_ca(folder.path()).display(),
        );
        let certified = |agent: AgentBuilder| agent.certified(&ca, Made::default());
        let mut world = World::with(kube().certified(), relay, certified).await;
        // The table of alerts has something to show.
        let gone = cut_off("staging", &world.relay, &world.kube).await;
        let seen = Prometheus::watching(
            &programs,
            &[
                ("relay", "relay", world.relay.admin()),
                ("prod", "agent", world.agent.admin()),
                ("staging", "gone", gone.admin()),
            ],
            &impatient_rules(),
        )
        .await;
        let lasting = (
            traffic(&world, &gitlab).await,
            troubles(&mut world, &ca).await,
        );
        for choice in dashboards::choices() {
            let jobs = format!("group by (job, instance) ({choice})");
            seen.until("it can be chosen", &jobs, |found| !found.is_empty())
                .await;
        }
        all_are_shown(&seen).await;
        drop((seen, lasting));
        world.kube.let_sink();
        world.kube.until_open(0).await;
        gone.stop().await;
        world.stop().await;
    });
}

/// Something of every kind, with what lasts still running.
async fn traffic(world: &World, gitlab: &GitLab) -> impl Sized + use<> {
    let http2 = world.job.http2().await;
    let created = request(Method::POST, PODS, body::full("0123456789"));
    http2.answer(created).await.echo();
    let watch = http2.send(get(&format!("{PODS}?watch=1"))).await.unwrap();
    let followed = get(&format!("{PODS}/web/log/watch?follow=1"));
    let log = http2.send(followed).await.unwrap();
    let (exec, forward) = (
        upgraded(&world.job, "exec").await,
        upgraded(&world.job, "portforward").await,
    );
    job_of(&world.relay, gitlab).get("/api").await.echo();
    refusals(&world.job, 3).await;
    (http2, watch, log, exec, forward)
}

/// What is a little out of order: bytes that nobody reads on either side, callers that leave, an agent that does, files that change.
async fn troubles(world: &mut World, ca: &Pki) -> impl Sized + use<> {
    let second = agent("foreign").to(&world.relay).serving(&world.kube);
    let second = second.certified(ca, Made::default());
    second.start().await.stop().await;
    let mut stranger = TcpStream::connect(world.relay.address()).await.unwrap();
    stranger.write_all(b"this is no TLS\r\n").await.unwrap();
    let open = world.kube.open();
    let http2 = world.job.http2().await;
    tokio::select! {
        _ = http2.send(get("/never")) => panic!("it has no answer"),
        () = world.kube.until_open(open + 1) => {}
    }
    world.kube.hold_sink();
    let (mut uploads, up) = (JoinSet::new(), world.job.http2().await);
    let upload = request(Method::PUT, "/sink", body::pattern(10_000_000));
    uploads.spawn(async move { up.send(upload).await.is_ok() });
    let unread = http2.send(get("/big/50000000")).await.unwrap();
    world.relay.renew_certificate();
    for file in [world.relay.run_by_file(), world.agent.run_by_file()] {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, format!("{text}# again\n")).unwrap();
    }
    world.relay.reread();
    world.agent.reread();
    (uploads, http2, unread, stranger)
}

async fn upgraded(job: &Caller, subresource: &str) -> impl Sized + use<> {
    let asked = format!("POST {PODS}/web/{subresource}/upgrade");
    let mut connection = job.raw_asking(&asked, SPDY).await;
    within("101", connection.head()).await.unwrap();
    connection.write("hello").await.unwrap();
    within("it back", connection.exactly(5)).await.unwrap();
    connection
}

async fn refusals(job: &Caller, count: usize) {
    let stranger = job.anonymous().http2().await;
    for _ in 0..count {
        assert_eq!(stranger.get("/api").await.refused().status, 401);
    }
}

/// As Grafana would send it, with these jobs chosen.
fn filled_in(query: &str, jobs: &str) -> String {
    let filled = query
        .replace("$job", jobs)
        .replace("$instance", ".+")
        .replace("$__rate_interval", "1m");
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// Asks for every panel's queries until each was shown once: with everything chosen, and with relays alone, which are all that a Prometheus
/// sees where no agent is scraped.
async fn all_are_shown(seen: &Prometheus) {
    let (mut left, mut empty) = (Vec::new(), Vec::new());
    for Panel { what, queries, .. } in dashboards::panels() {
        for (legend, query) in queries {
            let named = format!("{what}, {legend}: {query}");
            let of_all = filled_in(&query, ".+");
            left.push((named.clone(), legend.clone(), of_all));
            let of_relays = filled_in(&query, "relay");
            match needs(&what, &legend) {
                Needs::Relays => left.push((named, legend, of_relays)),
                Needs::Agents => empty.push(of_relays),
                Needs::Either => {}
            }
        }
    }
    let began = tokio::time::Instant::now();
    while !left.is_empty() {
        let mut not_yet = Vec::new();
        for (what, legend, query) in left {
            let moves = !is_still(&what);
            let found = seen.ask(&query).await;
            if !is_shown(&legend, moves, &found) {
                not_yet.push((what, legend, query));
            }
        }
        let is_late = began.elapsed() > SOON;
        assert!(
            !is_late || not_yet.is_empty(),
            "nothing is shown of {not_yet:#?}"
        );
        left = not_yet;
    }
    for query in empty {
        let found = seen.ask(&query).await;
        assert!(found.is_empty(), "it is shown without agents: {query}");
    }
}

/// Whose numbers a query of a panel cannot do without.
enum Needs {
    /// It shows something where no agent is scraped.
    Relays,
    Agents,
    /// It is for agents, and shows what a relay tells, too.
    Either,
}

fn needs(panel: &str, legend: &str) -> Needs {
    let mut listed = AGENTS_ONLY.iter().filter(|(what, _)| *what == panel);
    if panel.starts_with("agent: ") {
        Needs::Either
    } else if listed.any(|(_, legends)| legends.contains(&legend)) {
        Needs::Agents
    } else {
        Needs::Relays
    }
}

/// What is empty where no agent is scraped, by panel and legend. docs/monitoring.md tells of the panels.
const AGENTS_ONLY: [(&str, &[&str]); 10] = [
    ("fleet: Agents cut off", &["replicas"]),
    ("fleet: Agents to API servers", &["{{kind}}"]),
    ("fleet: Answers of API servers", &["{{class}}"]),
    ("fleet: Slowest hundredth by hop", &["API server"]),
    ("fleet: Where the time goes", &["API server"]),
    ("fleet: Agents", &["tunnels", "round trip", "since"]),
    ("fleet: Attempts to connect", &["{{outcome}}"]),
    (
        "capacity: Agents",
        &[
            "requests, {{instance}}",
            "connections, {{instance}}",
            "upgraded, {{instance}}",
            "unread bytes, {{instance}}",
            "answers in one tunnel, {{instance}}",
            "in hand, {{instance}}",
            "read ahead, {{instance}}",
        ],
    ),
    ("capacity: Waits for credit", &["answers, {{instance}}"]),
    ("capacity: Reset for want of room", &["agent, {{instance}}"]),
];

/// Whether it asks for something that nothing here moves.
fn is_still(what: &str) -> bool {
    let of_it = |&word: &&str| what.contains(word);
    STILL.iter().any(|(_, words)| words.iter().any(of_it))
}

/// What may stay 0 here, by a word of it, and why.
const STILL: [(&str, &[&str]); 3] = [
    (
        "nothing breaks, ends, waits for its turn or is refused for a limit: alerts and other scenarios see these move",
        &[
            "Relays without a tunnel",
            "stage=\"audit\"",
            "stage=\"route\"",
            "stage=\"turn\"",
            "too_many_cancels",
            "api_server_unreachable",
            "adit_agent_connection_ends_total",
            "adit_agent_credential_failures_total",
            "adit_agent_tunnel_ends_total",
            "adit_log_lines_lost_total",
            "adit_relay_audit_records_dropped_total",
            "adit_relay_audit_records_rejected_total",
            "adit_relay_audit_records_withheld_total",
            "adit_relay_audit_write_failures_total",
            "adit_relay_connections_full_total",
            "adit_relay_connections_refused_total",
            "adit_relay_exchanges_cut_total",
            "adit_relay_gitlab_ended_total",
            "adit_relay_gitlab_tokens_overdue",
            "adit_relay_heads_refused_total",
            "adit_relay_key_fetch_failures_total",
            "adit_relay_key_fetches_withheld_total",
            "adit_relay_requests_waiting",
            "adit_relay_token_cache_evictions_total",
            "adit_relay_tunnels_refused_total",
            "_tunnel_streams_overloaded_total",
        ],
    ),
    (
        "there is no Flux, no push, no agent's file, and GitLab calls nobody",
        &[
            "adit_agent_flux_",
            "adit_relay_gitaly_",
            "adit_relay_gitlab_agent_file_grants",
            "adit_relay_gitlab_agent_files_unposted",
            "adit_relay_gitlab_api_",
            "adit_relay_gitlab_events_total",
            "adit_relay_push_",
        ],
    ),
    (
        "nothing waits for a restart, secrets and CAs stay, nothing is traced, all agents are listed",
        &[
            "_config_keys_pending",
            "adit_relay_agents_left_out",
            "adit_relay_client_ca_reloads_total",
            "_secret_reloads_total",
            "_server_ca_reloads_total",
            "adit_spans_total",
        ],
    ),
];

/// There is a number, one that is not 0 if something moves it, and every label that the legend names.
fn is_shown(legend: &str, moves: bool, found: &[prometheus::Series]) -> bool {
    let named = legend.split("{{").skip(1);
    let labels: Vec<_> = named.map(|rest| rest.split("}}").next().unwrap()).collect();
    found
        .iter()
        .any(|series| !series.value.is_nan() && (!moves || series.value != 0.0))
        && found
            .iter()
            .all(|series| labels.iter().all(|label| !series.label(label).is_empty()))
}

#[test]
fn every_alert_fires_when_its_fault_is_made() {
    let name = "monitoring::every_alert_fires_when_its_fault_is_made";
    let Some(programs) = prometheus::programs(name) else {
        return;
    };
    // In a process of its own, as it lowers what this process may have open.
    lonely::alone(name, || {
        scenario(async {
            let mut place = Place::new().await;
            let seen = place.watched(&programs).await;
            let mut told = Told::new(&seen);
            // So it was begun, and nothing else is wrong.
            let begun = [
                // The same by its own word, and by the relay's.
                ("AditAgentGone", "foreign"),
                ("AditAgentGone", "3"),
                ("AditReplicaGone", "second"),
                ("AditNoTunnels", "lonely"),
                ("AditNoTunnels", "shared"),
            ];
            told.fire(&begun).await;
            let pairs = begun.map(|(alert, place)| (alert.to_owned(), place.to_owned()));
            assert_eq!(told.fired().await, pairs.into());

            let breaks = [("AditTunnelsBreak", "relay")];
            told.of(&breaks, place.break_tunnels()).await;
            let files = [
                ("AditConfigUnusable", "relay"),
                ("AditConfigUnusable", "prod"),
                ("AditSecretUnusable", "relay"),
                ("AditCertificateEnds", "relay"),
                ("AditAgentCredentials", "staging"),
            ];
            told.of(&files, place.spoil_files()).await;
            let certificate = [("AditCertificateUnusable", "relay")];
            told.of(&certificate, place.spoil_certificate()).await;
            let fails = [("AditApiServerFails", "staging")];
            told.of(&fails, place.lose_api_server()).await;
            told.of(&[("AditGitLabAway", "relay")], place.lose_gitlab())
                .await;
            let keys = [("AditIssuerKeysEnd", "relay")];
            told.of(&keys, async { place.relay.issuer().be_away() })
                .await;
            let full = [
                ("AditConnectionsFull", "lonely"),
                ("AditRefusals", "lonely"),
            ];
            let refused = told.of(&full, place.refuse_all()).await;
            let shared = [("AditConnectionsFull", "shared")];
            let sharers = told.of(&shared, place.share_an_address()).await;
            let lost = [("AditAuditBehind", "relay"), ("AditAuditLost", "relay")];
            let unwritten = told.of(&lost, place.stop_writing_records()).await;
            let unread = [("AditBuffersFull", "relay")];
            let unread = told.of(&unread, place.read_nothing()).await;
            let descriptors = [("AditDescriptorsFull", "relay")];
            told.of(&descriptors, async { lower_descriptors() }).await;

            let all: BTreeSet<_> = alerts().into_iter().map(|(name, ..)| name).collect();
            assert_eq!(told.names, all);
            drop((seen, refused, sharers, unwritten, unread));
            place.stop().await;
        });
    });
}

/// Alerts that were fired, each by its fault.
struct Told<'a> {
    seen: &'a Prometheus,
    names: BTreeSet<String>,
}

impl<'a> Told<'a> {
    const fn new(seen: &'a Prometheus) -> Self {
        Self {
            seen,
            names: BTreeSet::new(),
        }
    }

    /// Makes a fault, by which these alerts fire at these places, and did not before.
    async fn of<T>(&mut self, alerts: &[(&str, &str)], fault: impl Future<Output = T>) -> T {
        let before = self.fired().await;
        for (alert, place) in alerts {
            let pair = ((*alert).to_owned(), (*place).to_owned());
            assert!(!before.contains(&pair), "{alert} fires already");
        }
        let done = fault.await;
        self.fire(alerts).await;
        done
    }

    async fn fire(&mut self, alerts: &[(&str, &str)]) {
        for (alert, place) in alerts {
            let query = fired(&format!(r#",alertname="{alert}""#));
            let fires = |found: &[prometheus::Series]| {
                found.iter().any(|series| where_of(series) == *place)
            };
            self.seen
                .until(&format!("it fires at {place}"), &query, fires)
                .await;
            self.names.insert((*alert).to_owned());
        }
    }

    /// All that fire or have fired, each with its place.
    async fn fired(&self) -> BTreeSet<(String, String)> {
        let found = self.seen.ask(&fired("")).await;
        let pair = |series: &prometheus::Series| {
            let alert = series.label("alertname").to_owned();
            (alert, where_of(series).to_owned())
        };
        found.iter().map(pair).collect()
    }
}

/// The most particular that an alert says of its place: an instance, an agent of the relays', or all of a job.
fn where_of(series: &prometheus::Series) -> &str {
    let labels = ["instance", "agent", "job"].map(|name| series.label(name));
    labels.into_iter().find(|value| !value.is_empty()).unwrap()
}

/// Whether or not they do so still.
fn fired(labels: &str) -> String {
    format!(r#"last_over_time(ALERTS{{alertstate="firing"{labels}}}[5m])"#)
}

/// As they are shipped, but that a fault need not last as long.
fn impatient_rules() -> String {
    let rules = rules();
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) => format!("{indent}for: 1s\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// A GitLab with the usual project.
async fn gitlab_of_ours() -> GitLab {
    let gitlab = gitlab().start().await;
    arrange(&gitlab);
    gitlab
}

/// The relay's key for the secret that it shares with this GitLab.
fn trusting(gitlab: &GitLab) -> String {
    format!("api_secret_file: '{}'", gitlab.secret_file().display())
}

/// A job that runs, with its own token of GitLab's.
fn job_of(relay: &TestRelay, gitlab: &GitLab) -> Caller {
    let mut world = gitlab.world();
    let job = world.job("group/sub/app").run();
    let token = world.job_of(job).token();
    relay.showing(&format!("Bearer ci:1:{token}"))
}
