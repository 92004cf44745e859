//! Whether a user may reach an agent from outside a job: `user_access`. Called for `authorize_proxy_user`.

use serde_json::{Value, json};

use super::world::{Agent, Licence, Role, User, World};

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    NoUserAccess,
    NoAccessAs,
    SeveralAccessAs,
    NotLicensed,
    NotMember,
}

impl Denied {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoUserAccess => "the agent's configuration has no user_access",
            Self::NoAccessAs => "user_access names no access_as",
            Self::SeveralAccessAs => "user_access names more than one access_as",
            Self::NotLicensed => "this access_as needs another licence",
            Self::NotMember => "you are not a member of any project or group in user_access",
        }
    }
}

impl World {
    /// The member `access_as` of GitLab's answer.
    pub(super) fn access_as(&self, user: &User, agent: &Agent) -> Result<Value, Denied> {
        let block = agent.grants.user_access.as_ref();
        let block = block.ok_or(Denied::NoUserAccess)?;
        // Without the key: agent, since 18.3.
        let mode = match block.get("access_as") {
            None => "agent",
            Some(modes) => single(modes)?,
        };
        let projects = self.roles(&agent.grants.user_projects, |id| {
            self.role_in_project(user.id, id)
        });
        let groups = self.roles(&agent.grants.user_groups, |id| {
            self.role_in_group(user.id, id)
        });
        let answer = match mode {
            "agent" => json!({ "agent": {} }),
            "user" if self.project_of(agent.project).licence >= Licence::Premium => {
                json!({ "user": { "projects": projects, "groups": groups } })
            }
            _ => return Err(Denied::NotLicensed),
        };
        if projects.is_empty() && groups.is_empty() {
            return Err(Denied::NotMember);
        }
        Ok(answer)
    }

    /// Those in which the user is at least a developer.
    fn roles(&self, ids: &[u64], role: impl Fn(u64) -> Option<Role>) -> Vec<Value> {
        ids.iter()
            .filter_map(|id| Some((id, role(*id).filter(|role| *role >= Role::Developer)?)))
            .map(|(id, role)| json!({ "id": id, "roles": role.and_below() }))
            .collect()
    }
}

fn single(modes: &Value) -> Result<&str, Denied> {
    let mut names = modes.as_object().into_iter().flat_map(|modes| modes.keys());
    let name = names.next().ok_or(Denied::NoAccessAs)?;
    match names.next() {
        None => Ok(name),
        Some(_) => Err(Denied::SeveralAccessAs),
    }
}
