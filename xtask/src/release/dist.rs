//! `cargo xtask dist`: one folder with all that is given to others: an archive of the binary with its pages, completions, example
//! files and manifests; the charts; the image; the list of components; and checksums of them all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use xtask::hex::hex;
use xtask::image::{Layer, Sbom};
use xtask::progress::{line, step};
use xtask::{command, workspace};

use super::binary;

/// Writes it all; what was in the folder before is gone.
pub(crate) fn run(output: &Path) -> Result<()> {
    // Before the build, which takes minutes.
    let folder = Folder::new(output)?;
    let binary = binary::build()?;
    let sbom = step("components listed", Sbom::new)?;
    folder.write(&format!("adit-{VERSION}.cdx.json"), sbom.text().as_bytes())?;
    step("archive written", || {
        let name = format!("adit-{VERSION}-{}", workspace::triple());
        let archive = archive(&binary, &name)?.packed()?;
        folder.write(&format!("{name}.tar.gz"), &archive)
    })?;
    step("charts written", || {
        ["adit-agent", "adit-relay"]
            .into_iter()
            .try_for_each(|chart| {
                let files = workspace::root().join("deploy/charts").join(chart);
                let layer = tree(Layer::new(), &files, chart, &["ci"])?;
                folder.write(&format!("{chart}-{VERSION}.tgz"), &layer.packed()?)
            })
    })?;
    let image = folder.path(&format!("adit-{VERSION}-image.tar"));
    let digest = step("image written", || {
        super::write(super::IMAGE, &image, &binary, &sbom)
    })?;
    folder.write("SHA256SUMS", folder.checksums()?.as_bytes())?;
    line(format_args!(
        "\nall of it is in {}; the image is {digest}",
        output.display()
    ));
    Ok(())
}

/// The binary, and everything that goes with it on a machine.
fn archive(binary: &Path, name: &str) -> Result<Layer> {
    let root = workspace::root();
    let mut layer = Layer::new().file(&format!("{name}/adit"), fs::read(binary)?, 0o755);
    for file in [
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "deploy/relay.example.yaml",
    ] {
        layer = layer.file(&format!("{name}/{file}"), fs::read(root.join(file))?, 0o644);
    }
    for part in [
        "docs",
        "deploy/grafana",
        "deploy/manifests",
        "deploy/prometheus",
        "deploy/systemd",
    ] {
        layer = tree(layer, &root.join(part), &format!("{name}/{part}"), &[])?;
    }
    for (shell, file) in [("bash", "adit"), ("zsh", "_adit"), ("fish", "adit.fish")] {
        let script = command::text(Command::new(binary).args(["completions", shell]))?;
        let path = format!("{name}/completions/{shell}/{file}");
        layer = layer.file(&path, script.into_bytes(), 0o644);
    }
    let pages = tempfile::tempdir()?;
    command::text(Command::new(binary).arg("man").arg(pages.path()))?;
    tree(layer, pages.path(), &format!("{name}/man/man1"), &[])
}

/// The files below a folder, in the order of their names.
fn tree(mut layer: Layer, folder: &Path, name: &str, except: &[&str]) -> Result<Layer> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}/{file}");
        if except.contains(&&*file) {
            continue;
        }
        layer = if path.is_dir() {
            tree(layer, &path, &name, &[])?
        } else {
            layer.file(&name, fs::read(&path)?, 0o644)
        };
    }
    Ok(layer)
}

/// Where it goes.
struct Folder(PathBuf);

impl Folder {
    fn new(path: &Path) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.path(name), bytes).with_context(|| format!("cannot write {name}"))
    }

    /// As `sha256sum --check` reads them.
    fn checksums(&self) -> Result<String> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let hash = hex(Sha256::digest(fs::read(entry.path())?));
            lines.push(format!("{hash}  {}\n", entry.file_name().to_string_lossy()));
        }
        lines.sort_by(|left, right| left.get(64..).cmp(&right.get(64..)));
        Ok(lines.concat())
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_and_manifests_have_the_version_of_the_binary() {
        let read = |path: &str| fs::read_to_string(workspace::root().join(path)).unwrap();
        for chart in ["adit-agent", "adit-relay"] {
            let chart = read(&format!("deploy/charts/{chart}/Chart.yaml"));
            for key in ["version", "appVersion"] {
                let line = format!("\n{key}: {VERSION}\n");
                assert!(chart.contains(&line), "{chart}");
            }
        }
        for deployment in ["agent/workload", "relay"] {
            let text = read(&format!("deploy/manifests/{deployment}/deployment.yaml"));
            let image = format!("image: {}\n", super::super::IMAGE);
            assert!(text.contains(&image), "{deployment}");
        }
    }

    #[test]
    fn a_tree_is_packed_in_one_order_without_what_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [("b", "2"), ("a/c", "1"), ("ci/x", "no")] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let packed = || {
            tree(Layer::new(), folder.path(), "top", &["ci"])
                .unwrap()
                .packed()
                .unwrap()
        };
        assert_eq!(packed(), packed());
        let packed = packed();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&*packed));
        let names: Vec<_> = tar
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["top/", "top/a/", "top/a/c", "top/b"]);
    }

    #[test]
    fn checksums_are_sorted_by_name() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(&place.path().join("dist")).unwrap();
        folder.write("b", b"").unwrap();
        folder.write("a", b"x").unwrap();
        let sums = folder.checksums().unwrap();
        let names: Vec<_> = sums
            .lines()
            .map(|line| line.split_once("  ").unwrap().1)
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert!(
            sums.contains("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b")
        );
    }
}
