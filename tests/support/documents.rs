//! What readers are given: `README.md`, and the pages of `docs/` and `deploy/`, in the folders below those too.

use std::{
    fs,
    path::{Path, PathBuf},
};

use xtask::workspace;

/// Sorted by path.
///
/// # Panics
///
/// When a folder cannot be read.
#[must_use]
pub fn documents() -> Vec<PathBuf> {
    let root = workspace::root();
    let mut found = vec![root.join("README.md")];
    for folder in ["docs", "deploy"] {
        add(&root.join(folder), &mut found);
    }
    found.sort();
    found
}

fn add(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add(&path, found);
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
}
