//! Decides whether a caller may reach the agent it asks for, and which agent that is.
//!
//! Called by `handle.rs` after authentication. The rules themselves are `adit-authority`'s, and those by which the caller's token was
//! checked (`rules.rs`); this file settles which agent is meant when path and credential both name one. Invariant: the answer for an
//! agent that does not exist and for one that the caller was not granted is the same, word for word.

use std::sync::Arc;

use adit_authority::{GitLabError, NotAllowed, Permit, Reachable, Who};
use adit_identity::AgentId;
use adit_tunnel::ResetReason;

use crate::{authenticate::Bearer, refusal::Refusal, rules::Current, target::Target};

/// What the caller may do: send this request, on these terms.
pub(crate) fn errand(bearer: Arc<Bearer>, target: Target) -> Result<Errand, Refusal> {
    let agent = the_one(target.agent(), bearer.agent)?;
    let permit = bearer
        .rules
        .authoriser
        .permit(&bearer.caller, agent)
        .map_err(|why| not_allowed(bearer.caller.who(), why))?;
    Ok(Errand {
        bearer,
        permit,
        target,
    })
}

/// Every agent that the caller may reach.
pub(crate) fn reachable(bearer: &Bearer) -> Vec<Reachable> {
    bearer.rules.authoriser.reachable(&bearer.caller)
}

/// What a request may do, all of it proved: who asks, for which agent, for what.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) bearer: Arc<Bearer>,
    pub(crate) permit: Arc<Permit>,
    pub(crate) target: Target,
}

impl Errand {
    /// Why it may not begin any more, or go on, if that is so: its authority took back its word on the caller, or the configuration was
    /// changed.
    pub(crate) fn ended(&self, rules: &Current) -> Option<ResetReason> {
        if self.bearer.caller.ended().is_some() {
            return Some(ResetReason::PermitEnded);
        }
        let former = &self.bearer.rules;
        let is_upheld = rules.are(former) || rules.load().uphold(&self.permit, former);
        (!is_upheld).then_some(ResetReason::Withdrawn)
    }
}

/// A user is told the same whether GitLab keeps them out, or lets them use an agent whose id is another's here.
fn not_allowed(who: &Who, why: NotAllowed) -> Refusal {
    match who {
        Who::Job(_) => Refusal::NotPermitted(why),
        Who::User(_) => Refusal::GitLab(GitLabError::UserNotAccepted),
    }
}

fn the_one(path: Option<AgentId>, credential: Option<AgentId>) -> Result<AgentId, Refusal> {
    match (path, credential) {
        (Some(path), Some(credential)) if path != credential => {
            Err(Refusal::AgentsDiffer { path, credential })
        }
        (Some(agent), _) | (None, Some(agent)) => Ok(agent),
        (None, None) => Err(Refusal::NoAgentNamed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_and_credential_must_agree() {
        let (seven, eight) = (Some(AgentId(7)), Some(AgentId(8)));
        assert_eq!(the_one(seven, None).unwrap(), AgentId(7));
        assert_eq!(the_one(None, eight).unwrap(), AgentId(8));
        assert_eq!(the_one(seven, seven).unwrap(), AgentId(7));
        assert_eq!(
            the_one(seven, eight).unwrap_err().facts().reason,
            "agents_differ"
        );
        assert_eq!(
            the_one(None, None).unwrap_err().facts().reason,
            "no_agent_named"
        );
    }
}
