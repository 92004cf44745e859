//! Checks `admin`, `port`, `ready`, `version` and `gitaly`: does the relay run, and if not, could it? And does it reach Gitaly, of which
//! GitLab tells it alone where it is?
//!
//! What answers on the admin port as a relay does is taken for this one, unless another port shows another certificate than this one's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use adit_agent::dial::{DialError, Dialler, Tls};
use adit_process::chain;
use adit_process::net::{ReusePort, listen};
use adit_process::tls::{CertificateFiles, ClientTls, H2, HTTP_1_1, TlsError, Witness};
use adit_relay::{AdminConfig, StartError, Trial};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::{PATIENCE, reachable, told};
use crate::exchange::{Answer, NoAnswer, exchange};
use crate::kubernetes_status::printable;

pub(super) const ADMIN: Check = Check::new("admin", Hop::Relay);
pub(super) const PORT: Check = Check::new("port", Hop::Relay);
pub(super) const READY: Check = Check::new("ready", Hop::Relay);
pub(super) const VERSION: Check = Check::new("version", Hop::Relay);

pub(super) const GITALY: Check = Check::new("gitaly", Hop::Authority);

/// Whether a relay runs already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relay {
    Runs,
    Absent,
}

pub(super) async fn check(trial: &Trial, report: &mut Report) -> Relay {
    let config = trial.config();
    let address = config.front_door.address;
    let admin = Admin::of(&config.admin);
    // What is wrong with its certificate was told by now.
    let admin = admin.as_ref().ok();
    let live = match admin {
        Some(admin) => Some((admin, admin.ask("/livez").await)),
        None => None,
    };
    if let Some((admin, Ok(answer))) = &live
        && answer.body == "live\n"
    {
        let told = format!(
            "a relay runs: {} answers{}",
            config.admin.address,
            admin.told()
        );
        report.ok(ADMIN, told);
        let door = &config.front_door;
        // Where it waits for what a balancer says, a connection does not begin with TLS.
        let is_balancer = door.proxy_protocol_from.contains(reachable(address).ip());
        let public = (address, door.tls.as_ref().filter(|_| !is_balancer));
        listens(PORT, "listen", public, &[H2, HTTP_1_1], report).await;
        ready(admin, report).await;
        let metrics = admin.ask("/metrics").await.ok();
        let metrics = metrics.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
        let metrics = metrics.unwrap_or_default();
        version(&metrics, report);
        gitaly(trial, Some(&metrics), report);
        return Relay::Runs;
    }
    let stranger = live.and_then(|(admin, answer)| admin.stranger(&answer.err()?));
    match stranger {
        Some(other) => {
            let at = config.admin.address;
            let what =
                format!("{at} shows another certificate than that of admin.certificate: {other}");
            let advice = "a relay that runs takes up a new file by itself, within ten seconds: its log says why it has not; otherwise somebody else listens there, and admin.address is to be another";
            report.failed(ADMIN, what, advice);
        }
        None => could_listen(ADMIN, config.admin.address, StartError::admin, report),
    }
    could_listen(PORT, address, StartError::listen, report);
    report.not_run(READY, "the relay does not run");
    report.not_run(VERSION, "the relay does not run");
    gitaly(trial, None, report);
    Relay::Absent
}

/// The relay's private port.
struct Admin {
    address: SocketAddr,
    dialler: Dialler,
    /// Under TLS: what was shown.
    witness: Option<Arc<Witness>>,
}

impl Admin {
    /// Who shows the certificate that the relay shows is the relay. Its name may be another than where it is called from here.
    fn of(config: &AdminConfig) -> Result<Self, TlsError> {
        let (dialler, witness) = known(config.address, config.tls.as_ref(), &[HTTP_1_1])?;
        Ok(Self {
            address: reachable(config.address),
            dialler,
            witness,
        })
    }

