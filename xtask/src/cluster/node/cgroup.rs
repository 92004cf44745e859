//! The cgroup that holds all our pods, in each hierarchy that the machine has, old or new.
//!
//! It is the node's own: what is killed and removed at the end lies in it, so that another kubelet on this machine,
//! whose pods lie elsewhere, is left alone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Its name, below the root of each hierarchy.
pub(super) const NAME: &str = "adit-node";

/// Makes it; a kubelet wants it to be there.
pub(super) fn set_up() -> Result<()> {
    for hierarchy in hierarchies() {
        let cgroup = hierarchy.join(NAME);
        if !cgroup.is_dir() {
            fs::create_dir(&cgroup)
                .with_context(|| format!("cannot make the cgroup {}", cgroup.display()))?;
        }
    }
    Ok(())
}

/// Where it is.
pub(super) fn all() -> Vec<PathBuf> {
    let mut found: Vec<_> = hierarchies()
        .into_iter()
        .map(|hierarchy| hierarchy.join(NAME))
        .collect();
    found.retain(|cgroup| cgroup.is_dir());
    found
}

/// One with the new kind; with the old one per controller, some under a second name by a link.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").is_file() {
        return vec![root.to_owned()];
    }
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    found.retain(|path| path.join("cgroup.procs").is_file() && !path.is_symlink());
    found
}
