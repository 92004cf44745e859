use std::collections::BTreeMap;
use std::io::Read;

use super::*;

fn entries(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, content)
    });
    entries.collect()
}

fn image() -> Image {
    let layer = Layer::base()
        .file("bin/tool", b"content".to_vec(), 0o755)
        .link("bin/alias", "tool");
    Image::new(layer, &["/bin/tool"]).user(65532)
}

#[test]
fn same_image_is_written_as_the_same_bytes() {
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, packing| {
        let file = folder.path().join(name);
        image().write(&file, "adit.local/tool:1", packing).unwrap();
        fs::read(file).unwrap()
    };
    assert_eq!(write("a", Packing::Plain), write("b", Packing::Plain));
    assert_eq!(write("c", Packing::Gzip), write("d", Packing::Gzip));
}

#[test]
fn digest_is_that_of_what_is_in_the_image_wherever_it_lay() {
    let digest = |content: &[u8]| {
        let folder = tempfile::TempDir::new().unwrap();
        let binary = folder.path().join("adit");
        fs::write(&binary, content).unwrap();
        released(&binary, "{}")
            .unwrap()
            .write(&folder.path().join("image"), "adit:1", Packing::Gzip)
            .unwrap()
    };
    assert_eq!(digest(b"a program"), digest(b"a program"));
    assert_ne!(digest(b"a program"), digest(b"another one"));
}

#[test]
fn index_leads_to_the_manifest_and_that_to_the_layer() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("image.tar");
    image()
        .write(&file, "adit.local/tool:1", Packing::Plain)
        .unwrap();
    let blobs = entries(&fs::read(file).unwrap());
    let blob = |digest: &serde_json::Value| {
        let digest = digest.as_str().unwrap().replace(':', "/");
        blobs[&format!("blobs/{digest}")].clone()
    };
    let index: serde_json::Value = serde_json::from_slice(&blobs["index.json"]).unwrap();
    let name = &index["manifests"][0]["annotations"]["io.containerd.image.name"];
    assert_eq!(name, "adit.local/tool:1");
    let manifest = blob(&index["manifests"][0]["digest"]);
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let config = blob(&manifest["config"]["digest"]);
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["config"]["Entrypoint"][0], "/bin/tool");
    // Unpacked, a layer's digest and its diff id are one.
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        manifest["layers"][0]["digest"]
    );
    let layer = entries(&blob(&manifest["layers"][0]["digest"]));
    assert_eq!(layer["bin/tool"], b"content");
    assert!(layer.contains_key("bin/alias"));
}

/// By number: a cluster that demands `runAsNonRoot` knows no names.
#[test]
fn adit_is_nobody_in_its_image() {
    let binary = tempfile::NamedTempFile::new().unwrap();
    fs::write(binary.path(), b"a program").unwrap();
    for image in [adit(binary.path()), released(binary.path(), "{}")] {
        let config = image.unwrap().config("sha256:0");
        assert_eq!(config["config"]["User"], "65532");
        assert_eq!(config["config"]["Entrypoint"], json!(["/bin/adit"]));
    }
}

#[test]
fn roots_are_certificates_in_pem() {
    let roots = roots();
    assert!(roots.matches("-----BEGIN CERTIFICATE-----\n").count() > 100);
    let longest = roots.lines().map(str::len).max();
    assert_eq!(longest, Some(64));
    let first: String = roots
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('-'))
        .collect();
    assert_eq!(
        BASE64_STANDARD.decode(first).unwrap(),
        webpki_root_certs::TLS_SERVER_ROOT_CERTS[0].as_ref()
    );
}

#[test]
fn nothing_in_the_image_of_adit_is_a_shell() {
    let binary = tempfile::NamedTempFile::new().unwrap();
    fs::write(binary.path(), b"not linked to anything").unwrap();
    let layer = entries(&files_of_adit(binary.path()).unwrap().tar().unwrap());
    let files: Vec<_> = layer.keys().filter(|path| !path.ends_with('/')).collect();
    assert_eq!(
        files,
        [
            "bin/adit",
            "etc/group",
            "etc/passwd",
            "etc/ssl/certs/ca-certificates.crt"
        ]
    );
}
