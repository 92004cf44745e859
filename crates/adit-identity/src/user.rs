//! Who a person is that comes from outside any job, and GitLab's names for them in front of Kubernetes (`user_access`, `access_as:
//! user`). Made by an authority, read when access is decided, logged and turned into an impersonation.
//! Invariant: names and their order are exactly GitLab's, and hold ids, never paths, and the user's own name.

use crate::{AgentId, BadImpersonation, Extra, GroupId, Impersonation, ProjectId, User};

/// A person, and how they proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserIdentity {
    /// The GitLab instance that vouches for the rest.
    pub issuer: Box<str>,
    /// Who it is.
    pub user: User,
    /// By what.
    pub access_type: AccessType,
}

/// How a person proves who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessType {
    /// By a token that they made.
    PersonalAccessToken,
    /// By the cookie of a browser that is logged in to GitLab.
    SessionCookie,
}

/// All roles that a person has somewhere, such as `guest` and `developer`.
pub type RoleNames = Box<[Box<str>]>;

/// The roles of a person in the projects and groups that an agent's `user_access` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRoles {
    /// Projects, each with the roles there.
    pub projects: Vec<(ProjectId, RoleNames)>,
    /// The same of groups.
    pub groups: Vec<(GroupId, RoleNames)>,
}

impl AccessType {
    /// GitLab's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PersonalAccessToken => "personal_access_token",
            Self::SessionCookie => "session_cookie",
        }
    }
}

impl UserIdentity {
    /// The user that stands for this person at the API server of `agent`.
    ///
    /// # Errors
    ///
    /// The authority's facts cannot be sent as headers.
    pub fn impersonation(
        &self,
        agent: AgentId,
        config_project: ProjectId,
        roles: &UserRoles,
    ) -> Result<Impersonation, BadImpersonation> {
        let extra = [
            ("id", agent.to_string()),
            ("config_project_id", config_project.to_string()),
            ("username", self.user.login.to_string()),
            ("access_type", self.access_type.as_str().to_owned()),
        ];
        let extra = extra.map(|(name, value)| Extra {
            key: format!("agent.gitlab.com/{name}"),
            values: vec![value],
        });
        let user = format!("gitlab:user:{}", self.user.login);
        Impersonation::new(user, None, roles.kubernetes_groups(), extra.into())
    }
}

impl UserRoles {
    fn kubernetes_groups(&self) -> Vec<String> {
        let mut names = vec!["gitlab:user".to_owned()];
        for (project, roles) in &self.projects {
            let name = |role| format!("gitlab:project_role:{project}:{role}");
            names.extend(roles.iter().map(name));
        }
        for (group, roles) in &self.groups {
            let name = |role| format!("gitlab:group_role:{group}:{role}");
            names.extend(roles.iter().map(name));
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UserId;

    #[test]
    fn a_user_has_gitlabs_names_in_gitlabs_order() {
        let jane = UserIdentity {
            issuer: "https://gitlab.example.com".into(),
            user: User {
                id: UserId(12),
                login: "jane".into(),
            },
            access_type: AccessType::PersonalAccessToken,
        };
        let roles = UserRoles {
            projects: vec![(
                ProjectId(150),
                ["reporter".into(), "developer".into()].into(),
            )],
            groups: vec![(GroupId(23), ["developer".into()].into())],
        };
        let user = jane.impersonation(AgentId(41), ProjectId(7), &roles);
        let user = user.unwrap();
        assert_eq!((user.user(), user.uid()), ("gitlab:user:jane", None));
        let groups = [
            "gitlab:user",
            "gitlab:project_role:150:reporter",
            "gitlab:project_role:150:developer",
            "gitlab:group_role:23:developer",
        ];
        assert_eq!(user.groups(), groups);
        let extra: Vec<_> = user
            .extra()
            .iter()
            .map(|extra| (extra.key.as_str(), extra.values[0].as_str()))
            .collect();
        let expected = [
            ("agent.gitlab.com/id", "41"),
            ("agent.gitlab.com/config_project_id", "7"),
            ("agent.gitlab.com/username", "jane"),
            ("agent.gitlab.com/access_type", "personal_access_token"),
        ];
        assert_eq!(extra, expected);
    }
}
