//! Agents and their tokens.

use super::{World, random};
use crate::gitlab::grants::Grants;

/// An agent, as registered in a project.
#[derive(Clone, Debug)]
pub struct Agent {
    pub id: u64,
    pub name: String,
    /// Its configuration project.
    pub project: u64,
    pub tokens: Vec<AgentToken>,
    /// What its configuration file granted when it was last posted.
    pub grants: Grants,
    /// How often one of its tokens was used: GitLab's pages show an agent as connected by that.
    pub contacts: u64,
}

/// One of its tokens.
#[derive(Clone, Debug)]
pub struct AgentToken {
    pub id: u64,
    pub value: String,
    pub is_revoked: bool,
}

/// An agent has two active tokens at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyTokens;

const MAX_ACTIVE: usize = 2;

impl World {
    /// The agent of this name in a project; registered when it is not.
    ///
    /// # Panics
    ///
    /// When no agent may have such a name.
    pub fn agent(&mut self, project: &str, name: &str) -> u64 {
        let project = self.project(project);
        let found = self
            .agents
            .values()
            .find(|agent| agent.project == project && agent.name == name);
        if let Some(agent) = found {
            return agent.id;
        }
        assert!(is_name(name), "{name:?} is no agent's name");
        let id = self.take_id();
        let agent = Agent {
            id,
            name: name.to_owned(),
            project,
            tokens: Vec::new(),
            grants: Grants::default(),
            contacts: 0,
        };
        self.agents.insert(id, agent);
        id
    }

    /// # Panics
    ///
    /// When there is none.
    #[must_use]
    pub fn agent_of(&self, id: u64) -> &Agent {
        &self.agents[&id]
    }

    pub(in crate::gitlab) fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    pub(in crate::gitlab) fn find_agent(&self, id: u64) -> Option<&Agent> {
        self.agents.get(&id)
    }

    pub(in crate::gitlab) fn agent_mut(&mut self, id: u64) -> Option<&mut Agent> {
        self.agents.get_mut(&id)
    }

    /// A new token.
    ///
    /// # Errors
    ///
    /// It has two that are active.
    pub fn agent_token(&mut self, agent: u64) -> Result<String, TooManyTokens> {
        let active = |token: &&AgentToken| !token.is_revoked;
        if self.agents[&agent].tokens.iter().filter(active).count() >= MAX_ACTIVE {
            return Err(TooManyTokens);
        }
        let value = random::prefixed(
            self.settings.token_prefix.as_deref(),
            &format!("glagent-{}", random::text(50)),
        );
        let token = AgentToken {
            id: self.take_id(),
            value: value.clone(),
            is_revoked: false,
        };
        if let Some(agent) = self.agents.get_mut(&agent) {
            agent.tokens.push(token);
        }
        Ok(value)
    }

    pub fn revoke_agent_token(&mut self, value: &str) {
        let tokens = self.agents.values_mut().flat_map(|agent| &mut agent.tokens);
        for token in tokens.filter(|token| token.value == value) {
            token.is_revoked = true;
        }
    }

    /// Removes it with its tokens and grants.
    pub fn delete_agent(&mut self, agent: u64) {
        self.agents.remove(&agent);
    }

    /// The agent of an active token. Counts as a contact.
    pub(in crate::gitlab) fn agent_by_token(&mut self, value: &str) -> Option<&Agent> {
        let agent = self.agents.values_mut().find(|agent| {
            let mut tokens = agent.tokens.iter();
            tokens.any(|token| !token.is_revoked && token.value == value)
        })?;
        agent.contacts += 1;
        Some(agent)
    }
}

/// An RFC 1123 label of up to 63 characters.
fn is_name(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
