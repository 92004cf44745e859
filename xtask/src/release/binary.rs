//! The released binary: static, so that it runs on any kernel whatever the libraries around it, and without a trace of the
//! folders in which it was built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use xtask::progress::step;
use xtask::workspace;

/// Builds it in a target folder of its own, so that neither build undoes the other. What build scripts write lies there, too,
/// wherever other builds keep theirs: its path gets into the binary, and here it is one of those that are renamed.
pub(super) fn build() -> Result<PathBuf> {
    let mut cargo = settled(workspace::root(), "adit")?;
    let built = step("adit built", || workspace::executables(&mut cargo))?;
    let binary = built.into_iter().next().context("cargo built no adit")?;
    Ok(binary.path)
}

/// A cargo that builds the package's binary of its own name, in the repository of this top folder.
fn settled(root: &Path, package: &str) -> Result<Command> {
    let mut cargo = workspace::cargo();
    cargo.current_dir(root);
    cargo.env("CARGO_BUILD_BUILD_DIR", TARGET_FOLDER);
    cargo
        .args(["build", "--locked", "--release", "--package", package])
        .args(["--bin", package, "--target", &workspace::triple()])
        .args(["--target-dir", TARGET_FOLDER]);
    settle(root, &mut cargo)?;
    Ok(cargo)
}

/// Flags of both compilers, instead of those that happen to be in the environment.
fn settle(root: &Path, cargo: &mut Command) -> Result<()> {
    let folders = [(root.to_owned(), "/adit"), (cargo_home()?, "/cargo")];
    let renamed = |flag: &str| {
        let one = |(folder, name): &(PathBuf, &str)| format!("{flag}={}={name}", folder.display());
        folders.iter().map(one).collect::<Vec<_>>()
    };
    let mut rust = vec!["-Ctarget-feature=+crt-static".to_owned()];
    rust.extend(renamed("--remap-path-prefix"));
    // Between blanks a path could be cut in two.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"));
    cargo.env("CFLAGS", renamed("-ffile-prefix-map").join(" "));
    cargo.env("SOURCE_DATE_EPOCH", "0");
    Ok(())
}

/// Where cargo keeps the sources of dependencies.
fn cargo_home() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("set CARGO_HOME: there is no HOME")
}

/// From the repository's top folder.
const TARGET_FOLDER: &str = "target/static";

#[cfg(test)]
mod tests;
