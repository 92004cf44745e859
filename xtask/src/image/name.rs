//! An image's whole name. People write `adit:latest`; a kubelet asks its runtime for `docker.io/library/adit:latest`, and
//! does not find an image that was imported under less.

use std::fmt;

/// Registry and path, and a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    repository: String,
    pub(super) tag: String,
}

impl Name {
    pub(super) fn of(written: &str) -> Self {
        let (folder, last) = match written.rsplit_once('/') {
            Some((folder, last)) => (Some(folder), last),
            None => (None, written),
        };
        // A colon before the last slash is a port's.
        let (last, tag) = last.split_once(':').unwrap_or((last, "latest"));
        let repository = match folder {
            None => format!("{DEFAULT}/library/{last}"),
            Some(folder) if names_a_registry(folder) => format!("{folder}/{last}"),
            Some(folder) => format!("{DEFAULT}/{folder}/{last}"),
        };
        Self {
            repository,
            tag: tag.to_owned(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

/// By its first part, as every container tool decides it.
fn names_a_registry(folder: &str) -> bool {
    let first = folder.split('/').next().unwrap_or_default();
    first == "localhost" || first.contains(['.', ':'])
}

const DEFAULT: &str = "docker.io";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_made_whole_and_whole_ones_stay() {
        for (written, whole) in [
            ("adit", "docker.io/library/adit:latest"),
            ("adit:1", "docker.io/library/adit:1"),
            ("group/adit:1", "docker.io/group/adit:1"),
            ("adit.local/app:1", "adit.local/app:1"),
            ("localhost/adit", "localhost/adit:latest"),
            ("host:5000/group/adit", "host:5000/group/adit:latest"),
        ] {
            assert_eq!(Name::of(written).to_string(), whole);
        }
    }
}
