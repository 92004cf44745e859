//! The operators' page: `/` on the admin port, what [`Report`] says as HTML, and the pages around a cut.
//!
//! Routed by `status.rs`. The page is whole without a script; `page.js` only keeps it up to date. Invariants: every value is escaped by
//! the template (agents and callers choose names); nothing is asked of anywhere else, which the policy has browsers hold to.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use adit_process::admin::Asker;
use askama::Template;
use axum::{
    extract::{ConnectInfo, State},
    http::{
        HeaderMap, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
            REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};

use super::{Gate, Report, Status, spoken};

mod picture;
mod rows;

use picture::Picture;
use rows::{AgentRow, RefusalRow, StreamRow, moment};

#[derive(Debug, Template)]
#[template(path = "page.html")]
struct Page<'a> {
    report: &'a Report,
    since: String,
    refused: u64,
    pictures: [Picture; 3],
    streams: Vec<StreamRow<'a>>,
    agents: Vec<AgentRow<'a>>,
    refusals: Vec<RefusalRow<'a>>,
}

/// Asks whether something is meant to be cut.
#[derive(Debug, Template)]
#[template(path = "confirm.html")]
pub(super) struct Confirm<'a> {
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) id: &'a str,
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) follows: &'static str,
}

/// Says why nothing was cut.
#[derive(Debug, Template)]
#[template(path = "notice.html")]
pub(super) struct Notice {
    pub(super) message: String,
}

impl<'a> Page<'a> {
    fn of(report: &'a Report) -> Self {
        Self {
            since: moment(&report.since),
            refused: report.refusals.values().sum(),
            pictures: picture::of(&report.history),
            streams: report.streams.shown.iter().map(StreamRow::of).collect(),
            agents: report.agents.shown.iter().map(AgentRow::of).collect(),
            refusals: report.refusals.iter().map(RefusalRow::of).collect(),
            report,
        }
    }
}

/// The page, unless whoever asks has it already.
pub(super) async fn show(
    State(of): State<Arc<(Status, Gate)>>,
    ConnectInfo(asker): ConnectInfo<Asker>,
    headers: HeaderMap,
) -> Response {
    let (status, gate) = &*of;
    if let Err(outside) = gate.check(&asker, &headers) {
        return outside.into_response();
    }
    let page = Page::of(&status.report()).render();
    let text = match page {
        Ok(text) => text,
        Err(error) => return unrendered(&error),
    };
    let tag = tag(&text);
    let is_known = headers
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known == &*tag);
    let mut answer = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        html(text)
    };
    let tag = tag.try_into().expect("digits and quotes are a header's");
    answer.headers_mut().insert(ETAG, tag);
    answer
}

/// A page of its own kind.
pub(super) fn answer(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, html(text)).into_response(),
        Err(error) => unrendered(&error),
    }
}

fn unrendered(error: &askama::Error) -> Response {
    tracing::error!(%error, "a page cannot be written");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

fn html(text: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: with that a form of the page's own would not say whose it is.
        (REFERRER_POLICY, "same-origin"),
        (X_FRAME_OPTIONS, "DENY"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

/// Names what the page says. A relay that starts anew may choose another one for the same: then it is sent once more.
fn tag(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("page/page.css"))
}

pub(super) async fn script() -> Response {
    let script = include_str!("page/page.js");
    asset("text/javascript; charset=utf-8", script)
}

pub(super) async fn icon() -> Response {
    asset("image/svg+xml", include_str!("page/page.svg"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Asked about again each time: it is another one after an upgrade.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// Nothing but what this port serves, and forms that come back here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests;
