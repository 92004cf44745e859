//! Check `grant`: does the relay take the token, and which agents does it let the job use?

use adit_process::chain;
use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, AUTHORIZATION};
use http_body_util::Full;

use super::access::{Access, Holder, Wanted};
use super::version;
use crate::doctor::finding::{Check, Hop, Report};
use crate::exchange::{Answer, exchange};
use crate::kubeconfig::{NO_AGENT, Reachable, bearer, listed};
use crate::kubernetes_status::{Status, printable};

pub(super) const GRANT: Check = Check::new("grant", Hop::Client);

/// The agents that are to be looked at, at least one.
pub(super) async fn check(access: &Access, report: &mut Report) -> Option<Vec<Reachable>> {
    let request = Request::get(access.relay.agents())
        .header(AUTHORIZATION, bearer(&access.bare_credential()))
        .header(ACCEPT, "application/json")
        .body(Full::<Bytes>::default())
        .expect("a checked URL and fixed headers");
    let answer = match exchange(&access.way.dialler, request).await {
        Ok(answer) => answer,
        Err(error) => {
            let advice = "the relay answered a moment ago: try again, and look into its log";
            report.failed(at(Hop::Relay), chain(&error), advice);
            return None;
        }
    };
    match listed(answer.status, &answer.body) {
        Ok(agents) => {
            let wanted = granted(access, agents, report)?;
            version::check(&answer.body, &wanted, report);
            Some(wanted)
        }
        Err(error) => {
            let hop = hop(&answer).unwrap_or(Hop::Relay);
            report.failed(at(hop), chain(&error), REFUSED);
            None
        }
    }
}

fn granted(access: &Access, agents: Vec<Reachable>, report: &mut Report) -> Option<Vec<Reachable>> {
    let names: Vec<_> = agents.iter().map(|agent| agent.context.as_str()).collect();
    let names = printable(&names.join(", "));
    let holder = access.holder.as_str();
    if agents.is_empty() {
        let what = format!("the token is good, and no agent lets the {holder} in");
        let advice = match access.holder {
            Holder::Job => NO_AGENT,
            Holder::User => {
                "ask for an entry in the agent's user_access, and the role Developer there"
            }
        };
        report.failed(GRANT, what, advice);
        return None;
    }
    let wanted: Vec<_> = agents
        .into_iter()
        .filter(|agent| match &access.agent {
            Wanted::All => true,
            Wanted::Context(name) => agent.context == *name,
            Wanted::Id(id) => agent.id == *id,
        })
        .collect();
    if wanted.is_empty() {
        let what = format!("the {holder} may use {names}, and not the agent that is asked for");
        let advice = "name another context, or ask for an entry in that agent's ci_access";
        report.failed(GRANT, what, advice);
        return None;
    }
    report.ok(GRANT, format!("the {holder} may use {names}"));
    Some(wanted)
}

fn hop(answer: &Answer) -> Option<Hop> {
    Hop::named(&Status::read(&answer.body).hop?)
}

fn at(hop: Hop) -> Check {
    Check { hop, ..GRANT }
}

/// The relay's messages say what to do, each for its case.
pub(super) const REFUSED: &str =
    "that is the relay's own message; docs/errors.md has all of them, and what to do about each";
