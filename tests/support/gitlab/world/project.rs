//! Projects.

use std::path::PathBuf;

use super::{Job, Kind, Repository, World, fold, protected};

/// A project and its settings.
#[derive(Clone, Debug)]
pub struct Project {
    pub id: u64,
    pub namespace: u64,
    pub path: String,
    pub default_branch: String,
    pub visibility: Visibility,
    pub licence: Licence,
    /// Names or wildcards such as `release/*`.
    pub protected_branches: Vec<String>,
    pub protected_tags: Vec<String>,
    /// Marked to be deleted: its jobs' tokens are good for nothing.
    pub is_being_deleted: bool,
    /// Who is told when its jobs begin and end.
    pub hooks: Vec<Hook>,
}

/// A webhook for job events.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    pub url: String,
    pub secret: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    #[default]
    Private,
    Internal,
    /// Anonymous users may read its code.
    Public,
}

/// What was paid for: it decides which `access_as` count for the project's jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Licence {
    Free,
    #[default]
    Premium,
    Ultimate,
}

impl World {
    /// The project of this path; made when it is not there, and its groups, too. Private, licensed for all modes, with the
    /// protected default branch `main`. Below a user's name it is that user's own.
    pub fn project(&mut self, path: &str) -> u64 {
        if let Some(found) = self.find_project(path) {
            return found.id;
        }
        let (namespace, name) = path.rsplit_once('/').expect("a project is in a namespace");
        let namespace = match self.find_namespace(namespace) {
            Some(found) => found.id,
            None => self.group(namespace),
        };
        let id = self.take_id();
        let project = Project {
            id,
            namespace,
            path: name.to_owned(),
            default_branch: "main".to_owned(),
            visibility: Visibility::default(),
            licence: Licence::default(),
            protected_branches: vec!["main".to_owned()],
            protected_tags: Vec::new(),
            is_being_deleted: false,
            hooks: Vec::new(),
        };
        self.projects.insert(id, project);
        id
    }

    #[must_use]
    pub fn find_project(&self, path: &str) -> Option<&Project> {
        let path = fold(path);
        self.projects
            .values()
            .find(|project| fold(&self.project_path(project.id)) == path)
    }

    /// By its id in decimal, or its path.
    pub(in crate::gitlab) fn project_named(&self, id: &str) -> Option<&Project> {
        match id.parse() {
            Ok(id) => self.projects.get(&id),
            Err(_) => self.find_project(id),
        }
    }

    #[must_use]
    pub fn project_of(&self, id: u64) -> &Project {
        &self.projects[&id]
    }

    /// # Panics
    ///
    /// When there is no such project.
    pub fn project_mut(&mut self, path: &str) -> &mut Project {
        let id = self.find_project(path).expect("the project is there").id;
        self.projects.get_mut(&id).expect("it was just found")
    }

    /// Such as `group/sub/app`.
    #[must_use]
    pub fn project_path(&self, id: u64) -> String {
        let project = &self.projects[&id];
        format!(
            "{}/{}",
            self.namespace_path(project.namespace),
            project.path
        )
    }

    /// The group it is in and all above, nearest first; none for a user's own project.
    #[must_use]
    pub fn project_groups(&self, id: u64) -> Vec<u64> {
        let namespace = self.projects[&id].namespace;
        match self.namespaces[&namespace].kind {
            Kind::Group => self.self_and_ancestors(namespace),
            Kind::User(_) => Vec::new(),
        }
    }

    #[must_use]
    pub fn project_root(&self, id: u64) -> u64 {
        self.root(self.projects[&id].namespace)
    }

    /// Whether a job runs on a protected ref.
    #[must_use]
    pub fn is_protected(&self, job: &Job) -> bool {
        let project = &self.projects[&job.project];
        let patterns = if job.is_tag {
            &project.protected_tags
        } else {
            &project.protected_branches
        };
        patterns
            .iter()
            .any(|pattern| protected::matches(pattern, &job.git_ref))
    }

    /// The project's repository; made empty when it has none yet.
    #[must_use]
    pub fn repository(&self, project: u64) -> Repository {
        Repository::at(
            &self.repositories.join(self.relative_path(project)),
            &self.projects[&project].default_branch,
        )
    }

    /// Where its repository lies in the storage.
    #[must_use]
    pub fn relative_path(&self, project: u64) -> PathBuf {
        PathBuf::from(format!("@hashed/project-{project}.git"))
    }

    /// What GitLab calls its repository.
    #[must_use]
    pub fn gl_repository(&self, project: u64) -> String {
        format!("project-{project}")
    }

    pub(in crate::gitlab) fn project_at(&self, relative_path: &str) -> Option<u64> {
        self.projects
            .keys()
            .copied()
            .find(|id| self.relative_path(*id).as_os_str() == relative_path)
    }
}
