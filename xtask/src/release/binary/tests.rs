use std::ffi::OsStr;
use std::fs;

use xtask::command;
use xtask::image;

use super::*;

/// A program that tells where a file lay that its build script wrote, as those of dependencies do.
const FILES: [(&str, &str); 4] = [
    (
        "Cargo.toml",
        "[package]\nname = \"told\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n",
    ),
    (
        "Cargo.lock",
        "version = 4\n[[package]]\nname = \"told\"\nversion = \"0.0.0\"\n",
    ),
    (
        "build.rs",
        r#"fn main() {
            let written = std::path::Path::new(&std::env::var_os("OUT_DIR").unwrap()).join("written.rs");
            std::fs::write(written, "const PLACE: &str = file!();").unwrap();
        }"#,
    ),
    (
        "src/main.rs",
        r#"include!(concat!(env!("OUT_DIR"), "/written.rs"));
        fn main() { println!("{PLACE}"); }"#,
    ),
];

/// It, built in this folder as a cargo of ours builds it that was changed so.
fn built(folder: &Path, change: impl FnOnce(&mut Command)) -> PathBuf {
    fs::create_dir_all(folder.join("src")).unwrap();
    for (name, text) in FILES {
        fs::write(folder.join(name), text).unwrap();
    }
    let mut cargo = settled(folder, "told").unwrap();
    change(cargo.args(["--quiet", "--offline"]));
    let mut built = workspace::executables(&mut cargo).unwrap();
    built.remove(0).path
}

#[test]
fn same_sources_give_the_same_bytes_wherever_they_lie() {
    let folder = tempfile::TempDir::new().unwrap();
    let here = built(&folder.path().join("here"), |_| ());
    let deeper = built(&folder.path().join("a/good/deal/deeper"), |_| ());
    let bytes = |binary: &Path| fs::read(binary).unwrap();
    assert!(bytes(&here) == bytes(&deeper), "the place gets into it");
    let place = command::text(&mut Command::new(&here)).unwrap();
    assert!(place.starts_with("/adit/target/static/"), "{place}");
    // It is refused when it is linked to anything.
    image::released(&here, "{}").unwrap();

    // So it is that the place would get into it.
    let named = built(&folder.path().join("named"), |cargo| {
        cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    });
    assert!(bytes(&named) != bytes(&here), "nothing would be noticed");
}

#[test]
fn both_compilers_are_told_what_the_folders_are_called() {
    let mut cargo = Command::new("cargo");
    settle(Path::new("/some/where"), &mut cargo).unwrap();
    let told = |name: &str| {
        let mut all = cargo.get_envs();
        let one = all.find(|(key, _)| *key == OsStr::new(name));
        one.unwrap().1.unwrap().to_str().unwrap().to_owned()
    };
    let home = cargo_home().unwrap().display().to_string();
    let rust = told("CARGO_ENCODED_RUSTFLAGS");
    assert_eq!(
        rust.split('\u{1f}').collect::<Vec<_>>(),
        [
            "-Ctarget-feature=+crt-static",
            "--remap-path-prefix=/some/where=/adit",
            &format!("--remap-path-prefix={home}=/cargo"),
        ]
    );
    assert_eq!(
        told("CFLAGS"),
        format!("-ffile-prefix-map=/some/where=/adit -ffile-prefix-map={home}=/cargo")
    );
    assert_eq!(told("SOURCE_DATE_EPOCH"), "0");
}
