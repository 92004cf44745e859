//! Environments of projects.

use adit_identity::{Tier, environment_slug};

use super::World;

/// An environment that GitLab has stored.
#[derive(Clone, Debug)]
pub struct Environment {
    pub id: u64,
    pub project: u64,
    pub name: String,
    pub slug: String,
    pub tier: Tier,
    /// The agent that its settings name.
    pub agent: Option<u64>,
}

impl World {
    /// The project's environment of this name; stored when it is not. Its tier is guessed from the name.
    pub fn environment(&mut self, project: u64, name: &str) -> u64 {
        if let Some(found) = self.find_environment(project, name) {
            return found.id;
        }
        let id = self.take_id();
        let environment = Environment {
            id,
            project,
            name: name.to_owned(),
            slug: environment_slug(name),
            tier: Tier::guessed(name),
            agent: None,
        };
        self.environments.insert(id, environment);
        id
    }

    #[must_use]
    pub fn find_environment(&self, project: u64, name: &str) -> Option<&Environment> {
        self.environments
            .values()
            .find(|environment| environment.project == project && environment.name == name)
    }

    pub(in crate::gitlab) fn environments_of(
        &self,
        project: u64,
    ) -> impl Iterator<Item = &Environment> {
        self.environments
            .values()
            .filter(move |environment| environment.project == project)
    }

    /// # Panics
    ///
    /// When there is none.
    pub fn environment_mut(&mut self, id: u64) -> &mut Environment {
        self.environments
            .get_mut(&id)
            .expect("the environment is there")
    }
}
