//! Checks `token`, `certificate`, `http`, `clock`, `tunnel` and `version`, around the hop `network`: from the agent to the relay.

use adit_agent::dial::Dialled;
use adit_agent::{ConnectFailure, Trial, Tried};
use adit_authority::token::{self, PREFIX};
use adit_process::chain;
use adit_process::tls::ShownTo;
use secrecy::ExposeSecret;

use super::SETTINGS;
use crate::doctor::clock;
use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::{HTTP, Way, of_own};
use crate::exchange::speaks_http2;
use crate::kubernetes_status::printable;

pub(super) const TOKEN: Check = Check::new("token", Hop::Agent);
pub(super) const CERTIFICATE: Check = Check::new("certificate", Hop::Agent);
pub(super) const CLOCK: Check = Check::new("clock", Hop::Agent);
pub(super) const TUNNEL: Check = Check::new("tunnel", Hop::Relay);
pub(super) const VERSION: Check = Check::new("version", Hop::Relay);

pub(super) async fn walk(trial: &Trial, report: &mut Report) -> Option<()> {
    certificate(trial, report)?;
    let way = way(trial, report)?;
    // A wrong token does not hide what else is wrong.
    let has_token = has_token(trial, report);
    let dialled = way.walk(report).await?;
    http(dialled, &way, trial, report)?;
    clock::check(CLOCK, &way, &trial.relay_url(), report).await;
    if !has_token {
        return None;
    }
    match trial.tunnel(&way.dialler, &way.http1).await {
        Ok(tried) => opened(&tried, report),
        Err(failure) => refused(&failure, report),
    }
    Some(())
}

/// One that is over does not hide what else is wrong; without one that can be read no agent starts.
fn certificate(trial: &Trial, report: &mut Report) -> Option<()> {
    match trial.certificate() {
        Ok(Some(certificate)) => of_own(CERTIFICATE, &certificate, ShownTo::Relay, TAKEN, report),
        Ok(None) => report.ok(
            CERTIFICATE,
            "none is configured: the token is all that the relay is shown",
        ),
        Err(error) => {
            report.failed(CERTIFICATE, chain(&error), error.advice());
            return None;
        }
    }
    Some(())
}

fn way(trial: &Trial, report: &mut Report) -> Option<Way> {
    match trial.relay() {
        Ok(relay) => {
            report.ok(SETTINGS, format!("the relay is {}", trial.relay_url()));
            Some(Way {
                dialler: relay.any,
                http1: relay.http1,
                witness: relay.witness,
            })
        }
        Err(error) => {
            let advice = "mend relay.url or relay.ca_file (ADIT_RELAY_URL, ADIT_RELAY_CA)";
            report.failed(SETTINGS, chain(&error), advice);
            None
        }
    }
}

fn has_token(trial: &Trial, report: &mut Report) -> bool {
    let token = match trial.token() {
        Ok(token) => token,
        Err(failure) => {
            report.failed(TOKEN, chain(&failure), failure.advice());
            return false;
        }
    };
    let token = token.expose_secret();
    if let Err(mistyped) = token::check_format(token) {
        let advice = "copy the token as a whole, as `adit token new` printed it";
        report.failed(TOKEN, mistyped.to_string(), advice);
        return false;
    }
    let kind = if token.starts_with(PREFIX) {
        "a token of adit's, whole by its checksum"
    } else {
        "a token that was made elsewhere"
    };
    report.ok(TOKEN, kind);
    true
}

fn http(dialled: Dialled, way: &Way, trial: &Trial, report: &mut Report) -> Option<()> {
    if !trial.may_take_http2() {
        report.ok(HTTP, "HTTP/1.1, for a WebSocket");
        return Some(());
    }
    if way.dialler.tls.is_none() || speaks_http2(&dialled) {
        report.ok(HTTP, "HTTP/2");
        return Some(());
    }
    let Dialled { alpn, .. } = dialled;
    let failure = ConnectFailure::NoHttp2 { alpn };
    if trial.may_take_websocket() {
        report.warning(HTTP, failure.to_string(), failure.advice());
        return Some(());
    }
    report.failed(HTTP, failure.to_string(), failure.advice());
    None
}

fn opened(tried: &Tried, report: &mut Report) {
    let Tried {
        peer,
        is_in_websocket,
        instead,
    } = tried;
    // An older relay does not say what it calls the agent.
    let whose = match printable(&peer.agent) {
        agent if agent.is_empty() => String::new(),
        agent => format!(" as that of {agent}"),
    };
    let carrier = if *is_in_websocket {
        "in a WebSocket"
    } else {
        "over HTTP/2"
    };
    let what = format!("the relay takes the token{whose}, and a tunnel opens {carrier}");
    match instead {
        Some(failure) => {
            let why = format!("{what}; HTTP/2 does not get through: {}", chain(failure));
            report.warning(TUNNEL, why, failure.advice());
        }
        None => report.ok(TUNNEL, what),
    }
    versions(&printable(&peer.version), report);
}

fn versions(relays: &str, report: &mut Report) {
    let ours = env!("CARGO_PKG_VERSION");
    if relays == ours {
        report.ok(VERSION, format!("the relay is adit {relays}, as this is"));
    } else {
        let what = format!("the relay is adit {relays}, and this is {ours}");
        let advice = "they work together as far as a tunnel opens; bring both to one version";
        report.warning(VERSION, what, advice);
    }
}

fn refused(failure: &ConnectFailure, report: &mut Report) {
    let hop = match failure.cause() {
        "token" | "unauthenticated" | "certificate" => Hop::Agent,
        "refused" => Hop::Relay,
        _ => Hop::Network,
    };
    let check = Check { hop, ..TUNNEL };
    report.failed(check, chain(failure), failure.advice());
}

const TAKEN: &str = "the agent takes up the new file by itself";
