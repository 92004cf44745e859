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
    let digest = pack(&binary, &folder)?;
    line(format_args!(
        "\nall of it is in {}; the image is {digest}",
        output.display()
    ));
    Ok(())
}

/// Gives the image's digest.
fn pack(binary: &Path, folder: &Folder) -> Result<String> {
    let sbom = step("components listed", Sbom::new)?;
    folder.write(&format!("adit-{VERSION}.cdx.json"), sbom.text().as_bytes())?;
    step("archive written", || {
        let name = format!("adit-{VERSION}-{}", workspace::triple());
        let archive = archive(binary, &name)?.packed()?;
        folder.write(&format!("{name}.tar.gz"), &archive)
    })?;
    step("charts written", || {
        ["adit-agent", "adit-relay"]
            .into_iter()
            .try_for_each(|chart| {
                let files = workspace::root().join("deploy/charts").join(chart);
                let layer = tree(Layer::new(), &files, chart, TRIED)?;
                folder.write(&format!("{chart}-{VERSION}.tgz"), &layer.packed()?)
            })
    })?;
    let image = folder.path(&format!("adit-{VERSION}-image.tar"));
    let digest = step("image written", || {
        super::write(super::IMAGE, &image, binary, &sbom)
    })?;
    folder.write("SHA256SUMS", folder.checksums()?.as_bytes())?;
    Ok(digest)
}

/// The binary, and everything that goes with it on a machine.
fn archive(binary: &Path, name: &str) -> Result<Layer> {
    let root = workspace::root();
    let mut layer = Layer::new().file(&format!("{name}/adit"), fs::read(binary)?, 0o755);
    for file in [
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "benches/NOTES.md",
        "benches/README.md",
        "benches/race.svg",
        "deploy/relay.example.yaml",
    ] {
        layer = layer.file(&format!("{name}/{file}"), fs::read(root.join(file))?, 0o644);
    }
    for part in [
        "docs",
        "deploy/charts",
        "deploy/grafana",
        "deploy/manifests",
        "deploy/prometheus",
        "deploy/systemd",
    ] {
        layer = tree(layer, &root.join(part), &format!("{name}/{part}"), TRIED)?;
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

/// A chart's values that only its tests use.
const TRIED: &[&str] = &["ci"];

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
            tree(layer, &path, &name, except)?
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
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use serde_json::Value;
    use xtask::skip;
    use xtask::tools::{self, Module, Tools};

    use super::*;

    /// Says what `adit` does, for the commands that packing calls.
    const PROGRAM: &str = r#"#!/bin/sh
case $1 in
    completions) echo "script for $2" ;;
    man) echo ".TH adit 1" > "$2/adit.1" ;;
