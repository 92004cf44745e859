//! Who may do what where.

use super::{Kind, World};

/// GitLab's roles, least first. The numbers are GitLab's access levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Guest = 10,
    Planner = 15,
    Reporter = 20,
    Developer = 30,
    Maintainer = 40,
    Owner = 50,
}

impl Role {
    const ALL: [Self; 6] = [
        Self::Guest,
        Self::Planner,
        Self::Reporter,
        Self::Developer,
        Self::Maintainer,
        Self::Owner,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Planner => "planner",
            Self::Reporter => "reporter",
            Self::Developer => "developer",
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
        }
    }

    /// This role's name and those of all below it.
    #[must_use]
    pub fn and_below(self) -> Vec<&'static str> {
        Self::ALL
            .into_iter()
            .filter(|role| *role <= self)
            .map(Self::name)
            .collect()
    }
}

/// One user's role in one group or project.
#[derive(Clone, Debug)]
pub(super) struct Member {
    user: u64,
    /// A group's or a project's id.
    of: u64,
    role: Role,
}

impl World {
    /// Makes a user, who is made when missing, a member of a group or project that is there.
    ///
    /// # Panics
    ///
    /// When neither is.
    pub fn member(&mut self, login: &str, path: &str, role: Role) {
        let user = self.user(login);
        let of = self
            .find_project(path)
            .map(|project| project.id)
            .or_else(|| self.find_group(path))
            .expect("the group or project is there");
        self.members
            .retain(|member| (member.user, member.of) != (user, of));
        self.members.push(Member { user, of, role });
    }

    /// The user's highest role in a group, its own or inherited.
    #[must_use]
    pub fn role_in_group(&self, user: u64, group: u64) -> Option<Role> {
        self.highest(user, &self.self_and_ancestors(group))
    }

    /// The user's highest role in a project, its own or inherited.
    #[must_use]
    pub fn role_in_project(&self, user: u64, project: u64) -> Option<Role> {
        let namespace = self.project_of(project).namespace;
        if self.namespace(namespace).kind == Kind::User(user) {
            return Some(Role::Owner);
        }
        let mut sources = self.self_and_ancestors(namespace);
        sources.push(project);
        self.highest(user, &sources)
    }

    /// Whoever became the first member of a project, or of a group it is in.
    pub(super) fn first_member(&self, project: u64) -> Option<u64> {
        let namespace = self.project_of(project).namespace;
        if let Kind::User(user) = self.namespace(namespace).kind {
            return Some(user);
        }
        let mut members = self.members.iter();
        let sources = self.self_and_ancestors(namespace);
        members
            .find(|member| member.of == project || sources.contains(&member.of))
            .map(|member| member.user)
    }

    fn highest(&self, user: u64, sources: &[u64]) -> Option<Role> {
        self.members
            .iter()
            .filter(|member| member.user == user && sources.contains(&member.of))
            .map(|member| member.role)
            .max()
    }
}
