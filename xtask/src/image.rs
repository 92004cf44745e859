//! Container images without a container engine: one layer, written as an OCI image layout in one tar, which
//! `ctr images import`, `podman load` and `skopeo` read. The same input gives the same bytes.
//!
//! [`Layer`] is the file tree, [`Image`] adds how it runs. The images of the cluster are [`pause`] and [`app`], the
//! product's is [`adit`].

mod layer;
mod layout;
mod linking;
mod name;
mod sbom;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

pub use self::layer::{Layer, Packing};
pub use self::sbom::Sbom;
use crate::command;
use crate::tools::{Module, Tools};

/// An image: a layer, and how a container from it starts.
#[derive(Clone, Debug)]
pub struct Image {
    layer: Layer,
    entrypoint: Vec<String>,
    environment: Vec<String>,
    user: Option<String>,
}

impl Image {
    /// An image whose containers run this program.
    #[must_use]
    pub fn new(layer: Layer, entrypoint: &[&str]) -> Self {
        Self {
            layer,
            entrypoint: entrypoint.iter().map(ToString::to_string).collect(),
            environment: vec!["PATH=/bin:/usr/bin".to_owned()],
            user: None,
        }
    }

    /// A variable of its containers, `NAME=value`.
    #[must_use]
    pub fn environment(mut self, variable: &str) -> Self {
        self.environment.push(variable.to_owned());
        self
    }

    /// Its containers run as this user, a number so that a cluster can see that it is not root.
    #[must_use]
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id.to_string());
        self
    }

    /// Writes the image as a tar under a name such as `adit.local/app:1`, and gives the digest by which registries know it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path, name: &str, packing: Packing) -> Result<String> {
        layout::write(self, file, name, packing)
            .with_context(|| format!("cannot write the image {name} to {}", file.display()))
    }

    fn config(&self, diff_id: &str) -> serde_json::Value {
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Env": self.environment,
                "Entrypoint": self.entrypoint,
                "User": self.user.clone().unwrap_or_default(),
            },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        })
    }
}

/// `pause`, the program that holds a pod's namespaces, from Kubernetes' own source. Needs gcc and a static libc.
///
/// # Errors
/// gcc is missing or fails.
pub fn pause(tools: &Tools, scratch: &Path) -> Result<Image> {
    let program = scratch.join("pause");
    let source = tools.folder(Module::Kubernetes).join("pause.c");
    command::text(
        Command::new("gcc")
            .args(["-Os", "-static", "-DVERSION=3.10", "-o"])
            .args([&program, &source]),
    )
    .context("the pause image needs gcc and a static libc (Debian: gcc libc6-dev)")?;
    let layer = Layer::new().file("pause", fs::read(&program)?, 0o755);
    Ok(Image::new(layer, &["/pause"]))
}

/// A small system to be an app in: a static busybox, whose web server says `hello from app:<tag>`.
///
/// # Errors
/// There is no static busybox.
pub fn app(tag: &str) -> Result<Image> {
    let busybox = fs::read(BUSYBOX)
        .with_context(|| format!("{BUSYBOX} is missing (Debian: busybox-static)"))?;
    let applets = command::text(Command::new(BUSYBOX).arg("--list"))?;
    let mut layer = Layer::base().file("bin/busybox", busybox, 0o755);
    for applet in applets.lines().filter(|name| *name != "busybox") {
        layer = layer.link(&format!("bin/{applet}"), "busybox");
    }
    let greeting = format!("hello from app:{tag}\n").into_bytes();
    let layer = layer.file("var/www/index.html", greeting, 0o644);
    let image = Image::new(
        layer,
        &["/bin/httpd", "-f", "-v", "-p", "8080", "-h", "/var/www"],
    );
    Ok(image.environment(&format!("TAG={tag}")))
}

/// adit, from a static binary; with the certificates of public authorities.
///
/// # Errors
/// The binary cannot be read, or needs libraries.
pub fn adit(binary: &Path) -> Result<Image> {
    Ok(of_adit(files_of_adit(binary)?))
}

/// adit as it is given to others: with the list of what the binary is made of.
///
/// # Errors
/// As [`adit`].
pub fn released(binary: &Path, components: &str) -> Result<Image> {
    let list = components.as_bytes().to_vec();
    Ok(of_adit(
        files_of_adit(binary)?.file(COMPONENTS, list, 0o644),
    ))
}

fn of_adit(layer: Layer) -> Image {
    Image::new(layer, &["/bin/adit"]).user(NOBODY)
}

fn files_of_adit(binary: &Path) -> Result<Layer> {
    ensure!(
        linking::is_static(binary)?,
        "{} is not linked statically",
        binary.display()
    );
    let content = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    Ok(Layer::base()
        .file("bin/adit", content, 0o755)
        .file(ROOTS, roots().into_bytes(), 0o644))
}

/// Those that Mozilla believes, of the version in the lock file: the same whichever machine this is.
fn roots() -> String {
    let mut bundle = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        let text = BASE64_STANDARD.encode(certificate);
        bundle += "-----BEGIN CERTIFICATE-----\n";
        for at in (0..text.len()).step_by(64) {
            bundle += text.get(at..text.len().min(at + 64)).unwrap_or_default();
            bundle.push('\n');
        }
        bundle += "-----END CERTIFICATE-----\n";
    }
    bundle
}

/// What OCI calls this machine's processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

const BUSYBOX: &str = "/bin/busybox";
/// Where the system's store is looked for.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
const COMPONENTS: &str = "/usr/share/doc/adit/adit.cdx.json";
const NOBODY: u32 = 65532;

#[cfg(test)]
mod tests;