    async fn ask(&self, path: &str) -> Result<Answer, NoAnswer> {
        let mut request = Request::new(Full::<Bytes>::default());
        let uri = format!("http://{}{path}", self.address);
        *request.uri_mut() = uri.parse().expect("an address and a path are a URI");
        exchange(&self.dialler, request).await
    }

    fn told(&self) -> &'static str {
        match self.witness {
            Some(_) => " over TLS, with its certificate",
            None => "",
        }
    }

    /// Who showed another certificate than the relay's, if that is why there was no answer.
    fn stranger(&self, why: &NoAnswer) -> Option<String> {
        let NoAnswer::Dial(why) = why else {
            return None;
        };
        stranger(why, self.witness.as_deref()?)
    }
}

/// How to reach a port of the relay's, and believe nobody else who shows a certificate there.
fn known(
    address: SocketAddr,
    files: Option<&CertificateFiles>,
    alpn: &[&[u8]],
) -> Result<(Dialler, Option<Arc<Witness>>), TlsError> {
    let at = reachable(address);
    let host = at.ip().to_string();
    let (mut tls, mut witness) = (None, None);
    if let Some(files) = files {
        let (pinned, shown) = ClientTls::pinned(&files.certificate, alpn)?;
        tls = Tls::new(&pinned, &host);
        witness = Some(shown);
    }
    let dialler = Dialler {
        host,
        port: at.port(),
        tls,
        proxy: None,
        timeout: PATIENCE,
    };
    Ok((dialler, witness))
}

/// Who showed another certificate than the one that is known, if that is why there is no connection.
fn stranger(why: &DialError, witness: &Witness) -> Option<String> {
    let DialError::Tls { .. } = why else {
        return None;
    };
    Some(told(&witness.shown()?))
}

/// Whether the relay that runs is the one of this file: where the section says, it listens, and with `tls` shows the certificate of the file.
pub(super) async fn listens(
    check: Check,
    section: &str,
    (address, tls): (SocketAddr, Option<&CertificateFiles>),
    alpn: &[&[u8]],
    report: &mut Report,
) {
    let Ok((dialler, witness)) = known(address, tls, alpn) else {
        // What is wrong with it was told by now.
        report.not_run(check, "its certificate cannot be used");
        return;
    };
    let Some(witness) = witness else {
        // Nobody is told from another.
        accepts(check, section, address, report).await;
        return;
    };
    match dialler.dial().await {
        Ok(_) => {
            let what = format!("{address} takes connections, and shows its certificate");
            report.ok(check, what);
        }
        Err(why @ DialError::Connect { .. }) => {
            takes_nobody(check, section, address, &chain(&why), report);
        }
        Err(why) => match stranger(&why, &witness) {
            Some(other) => {
                let what = format!(
                    "another relay, or one with an older certificate, is there: {address} shows another than that of {section}.certificate: {other}"
                );
                report.failed(check, what, OTHER_RELAY);
            }
            None => {
                let what = format!(
                    "the relay runs, and {address} ({section}.address) does not answer as it does: {}",
                    chain(&why)
                );
                report.failed(check, what, NO_RELAY);
            }
        },
    }
}

/// Whether a relay that runs listens where the section says.
async fn accepts(check: Check, section: &str, address: SocketAddr, report: &mut Report) {
    let connected = timeout(PATIENCE, TcpStream::connect(reachable(address))).await;
    match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(_) => report.ok(check, format!("{address} takes connections")),
        Err(error) => takes_nobody(check, section, address, &error.to_string(), report),
    }
}

fn takes_nobody(check: Check, section: &str, address: SocketAddr, why: &str, report: &mut Report) {
    let what =
        format!("the relay runs, and {address} ({section}.address) takes no connection: {why}");
    let advice = "it is stopping, or runs with another file: look at the relay's log";
    report.failed(check, what, advice);
}

