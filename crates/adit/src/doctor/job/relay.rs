//! Checks `http`, `clock` and `relay`: what answers at the end of the way, by which HTTP, at what time, and is it a relay?
//!
//! One question without any token: a relay refuses it, in words that nothing else has.

use adit_agent::dial::Dialled;
use adit_process::chain;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::access::Access;
use crate::doctor::clock;
use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::HTTP;
use crate::exchange::{Answer, exchange, speaks_http2};
use crate::kubernetes_status::Status;

pub(super) const CLOCK: Check = Check::new("clock", Hop::Client);
pub(super) const RELAY: Check = Check::new("relay", Hop::Relay);

/// Nothing when there is no relay to be asked further.
pub(super) async fn check(access: &Access, dialled: Dialled, report: &mut Report) -> Option<()> {
    let dialler = &access.way.dialler;
    let is_http2 = speaks_http2(&dialled);
    drop(dialled);
    let request = Request::get(access.relay.agents()).body(Full::<Bytes>::default());
    let answer = match exchange(dialler, request.expect("a checked URL")).await {
        Ok(answer) => answer,
        Err(error) => {
            let advice = "something on the way, or the relay, takes connections and does not answer: look into the relay's log, and check what stands between";
            report.failed(HTTP, chain(&error), advice);
            return None;
        }
    };
    if is_http2 {
        report.ok(HTTP, "HTTP/2");
    } else if dialler.tls.is_none() {
        report.ok(HTTP, "HTTP/1.1, as always without TLS");
    } else {
        let what = "HTTP/1.1: something before the relay ends TLS, and does not offer HTTP/2";
        let advice = "jobs can work so, agents cannot: let TLS pass through to the relay, or enable HTTP/2 (ALPN h2) there";
        report.warning(HTTP, what, advice);
    }
    clock::check(CLOCK, &access.way, &access.relay.agents(), report).await;
    of_relay(&answer, report)
}

fn of_relay(answer: &Answer, report: &mut Report) -> Option<()> {
    let said = Status::read(&answer.body);
    if said.hop.is_some() {
        report.ok(RELAY, "an adit relay answers");
        return Some(());
    }
    let what = format!("{} by something else: {}", answer.status, said.message);
    let advice = if answer.status.is_server_error() {
        "something in front of the relay answers in its place: is the relay running, and can that reach it?"
    } else {
        "what answers there is no adit relay: check the relay's URL, and what stands in front of it"
    };
    report.failed(RELAY, what, advice);
    None
}
