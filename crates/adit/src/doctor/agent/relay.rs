//! Checks `token`, `http`, `clock`, `tunnel` and `version`, around the hop `network`: from the agent to the relay.

use adit_agent::dial::Dialled;
use adit_agent::{ConnectFailure, Trial};
use adit_authority::token::{self, PREFIX};
use adit_process::chain;
use secrecy::ExposeSecret;

use super::SETTINGS;
use crate::doctor::clock;
use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::{HTTP, Way};
use crate::exchange::speaks_http2;
use crate::kubernetes_status::printable;

pub(super) const TOKEN: Check = Check::new("token", Hop::Agent);
pub(super) const CLOCK: Check = Check::new("clock", Hop::Agent);
pub(super) const TUNNEL: Check = Check::new("tunnel", Hop::Relay);
pub(super) const VERSION: Check = Check::new("version", Hop::Relay);

pub(super) async fn walk(trial: &Trial, report: &mut Report) -> Option<()> {
    let way = way(trial, report)?;
    // A wrong token does not hide what else is wrong.
    let has_token = has_token(trial, report);
    let dialled = way.walk(report).await?;
    http(dialled, &way, report)?;
    clock::check(CLOCK, &way, &trial.relay_url(), report).await;
    if !has_token {
        return None;
    }
    match trial.tunnel(&way.dialler).await {
        Ok(peer) => {
            report.ok(TUNNEL, opened(&printable(&peer.agent)));
            versions(&printable(&peer.version), report);
        }
        Err(failure) => refused(&failure, report),
    }
    Some(())
}

/// `agent` is what the relay calls the agent; an older one does not say it.
fn opened(agent: &str) -> String {
    if agent.is_empty() {
        return "the relay takes the token, and a tunnel opens".to_owned();
    }
    format!("the relay takes the token as that of {agent}, and a tunnel opens")
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

fn http(dialled: Dialled, way: &Way, report: &mut Report) -> Option<()> {
    if way.dialler.tls.is_none() || speaks_http2(&dialled) {
        report.ok(HTTP, "HTTP/2");
        return Some(());
    }
    let Dialled { alpn, .. } = dialled;
    let failure = ConnectFailure::NoHttp2 { alpn };
    report.failed(HTTP, failure.to_string(), failure.advice());
    None
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
        "token" | "unauthenticated" => Hop::Agent,
        "refused" => Hop::Relay,
        _ => Hop::Network,
    };
    let check = Check { hop, ..TUNNEL };
    report.failed(check, chain(failure), failure.advice());
}