esac
"#;

    /// The files of a packed tar, with mode and content.
    fn unpacked(packed: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
        let packed = fs::File::open(packed).unwrap();
        entries(flate2::read::GzDecoder::new(packed))
    }

    fn entries(tar: impl Read) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut tar = tar::Archive::new(tar);
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (name, (entry.header().mode().unwrap(), content))
        });
        entries.collect()
    }

    /// All files below a folder of the workspace.
    fn below(folder: &str) -> Vec<String> {
        let entries = fs::read_dir(workspace::root().join(folder)).unwrap();
        let files = entries.flat_map(|entry| {
            let path = format!("{folder}/{}", entry.unwrap().file_name().display());
            match workspace::root().join(&path).is_dir() {
                true => below(&path),
                false => vec![path],
            }
        });
        files.collect()
    }

    #[test]
    fn all_that_is_given_to_others_is_there_and_has_its_checksum() {
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("program");
        fs::write(&program, PROGRAM).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let dist = place.path().join("dist");
        let folder = Folder::new(&dist).unwrap();
        let digest = pack(&program, &folder).unwrap();
        assert!(digest.starts_with("sha256:"), "{digest}");

        let archive = format!("adit-{VERSION}-{}", workspace::triple());
        let files = unpacked(&dist.join(format!("{archive}.tar.gz")));
        let file = |name: &str| &files[&format!("{archive}/{name}")];
        assert_eq!(file("adit"), &(0o755, PROGRAM.as_bytes().to_vec()));
        let there = |name: &str| fs::read(workspace::root().join(name)).unwrap();
        let folders = [
            "docs",
            "deploy/charts",
            "deploy/grafana",
            "deploy/manifests",
            "deploy/prometheus",
            "deploy/systemd",
        ];
        let alone = [
            "LICENSE",
            "README.md",
            "CHANGELOG.md",
            "benches/README.md",
            "deploy/relay.example.yaml",
        ];
        let names = folders.into_iter().flat_map(below);
        let names = names.filter(|name| !name.contains("/ci/"));
        for name in names.chain(alone.map(str::to_owned)) {
            assert_eq!(file(&name), &(0o644, there(&name)), "{name}");
        }
        for (name, text) in [
            ("completions/bash/adit", "script for bash\n"),
            ("completions/zsh/_adit", "script for zsh\n"),
            ("completions/fish/adit.fish", "script for fish\n"),
            ("man/man1/adit.1", ".TH adit 1\n"),
        ] {
            assert_eq!(file(name).1, text.as_bytes(), "{name}");
        }
        pages_lead_to_what_is_there(&files);
        for chart in ["adit-agent", "adit-relay"] {
            let files = unpacked(&dist.join(format!("{chart}-{VERSION}.tgz")));
            let names = below(&format!("deploy/charts/{chart}")).into_iter();
            let (tried, given): (Vec<_>, Vec<_>) = names.partition(|name| name.contains("/ci/"));
            assert!(!tried.is_empty() && given.len() > 10, "{given:?}");
            for name in given {
                let packed = &files[name.strip_prefix("deploy/charts/").unwrap()];
                assert_eq!(packed.1, there(&name), "{name}");
            }
            assert!(!files.keys().any(|name| name.contains("/ci/")));
        }
        charts_are_read_by_helm(&dist);
        image_holds_the_list_and_is_not_roots(&dist);

        let mut check = Command::new("sha256sum");
        let check = check.args(["--check", "--strict", "SHA256SUMS"]);
        let said = command::text(check.current_dir(&dist)).unwrap();
        let sums = dist.join("SHA256SUMS");
        let written = fs::read_dir(&dist).unwrap().count();
        assert_eq!(said.lines().count(), written - 1, "{said}");
        assert_eq!(written, 6);
        let spoilt = fs::read_to_string(&sums).unwrap().replacen('a', "b", 1);
        fs::write(&sums, spoilt).unwrap();
        let mut check = Command::new("sha256sum");
        let check = check.args(["--check", "--strict", "SHA256SUMS"]);
        command::text(check.current_dir(&dist)).unwrap_err();
    }

    /// Links of the archive's documents to its own files. The README is the checkout's, too, and shows its sources.
    fn pages_lead_to_what_is_there(files: &BTreeMap<String, (u32, Vec<u8>)>) {
        let mut count = 0;
        let is_document = |name: &str| name.contains("/docs/") || name.contains("/benches/");
        let pages = files.iter().filter(|(name, _)| is_document(name));
        for (page, (_, text)) in pages.filter(|(name, _)| name.ends_with(".md")) {
            let text = str::from_utf8(text).unwrap();
            for link in text.split("](").skip(1) {
                let to = link.split([')', '#']).next().unwrap();
                if to.is_empty() || to.contains("://") {
                    continue;
                }
                let mut path: Vec<_> = page.split('/').collect();
                path.pop();
                for part in to.trim_end_matches('/').split('/') {
                    match part {
                        ".." => drop(path.pop().unwrap()),
                        "." => {}
                        part => path.push(part),
                    }
                }
                let path = path.join("/");
                let below = format!("{path}/");
                let is_there =
                    files.contains_key(&path) || files.keys().any(|name| name.starts_with(&below));
                assert!(is_there, "{page} leads to {to}");
                count += 1;
            }
        }
        assert!(count > 100, "{count}");
    }

    /// As an installation would: nothing that a template needs was left out.
    fn charts_are_read_by_helm(dist: &Path) {
        if let Err(why) = tools::available(&[Module::Helm]) {
            let test = "all_that_is_given_to_others_is_there_and_has_its_checksum";
            return skip::skipped(test, &format!("{why:#}"));
        }
        let helm = Tools::ready(&[Module::Helm]).unwrap().helm();
        let issuer = "config.authorities.oidc.issuers[0]";
        let home = tempfile::tempdir().unwrap();
        let of_relay = format!(
            "{issuer}.url=https://gitlab.example.com,{issuer}.audiences[0]=https://relay.example.com,dashboards.enabled=true"
        );
        for (chart, set, made) in [
            (
                "adit-agent",
                "relay.url=https://relay.example.com",
                "kind: ClusterRole",
            ),
            ("adit-relay", of_relay.as_str(), "adit-fleet.json: |"),
        ] {
            let packed = dist.join(format!("{chart}-{VERSION}.tgz"));
            let mut template = Command::new(&helm);
            template.env_clear().env("HOME", home.path());
            template.arg("template");
            template.arg(packed).args(["--set", set]);
            let text = command::text(&mut template).unwrap();
            for kind in ["kind: Deployment", "kind: NetworkPolicy", made] {
                assert!(text.contains(kind), "{chart}: {kind}");
            }
        }
    }

    fn image_holds_the_list_and_is_not_roots(dist: &Path) {
        let image = fs::read(dist.join(format!("adit-{VERSION}-image.tar"))).unwrap();
        let blobs = entries(&*image);
        let blob = |described: &Value| {
            let digest = described["digest"].as_str().unwrap().replace(':', "/");
            blobs[&format!("blobs/{digest}")].1.as_slice()
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = json(&blobs["index.json"].1);
        let manifest = json(blob(&index["manifests"][0]));
        let layer = blob(&manifest["layers"][0]);
        let files = entries(flate2::read::GzDecoder::new(layer));
        let list = fs::read(dist.join(format!("adit-{VERSION}.cdx.json"))).unwrap();
        assert!(list.len() > 1000);
        assert_eq!(files["usr/share/doc/adit/adit.cdx.json"].1, list);
        assert_eq!(files["bin/adit"], (0o755, PROGRAM.as_bytes().to_vec()));

        let user = &json(blob(&manifest["config"]))["config"]["User"];
        assert_ne!(user, "0");
        let user = user.as_str().unwrap();
        for deployment in ["agent/workload", "relay"] {
            let path = format!("deploy/manifests/{deployment}/deployment.yaml");
            let text = fs::read_to_string(workspace::root().join(path)).unwrap();
            let runs_as = format!("runAsUser: {user}\n");
            assert!(text.contains(&runs_as), "{deployment}: {runs_as}");
        }
    }

    #[test]
    fn components_are_those_of_the_workspace() {
        let sbom = Sbom::new().unwrap();
        let list: Value = serde_json::from_str(sbom.text()).unwrap();
        let components = list["components"].as_array().unwrap();
        let of = |name: &str| components.iter().find(|one| one["name"] == name);
        let lock = fs::read_to_string(workspace::root().join("Cargo.lock")).unwrap();
        for name in ["rustls", "h2", "tokio"] {
            let locked = format!("name = \"{name}\"\nversion = \"");
            let (_, rest) = lock.split_once(&locked).unwrap();
            let (version, rest) = rest.split_once('"').unwrap();
            let (_, rest) = rest.split_once("checksum = \"").unwrap();
            let (checksum, _) = rest.split_once('"').unwrap();
            let listed = of(name).unwrap();
            assert_eq!(listed["version"], version, "{name}");
            assert_eq!(listed["hashes"][0]["content"], checksum, "{name}");
            assert!(listed["licenses"][0]["expression"].is_string(), "{name}");
        }
        assert_eq!(of("adit-relay").unwrap()["version"], VERSION);
        // Of tests and builds alone.
        for name in ["libtest-mimic", "adit-tests", "xtask"] {
            assert_eq!(of(name), None);
        }
        for one in components {
            let licence = one["licenses"][0]["expression"].as_str().unwrap();
            assert!(!licence.is_empty(), "{one}");
        }
    }

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
            tree(Layer::new(), folder.path(), "top", TRIED)
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
