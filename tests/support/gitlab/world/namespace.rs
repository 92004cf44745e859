//! Groups in groups, and each user's own namespace. Paths are compared without regard to case.

use super::{World, fold};

/// What projects stand in.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub id: u64,
    pub parent: Option<u64>,
    pub path: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Group,
    /// A user's own: it holds projects, but no groups.
    User(u64),
}

impl World {
    /// The group of this path; made when it is not there, and the groups it stands in, too.
    ///
    /// # Panics
    ///
    /// When the path is a user's.
    pub fn group(&mut self, path: &str) -> u64 {
        if let Some(found) = self.find_namespace(path) {
            assert_eq!(found.kind, Kind::Group, "{path} is a user's namespace");
            return found.id;
        }
        let (parent, name) = match path.rsplit_once('/') {
            Some((parent, name)) => (Some(self.group(parent)), name),
            None => (None, path),
        };
        self.add_namespace(parent, name, Kind::Group)
    }

    pub(super) fn add_namespace(&mut self, parent: Option<u64>, path: &str, kind: Kind) -> u64 {
        let id = self.take_id();
        let path = path.to_owned();
        self.namespaces.insert(
            id,
            Namespace {
                id,
                parent,
                path,
                kind,
            },
        );
        id
    }

    #[must_use]
    pub fn find_namespace(&self, path: &str) -> Option<&Namespace> {
        let path = fold(path);
        self.namespaces
            .values()
            .find(|namespace| fold(&self.namespace_path(namespace.id)) == path)
    }

    pub(in crate::gitlab) fn find_group(&self, path: &str) -> Option<u64> {
        self.find_namespace(path)
            .filter(|found| found.kind == Kind::Group)
            .map(|found| found.id)
    }

    #[must_use]
    pub fn namespace(&self, id: u64) -> &Namespace {
        &self.namespaces[&id]
    }

    /// Such as `group/sub`.
    #[must_use]
    pub fn namespace_path(&self, id: u64) -> String {
        self.self_and_ancestors(id)
            .iter()
            .rev()
            .map(|id| self.namespaces[id].path.as_str())
            .collect::<Vec<_>>()
            .join("/")
    }

    /// Nearest first.
    #[must_use]
    pub fn self_and_ancestors(&self, id: u64) -> Vec<u64> {
        std::iter::successors(Some(id), |id| self.namespaces[id].parent).collect()
    }

    /// The top-level group, or the user's namespace.
    #[must_use]
    pub fn root(&self, namespace: u64) -> u64 {
        self.self_and_ancestors(namespace)
            .last()
            .copied()
            .unwrap_or(namespace)
    }
}
