//! The repository around us: where it is, and what cargo builds in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;

/// The repository's top folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository's top folder")
}

/// What the released binary is built for.
#[must_use]
pub fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// A cargo that runs in the repository.
#[must_use]
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    // Set for us by `cargo xtask`; a cargo below must not take them for its own.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// Builds the binary `adit` as `cargo build` does, or takes the one that is there, and gives its path. Cargo tells nothing but errors: a
/// [`step`](crate::progress::step) tells that it lasts.
///
/// # Errors
/// It does not build; cargo has said why.
pub fn adit() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--quiet", "--package", "adit", "--bin", "adit"]);
    one(executables(&mut command)?)
}

/// Builds the double of GitLab that the tests have, and gives its path.
///
/// # Errors
/// It does not build; cargo has said why.
pub fn gitlab_double() -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--quiet", "--package", "adit-tests"]);
    command.args(["--bin", "gitlab-double"]);
    one(executables(&mut command)?)
}

/// The same binary as [`adit`], linked statically as the released one is: a file that needs none beside it. What it is made of is
/// shared with the other, only the last link is its own.
///
/// # Errors
/// It does not build; cargo has said why.
pub fn static_adit() -> Result<PathBuf> {
    let metadata = ["metadata", "--no-deps", "--offline", "--format-version=1"];
    let metadata: Value = serde_json::from_str(&command::text(cargo().args(metadata))?)?;
    let folder = |name: &str| {
        metadata
            .get(name)
            .and_then(Value::as_str)
            .context("cargo names no folders")
    };
    let mut command = cargo();
    // A target folder of its own, so that neither undoes the other.
    command
        .env("CARGO_BUILD_BUILD_DIR", folder("build_directory")?)
        .args(["rustc", "--quiet", "--package", "adit", "--bin", "adit"])
        .arg("--target-dir")
        .arg(Path::new(folder("target_directory")?).join("static"));
    one(build(&mut command, &["-C", "target-feature=+crt-static"])?)
}

fn one(built: Vec<Built>) -> Result<PathBuf> {
    let first = built.into_iter().next();
    first.map(|built| built.path).context("cargo built nothing")
}

/// A binary that cargo built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The package's folder; tests run in it.
    pub package: PathBuf,
    /// The target, such as `scenarios`.
    pub target: String,
    /// The binary.
    pub path: PathBuf,
    /// Whether it is one of tests.
    pub is_test: bool,
}

/// Lets cargo build, with its own progress on standard error, and gives the binaries it speaks of.
///
/// # Errors
/// Cargo fails.
pub fn executables(command: &mut Command) -> Result<Vec<Built>> {
    build(command, &[])
}

/// With flags for the last call of the compiler alone, which `cargo rustc` takes.
fn build(command: &mut Command, flags: &[&str]) -> Result<Vec<Built>> {
    command.arg("--message-format=json-render-diagnostics");
    if !flags.is_empty() {
        command.arg("--").args(flags);
    }
    let said = command::show_errors(command)?;
    Ok(said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter_map(|message| built(&message))
        .collect())
}

fn built(message: &Value) -> Option<Built> {
    let text = |pointer| message.pointer(pointer).and_then(Value::as_str);
    Some(Built {
        path: text("/executable")?.into(),
        is_test: message.pointer("/profile/test").and_then(Value::as_bool) == Some(true),
        package: Path::new(text("/manifest_path")?).parent()?.to_owned(),
        target: text("/target/name")?.to_owned(),
    })
}