async fn ready(admin: &Admin, report: &mut Report) {
    match admin.ask("/readyz").await {
        Ok(answer) if answer.status == StatusCode::OK => report.ok(READY, "it is ready"),
        answer => {
            let said = answer
                .ok()
                .map(|answer| printable(&String::from_utf8_lossy(&answer.body)));
            let what = format!("it is not ready: {}", said.unwrap_or_default().trim());
            let advice = "`keys`: an issuer's keys could not be fetched yet by the relay, see `issuers`; `accepting`: the relay is stopping";
            report.failed(READY, what, advice);
        }
    }
}

fn version(metrics: &str, report: &mut Report) {
    let running = || {
        let (_, rest) = metrics.split_once("adit_build_info{version=\"")?;
        Some(rest.split_once('"')?.0)
    };
    let ours = env!("CARGO_PKG_VERSION");
    match running() {
        Some(running) if running == ours => {
            report.ok(VERSION, format!("the relay is adit {running}, as this is"));
        }
        running => {
            let running = running.map_or_else(|| "of another kind".to_owned(), printable);
            let what = format!("the relay that runs is adit {running}, and this is {ours}");
            report.warning(
                VERSION,
                what,
                "restart the relay with the program that you have",
            );
        }
    }
}

/// `metrics` are those of the relay that runs.
fn gitaly(trial: &Trial, metrics: Option<&str>, report: &mut Report) {
    if let Err(error) = trial.gitaly_roots() {
        let check = Check::new(GITALY.name, Hop::Relay);
        report.failed(check, chain(&error), error.advice());
        return;
    }
    let files = trial
        .config()
        .gitlab
        .as_ref()
        .and_then(|it| it.agent_files.as_ref());
    if !files.is_some_and(|files| files.asks_gitaly) {
        report.not_run(GITALY, "no agent's file is read from it");
        return;
    }
    let Some(metrics) = metrics else {
        let why = "the relay does not run, and GitLab tells nobody else where Gitaly is";
        report.not_run(GITALY, why);
        return;
    };
    let ended = last_calls(metrics);
    let (answered, failed): (Vec<_>, Vec<_>) =
        ended.iter().partition(|(how, _)| *how == "answered");
    if !failed.is_empty() {
        let failed: Vec<_> = failed
            .iter()
            .map(|(how, count)| format!("{how}: {count}"))
            .collect();
        let what = format!(
            "when the relay last called Gitaly's servers, some did not answer: {}",
            failed.join(", ")
        );
        let advice = "the relay's log says which, and why: let the relay through to them, set its clock, or have it read agents' files by the API (agent_files.source, agent_files.token_file)";
        report.failed(GITALY, what, advice);
    } else if let Some((_, count)) = answered.first() {
        report.ok(GITALY, format!("{count} of its servers answer the relay"));
    } else {
        let why = "GitLab has not told the relay where it is: no agent has connected with GitLab's token, or none was looked after yet";
        report.not_run(GITALY, why);
    }
}

/// How the relay's last calls to Gitaly's servers ended, and how many did so.
fn last_calls(metrics: &str) -> Vec<(&str, u64)> {
    let samples = metrics.lines().filter_map(|line| {
        let (how, count) = line
            .strip_prefix("adit_relay_gitaly_servers{last=\"")?
            .split_once("\"} ")?;
        Some((how, count.parse().ok()?))
    });
    samples.filter(|(_, count)| *count > 0).collect()
}

/// Tries it, as the relay does when it starts.
pub(super) fn could_listen(
    check: Check,
    address: SocketAddr,
    not: fn(SocketAddr, io::Error) -> StartError,
    report: &mut Report,
) {
    match listen(address, ReusePort::Exclusive) {
        Ok(_) => report.ok(
            check,
            format!("no relay runs, and {address} is free for one"),
        ),
        Err(source) => {
            let error = not(address, source);
            report.failed(check, chain(&error), error.advice());
        }
    }
}

const NO_RELAY: &str = "something else listens there, or the relay runs with another file: stop the one, or look at the relay's log";
const OTHER_RELAY: &str = "a relay that runs takes up a new file by itself, within ten seconds: its log says why it has not; otherwise stop the other relay, or give this one other ports: listen.address, admin.address, gitlab_api.address";
