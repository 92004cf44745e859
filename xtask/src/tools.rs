//! Other people's programs, kept under one cache folder: Kubernetes' own, built once from the Go modules that `xtask/tools` pins;
//! programs of crates.io; what runs pipelines, from npm's registry; Prometheus, from Debian; Envoy, from PyPI.
//!
//! Called before a cluster starts. Which modules there are is [`Module`]; [`Tools`] knows where each program lies. The
//! invariant: a folder in the cache is complete or not there, because it gets its name only when all is done.

mod build;
mod ci_local;
mod crates;
pub mod debian;
mod envoy;
mod module;
mod npm;
mod prometheus;
mod source;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

pub use self::build::go;
pub use self::ci_local::CiLocal;
pub use self::crates::Program;
pub use self::envoy::Envoy;
pub use self::module::Module;
pub use self::prometheus::Prometheus;
use crate::{command, lock, progress};

/// Where the programs are. Made by [`Tools::ready`], so they are there.
#[derive(Clone, Debug)]
pub struct Tools {
    cache: PathBuf,
}

impl Tools {
    /// Builds those of these modules that are not in the cache, with progress; the others cost nothing.
    ///
    /// # Errors
    /// Go is missing or too old, or a build fails.
    pub fn ready(modules: &[Module]) -> Result<Self> {
        let cache = cache()?;
        for module in modules {
            ready(*module, &cache)?;
        }
        Ok(Self { cache })
    }

    /// A program of a module, such as `kubectl` of [`Module::Kubernetes`].
    #[must_use]
    pub fn program(&self, module: Module, name: &str) -> PathBuf {
        self.folder(module).join("bin").join(name)
    }

    /// kubectl, of the API server's own version.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.program(Module::Kubernetes, "kubectl")
    }

    /// helm.
    #[must_use]
    pub fn helm(&self) -> PathBuf {
        self.program(Module::Helm, "helm")
    }

    /// A module's folder in the cache: `bin`, and what else it gave.
    #[must_use]
    pub fn folder(&self, module: Module) -> PathBuf {
        self.cache.join(module.key())
    }
}

/// A kubectl that is not of the cluster's version: the machine's own, or where it has none that speaks WebSocket, an older one that is
/// built.
///
/// # Errors
/// There is none, and Go is missing or the build fails.
pub fn other_kubectl() -> Result<PathBuf> {
    if let Some(own) = command::find("kubectl").filter(|own| speaks_websocket(own)) {
        return Ok(own);
    }
    let tools = Tools::ready(&[Module::Kubectl])?;
    Ok(tools.program(Module::Kubectl, "kubectl"))
}

/// Of exec and port-forward by default, from 1.31 on.
fn speaks_websocket(kubectl: &Path) -> bool {
    let version = ["version", "--client", "--output=json"];
    let said = command::text(Command::new(kubectl).args(version)).unwrap_or_default();
    let said: Value = serde_json::from_str(&said).unwrap_or_default();
    let minor = said.pointer("/clientVersion/minor").and_then(Value::as_str);
    // Some say `36+`.
    let minor = minor.and_then(|minor| minor.trim_end_matches('+').parse::<u32>().ok());
    minor.is_some_and(|minor| minor >= 31)
}

/// Whether these modules could be made ready: they are there already, or Go is. Tests ask before they say they skip.
///
/// # Errors
/// What is missing, and how to get it.
pub fn available(modules: &[Module]) -> Result<()> {
    let cache = cache()?;
    if modules
        .iter()
        .all(|module| cache.join(module.key()).is_dir())
    {
        return Ok(());
    }
    go().map(drop)
}

/// The cache: `$ADIT_CACHE`, or `adit` in the user's cache folder.
///
/// # Errors
/// There is neither that variable nor a home, or the folder cannot be made.
pub fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = variable("ADIT_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| Path::new(&cache).join("adit")))
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache/adit")))
        .context("set ADIT_CACHE to a folder: there is no HOME to keep built programs in")?;
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the cache folder {}", folder.display()))?;
    Ok(folder)
}

fn ready(module: Module, cache: &Path) -> Result<()> {
    let name = module.key();
    let what = format!("{name} built");
    keep(&name, cache, &what, |into| build::build(module, into))
}

/// Makes a folder of the cache, unless it is there. `what` is said when it is done.
fn keep(
    name: &str,
    cache: &Path,
    what: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(());
    }
    let _lock = lock(&cache.join(format!("{name}.lock")), name)?;
    if folder.is_dir() {
        return Ok(());
    }
    let unfinished = cache.join(format!("{name}.building"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    progress::step(what, || {
        make(&unfinished)?;
        fs::rename(&unfinished, &folder).context("cannot put it in its place in the cache")
    })
}

/// Waits until no other process builds the same thing.
pub(crate) fn lock(path: &Path, name: &str) -> Result<File> {
    lock::take(path, &format!("the build of {name}"), BUILT_WITHIN)
}

/// All of Kubernetes from nothing, on a slow machine that has other things to do.
const BUILT_WITHIN: Duration = Duration::from_hours(1);
