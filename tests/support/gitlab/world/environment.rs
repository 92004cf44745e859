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
            tier: guessed_tier(name),
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

    /// # Panics
    ///
    /// When there is none.
    pub fn environment_mut(&mut self, id: u64) -> &mut Environment {
        self.environments
            .get_mut(&id)
            .expect("the environment is there")
    }
}

/// The tier that GitLab gives an environment which states none: the first of these words that occurs in its name.
fn guessed_tier(name: &str) -> Tier {
    const DEVELOPMENT: [&str; 3] = ["dev", "review", "trunk"];
    const TESTING: [&str; 9] = [
        "test", "tst", "int", "acpt", "accept", "qa", "qc", "control", "quality",
    ];
    const STAGING: [&str; 7] = ["stg", "stag", "model", "modl", "pre", "demo", "non"];
    const PRODUCTION: [&str; 3] = ["prod", "prd", "live"];
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&DEVELOPMENT) {
        Tier::Development
    } else if has(&TESTING) {
        Tier::Testing
    } else if has(&STAGING) {
        Tier::Staging
    } else if has(&PRODUCTION) {
        Tier::Production
    } else {
        Tier::Other
    }
}
