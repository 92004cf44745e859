//! Packages of npm's registry, without npm: an archive each, by curl, held to its checksum.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha512};
use tar::Archive;

use super::{cache, debian, keep};
use crate::command;
use crate::hex::hex;

/// A package that needs no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Of its archive, in hexadecimal.
    pub(super) sha512: &'static str,
}

impl Package {
    /// Fetches it unless it is in the cache, and gives the folder of its files.
    pub(super) fn ready(self) -> Result<PathBuf> {
        let (cache, name) = (cache()?, self.key());
        keep(&name, &cache, &format!("{name} fetched"), |into| {
            debian::ready(&[debian::CURL])?;
            self.fetch(into)
        })?;
        Ok(self.folder(&cache))
    }

    pub(super) fn is_there(self) -> Result<bool> {
        Ok(self.folder(&cache()?).is_dir())
    }

    fn key(self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// All archives of the registry have this one folder.
    fn folder(self, cache: &Path) -> PathBuf {
        cache.join(self.key()).join("package")
    }

    fn fetch(self, into: &Path) -> Result<()> {
        fs::create_dir_all(into)?;
        let file = into.join("archive");
        let address = format!("{REGISTRY}/{0}/-/{0}-{1}.tgz", self.name, self.version);
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--silent", "--show-error", "--location"])
            .args(["--retry", "3", "--output"])
            .args([&file, Path::new(&address)]);
        command::text_of(&mut curl, "", Duration::from_mins(10))?;
        let archive = fs::read(&file)?;
        fs::remove_file(file)?;
        let hash = hex(Sha512::digest(&archive));
        ensure!(
            hash == self.sha512,
            "{address} is not what it was: its checksum is {hash}"
        );
        Archive::new(GzDecoder::new(&archive[..]))
            .unpack(into)
            .with_context(|| format!("cannot unpack {address}"))
    }
}

const REGISTRY: &str = "https://registry.npmjs.org";
