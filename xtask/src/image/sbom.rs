//! What the binary is made of, as CycloneDX 1.5: each crate with its version, licence and checksum, which of them use which,
//! and the C library that is linked in. No time, no serial number: the same binary has the same list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use crate::{command, workspace};
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The list, as JSON.
#[derive(Debug)]
pub struct Sbom(String);

impl Sbom {
    /// Of the binary `adit` at this moment's lock file.
    ///
    /// # Errors
    /// Cargo or the C library do not tell what it is made of.
    pub fn new() -> Result<Self> {
        let mut cargo = workspace::cargo();
        cargo
            .args(["metadata", "--locked", "--format-version=1"])
            .args(["--filter-platform", &workspace::triple()]);
        let metadata = serde_json::from_str(&command::text(&mut cargo)?)?;
        let lock = fs::read_to_string(workspace::root().join("Cargo.lock"))?;
        let list = listed(&metadata, &checksums(&lock), &c_library()?)?;
        Ok(Self(serde_json::to_string_pretty(&list)? + "\n"))
    }

    /// The list.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Checksums by name and version.
type Checksums = BTreeMap<(String, String), String>;

fn listed(metadata: &Value, checksums: &Checksums, c_library: &Value) -> Result<Value> {
    let packages = by_id(metadata, "/packages").context("cargo names no packages")?;
    let nodes = by_id(metadata, "/resolve/nodes").context("cargo resolves nothing")?;
    let root = packages
        .iter()
        .find(|(_, package)| package["name"] == "adit")
        .map(|(id, _)| *id)
        .context("there is no package adit")?;
    let mut used = BTreeMap::new();
    let mut ahead = vec![root];
    while let Some(id) = ahead.pop() {
        if !used.contains_key(id) {
            let below = linked(nodes.get(id).context("a package is not resolved")?);
            ahead.extend(&below);
            used.insert(id, below);
        }
    }
    let package = |id: &str| packages.get(id).context("a package is not listed");
    let mut components = Vec::new();
    for id in used.keys().filter(|id| **id != root) {
        components.push(component(package(id)?, "library", checksums));
    }
    components.push(c_library.clone());
    let mut dependencies = Vec::new();
    for (id, below) in &used {
        let below: Vec<_> = below
            .iter()
            .map(|id| Ok(purl(package(id)?)))
            .collect::<Result<_>>()?;
        dependencies.push(json!({ "ref": purl(package(id)?), "dependsOn": below }));
    }
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(package(root)?, "application", checksums) },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn by_id<'a>(metadata: &'a Value, pointer: &str) -> Option<BTreeMap<&'a str, &'a Value>> {
    let items = metadata.pointer(pointer)?.as_array()?;
    items
        .iter()
        .map(|item| Some((item["id"].as_str()?, item)))
        .collect()
}

/// Those that end up in the binary, or write parts of it; not what only builds or tests it.
fn linked(node: &Value) -> BTreeSet<&str> {
    let is_linked = |dependency: &&Value| {
        let kinds = dependency["dep_kinds"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    };
    let dependencies = node["deps"].as_array().into_iter().flatten();
    dependencies
        .filter(is_linked)
        .filter_map(|dependency| dependency["pkg"].as_str())
        .collect()
}

fn component(package: &Value, kind: &str, checksums: &Checksums) -> Value {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    // Packages of the repository itself have none.
    let checksum = checksums.get(&(text("name"), text("version")));
    let hash = checksum.map(|checksum| json!({ "alg": "SHA-256", "content": checksum }));
    json!({
        "type": kind,
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        // Old packages write `MIT/Apache-2.0`, which is no expression.
        "licenses": [{ "expression": text("license").replace('/', " OR ") }],
        "hashes": hash.into_iter().collect::<Vec<_>>(),
    })
}

fn purl(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

/// Of the lock file, which is TOML that cargo writes in one way.
fn checksums(lock: &str) -> Checksums {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
    };
    lock.split("[[package]]\n")
        .filter_map(|block| {
            let name = (value(block, "name")?, value(block, "version")?);
            Some((name, value(block, "checksum")?))
        })
        .collect()
}

/// Its version stands at the end of `ldd --version`'s first line, and the distribution's in brackets.
fn c_library() -> Result<Value> {
    let said = command::text(Command::new("ldd").arg("--version"))?;
    let first = said.lines().next().unwrap_or_default();
    let version = first.rsplit(' ').next().context("ldd has no version")?;
    Ok(json!({
        "type": "library",
        "bom-ref": format!("pkg:generic/glibc@{version}"),
        "name": "glibc",
        "version": version,
        "purl": format!("pkg:generic/glibc@{version}"),
        "description": first,
        "licenses": [{ "expression": "LGPL-2.1-or-later" }],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_with_its_checksum() {
        let package = |name: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let to = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [package("adit"), package("a"), package("b"), package("tests")],
            "resolve": { "nodes": [
                { "id": "adit", "deps": [to("a", Value::Null), to("tests", "dev".into())] },
                { "id": "a", "deps": [to("b", Value::Null)] },
                { "id": "b", "deps": [] },
                { "id": "tests", "deps": [] },
            ] },
        });
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n\n[[package]]\nname = \"adit\"\nversion = \"1.0.0\"\n";
        let library = json!({ "name": "glibc" });
        let list = listed(&metadata, &checksums(lock), &library).unwrap();
        let names: Vec<_> = list["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["a", "b", "glibc"]);
        let a = &list["components"][0];
        assert_eq!(a["hashes"][0]["content"], "abc");
        assert_eq!(a["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(
            list["metadata"]["component"]["purl"],
            "pkg:cargo/adit@1.0.0"
        );
        assert_eq!(
            list["dependencies"][0],
            json!({ "ref": "pkg:cargo/a@1.0.0", "dependsOn": ["pkg:cargo/b@1.0.0"] })
        );
    }
}
