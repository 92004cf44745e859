//! The tar around an image: OCI image layout 1.0, with the name that containerd gives the image when it imports it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use super::Image;
use super::layer::{Packing, gzip};
use super::name::Name;
use crate::hex::hex;

/// Gives the digest by which registries know it.
pub(super) fn write(
    image: &Image,
    file: &Path,
    name: &str,
    packing: Packing,
) -> io::Result<String> {
    let plain = image.layer.tar()?;
    let diff_id = digest(&plain);
    let (layer, layer_type) = match packing {
        Packing::Plain => (
            Blob {
                digest: diff_id.clone(),
                bytes: plain,
            },
            LAYER.to_owned(),
        ),
        Packing::Gzip => (Blob::new(gzip(&plain)?), format!("{LAYER}+gzip")),
    };
    let config = Blob::json(&image.config(&diff_id));
    let manifest = Blob::json(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.described(CONFIG),
        "layers": [layer.described(&layer_type)],
    }));
    let name = Name::of(name);
    let entry = json!({
        "mediaType": MANIFEST,
        "digest": manifest.digest,
        "size": manifest.bytes.len(),
        "annotations": {
            "io.containerd.image.name": name.to_string(),
            "org.opencontainers.image.ref.name": name.tag,
        },
    });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });

    let mut tar = Builder::new(io::BufWriter::new(File::create(file)?));
    append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut tar, "index.json", index.to_string().as_bytes())?;
    for blob in [&config, &layer, &manifest] {
        append(
            &mut tar,
            &format!("blobs/{}", blob.digest.replace(':', "/")),
            &blob.bytes,
        )?;
    }
    tar.into_inner()?.flush()?;
    Ok(manifest.digest)
}

/// Content and its digest, by which everything else names it.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            digest: digest(&bytes),
            bytes,
        }
    }

    fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn described(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(Sha256::digest(bytes)))
}

fn append(tar: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, path, bytes)
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
