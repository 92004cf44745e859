//! A real Prometheus that scrapes relays and agents of a scenario, and is asked what it has seen.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use xtask::{
    cluster::{Daemon, Processes},
    ports, skip, tools,
};

use crate::{SOON, within};

/// Its programs. Where they cannot be had, the test of this name is noted as skipped.
///
/// # Panics
///
/// When they cannot be fetched though they could.
#[must_use]
pub fn programs(test: &str) -> Option<tools::Prometheus> {
    match tools::Prometheus::available() {
        Ok(()) => Some(tools::Prometheus::ready().unwrap()),
        Err(why) => {
            skip::skipped(test, &format!("{why:#}"));
            None
        }
    }
}

/// A running one. When the value goes, the process is gone.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    daemon: Daemon,
    _processes: Processes,
}

/// What a query has found.
#[derive(Clone, Debug)]
pub struct Series {
    labels: Value,
    pub value: f64,
}

impl Series {
    /// A label's value, empty where it has none.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}

impl Prometheus {
    /// Has one scrape these admin ports, each as an instance of its own name of a job, follow these rules, and waits until it has seen all.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or ends.
    pub async fn watching(
        programs: &tools::Prometheus,
        targets: &[(&str, &str, SocketAddr)],
        rules: &str,
    ) -> Self {
        let processes = Processes::none().unwrap();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let address = SocketAddr::new(loopback, ports::free(loopback).unwrap());
        let folder = processes.folder();
        std::fs::write(folder.join("prometheus.yaml"), config(targets)).unwrap();
        std::fs::write(folder.join("rules.yaml"), rules).unwrap();
        let mut command = Command::new(programs.server());
        command
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            // Of its own accord it takes every core.
            .env("GOMAXPROCS", "1");
        let mut this = Self {
            address,
            daemon: processes.start("prometheus", command).unwrap(),
            _processes: processes,
        };
        within("a Prometheus", this.is_ready()).await;
        let all = targets.len() as f64;
        this.until("every target is seen", "sum(up)", |found| {
            found.iter().any(|sum| sum.value == all)
        })
        .await;
        this
    }

    async fn is_ready(&mut self) {
        while !matches!(self.get("/-/ready").await, Ok((StatusCode::OK, _))) {
            self.daemon.check().unwrap();
            sleep(POLL).await;
        }
    }

    /// What there is now.
    ///
    /// # Panics
    ///
    /// When it does not understand the query, which no time will mend.
    pub async fn ask(&self, query: &str) -> Vec<Series> {
        let encoded = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let path = format!("/api/v1/query?query={encoded}");
        let (status, body) = self.get(&path).await.unwrap();
        let said = String::from_utf8_lossy(&body);
        assert_eq!(status, StatusCode::OK, "{query}: {said}");
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let found = answer["data"]["result"].as_array().unwrap().iter();
        found
            .map(|series| Series {
                labels: series["metric"].clone(),
                value: series["value"][1].as_str().unwrap().parse().unwrap(),
            })
            .collect()
    }

    /// Asks until the answer is so.
    ///
    /// # Panics
    ///
    /// When it takes longer than [`SOON`].
    pub async fn until(&self, what: &str, query: &str, is_so: impl Fn(&[Series]) -> bool) {
        let began = tokio::time::Instant::now();
        loop {
            let found = self.ask(query).await;
            if is_so(&found) {
                return;
            }
            let is_late = began.elapsed() > SOON;
            assert!(!is_late, "waited in vain until {what}: {query}\n{found:#?}");
            sleep(POLL).await;
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let socket = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let request = Request::get(path).header(header::HOST, "prometheus");
        let answer = sender
            .send_request(request.body(Empty::<Bytes>::new())?)
            .await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

fn config(targets: &[(&str, &str, SocketAddr)]) -> String {
    let mut config = format!(
        "global: {{ scrape_interval: {EVERY}, scrape_timeout: {EVERY}, evaluation_interval: {EVERY} }}\n\
         rule_files: [rules.yaml]\nscrape_configs:\n- job_name: adit\n  static_configs:\n"
    );
    for (job, name, address) in targets {
        writeln!(
            config,
            "  - {{ targets: ['{address}'], labels: {{ job: {job}, instance: {name} }} }}"
        )
        .unwrap();
    }
    config
}

/// Of scrapes and of rules.
const EVERY: &str = "500ms";
const POLL: Duration = Duration::from_millis(20);
