//! A module's source, and Go as it sees it: where it lies in Go's cache, or a copy of it to which is added what it lacks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::Module;
use super::module::Kept;
use crate::command;

/// There for as long as the value is.
pub(super) struct Source {
    go: PathBuf,
    module: Module,
    folder: PathBuf,
    /// With a `go.mod` that means the copy in it.
    own: Option<TempDir>,
}

impl Source {
    /// Downloads what is missing, all that it depends on included.
    pub(super) fn fetch(go: PathBuf, module: Module) -> Result<Self> {
        let mut source = Self {
            go,
            module,
            folder: PathBuf::new(),
            own: None,
        };
        // Of no module but this one: the packages name what they depend on.
        let mut download = source.go("mod");
        download.args(["download", module.path()]);
        patiently(&mut download)?;
        let mut list = source.go("list");
        list.args(["-m", "-f", "{{.Dir}}", module.path()]);
        source.folder = command::text(&mut list)?.trim().into();
        if !module.added().is_empty() {
            source.own = Some(source.completed()?);
        }
        Ok(source)
    }

    /// The packages that its programs are made of.
    pub(super) fn packages(&self) -> Result<Vec<String>> {
        let mut list = self.go("list");
        list.args(["-deps", "-f", "{{.ImportPath}}"]);
        list.args(self.module.programs().iter().map(|(package, _)| package));
        Ok(patiently(&mut list)?.lines().map(str::to_owned).collect())
    }

    /// A command of Go's.
    pub(super) fn go(&self, command: &str) -> Command {
        let mut go = Command::new(&self.go);
        go.current_dir(self.module.folder())
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .env("GOWORK", "off")
            .arg(command);
        if let Some(own) = &self.own {
            go.arg("-modfile").arg(own.path().join(GO_MOD));
        }
        go
    }

    /// Writes something of it into a folder.
    pub(super) fn keep(&self, kept: &Kept, into: &Path) -> Result<()> {
        let to = into.join(kept.to);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        write(&self.folder.join(kept.from), &to)
            .with_context(|| format!("{} lacks {}", self.module.path(), kept.from))
    }

    fn completed(&self) -> Result<TempDir> {
        let own = tempfile::tempdir()?;
        let copy = own.path().join("source");
        write(&self.folder, &copy)?;
        for file in self.module.added() {
            let file = copy.join(file);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(file, "")?;
        }
        let of = self.module.folder();
        let go_mod = fs::read_to_string(of.join(GO_MOD))?;
        let (path, copy) = (self.module.path(), copy.display());
        fs::write(
            own.path().join(GO_MOD),
            format!("{go_mod}\nreplace {path} => {copy}\n"),
        )?;
        write(&of.join("go.sum"), &own.path().join("go.sum"))?;
        Ok(own)
    }
}

/// Go, when it may have much to download.
fn patiently(go: &mut Command) -> Result<String> {
    command::text_of(go, "", Duration::from_mins(20))
        .context("Go's modules cannot be had: is there a way to its module proxy (GOPROXY)?")
}

/// A file, or a folder with all that is in it. Written, not copied: Go's cache is read-only, and so would be the copy.
fn write(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(fs::write(to, fs::read(from)?)?);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        write(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

const GO_MOD: &str = "go.mod";
