//! `cargo xtask image`: the released binary, linked statically, in an image.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xtask::image::{self, Packing};
use xtask::progress::{line, step};
use xtask::workspace;

/// Builds the binary in a target folder of its own, so that neither build undoes the other, and writes the image.
pub(crate) fn image(name: &str, output: &Path) -> Result<()> {
    // Before the build, which takes minutes.
    let folder = output.parent().context("the output is a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = workspace::cargo();
    build
        .args([
            "build",
            "--locked",
            "--release",
            "--package",
            "adit",
            "--bin",
            "adit",
            "--target",
            &target,
        ])
        .args(["--target-dir", "target/static"])
        // One file that runs on any kernel, whatever the libraries around it.
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    let built = step("adit built", || workspace::executables(&mut build))?;
    let binary = built.into_iter().next().context("cargo built no adit")?;
    step("image written", || {
        image::adit(&binary.path)?.write(output, name, Packing::Gzip)
    })?;
    line(format_args!(
        "\n{name} is in {0}\n\n    ctr --namespace k8s.io images import {0}\n    skopeo copy oci-archive:{0} docker://registry.example.com/{name}",
        output.display(),
    ));
    Ok(())
}
