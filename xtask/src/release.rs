//! What is given to others: the binary, linked statically; its image; and all of it with charts and pages, in files with checksums.
//!
//! Called by the command line. Invariant: the same sources, toolchain and C library give the same bytes, wherever the repository
//! lies and whenever it is built.

mod binary;
mod dist;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xtask::image::{self, Packing, Sbom};
use xtask::progress::{line, step};

pub(crate) use self::dist::run as dist;

/// `cargo xtask image`: the released binary in an image, and beside it the list of what the binary is made of.
pub(crate) fn image(name: &str, output: &Path) -> Result<()> {
    // Before the build, which takes minutes.
    let folder = output.parent().context("the output is a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let binary = binary::build()?;
    let sbom = step("components listed", Sbom::new)?;
    let digest = step("image written", || write(name, output, &binary, &sbom))?;
    let list = output.with_extension("cdx.json");
    fs::write(&list, sbom.text()).with_context(|| format!("cannot write {}", list.display()))?;
    line(format_args!(
        "\n{name} is in {0}, its components in {1}\n{digest}\n\n    ctr --namespace k8s.io images import {0}\n    skopeo copy oci-archive:{0} docker://registry.example.com/{name}",
        output.display(),
        list.display(),
    ));
    Ok(())
}

fn write(name: &str, output: &Path, binary: &Path, sbom: &Sbom) -> Result<String> {
    image::released(binary, sbom.text())?.write(output, name, Packing::Gzip)
}

/// The name that the manifests and charts have for the image.
pub(crate) const IMAGE: &str = concat!("adit:", env!("CARGO_PKG_VERSION"));
