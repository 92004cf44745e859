use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Place {
    folder: tempfile::TempDir,
    config: FileConfig,
}

fn place(max_bytes: u64, keep: u32) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    Place {
        config: FileConfig {
            path,
            max_bytes,
            keep,
        },
        folder,
    }
}

impl Place {
    fn open(&self) -> Sink {
        Sink::file(self.config.clone()).unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn names(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn write(sink: &mut Sink, mut lines: &[u8]) {
    while !lines.is_empty() {
        let written = sink.write(lines, &Wake::default()).unwrap();
        lines = &lines[written.bytes..];
    }
}

#[test]
fn full_file_is_replaced_and_the_oldest_goes() {
    let place = place(10, 2);
    let mut sink = place.open();
    write(&mut sink, b"one\ntwo\nthree\nfour\nfive\nsix\nseven\n");
    assert_eq!(place.names(), ["audit.log", "audit.log.1", "audit.log.2"]);
    assert_eq!(place.read("audit.log"), "six\nseven\n");
    assert_eq!(place.read("audit.log.1"), "four\nfive\n");
    assert_eq!(place.read("audit.log.2"), "three\n");
}

#[test]
fn line_larger_than_a_file_stays_whole() {
    let place = place(4, 5);
    let mut sink = place.open();
    write(&mut sink, b"a\nmuch too long\nb\n");
    assert_eq!(place.read("audit.log.2"), "a\n");
    assert_eq!(place.read("audit.log.1"), "much too long\n");
    assert_eq!(place.read("audit.log"), "b\n");
}

#[test]
fn line_that_was_written_in_part_is_not_torn() {
    let place = place(8, 5);
    let mut sink = place.open();
    write(&mut sink, b"1234\n56");
    write(&mut sink, b"789\nnext\n");
    assert_eq!(place.read("audit.log.2"), "1234\n");
    assert_eq!(place.read("audit.log.1"), "56789\n");
    assert_eq!(place.read("audit.log"), "next\n");
}

#[test]
fn file_is_appended_to_after_a_restart() {
    let place = place(20, 1);
    write(&mut place.open(), b"before\n");
    fs::write(&place.config.path, "before\nkilled in the mid").unwrap();
    write(&mut place.open(), b"after\n");
    assert_eq!(place.read("audit.log.1"), "before\nkilled in the mid\n");
    assert_eq!(place.read("audit.log"), "after\n");
}

#[test]
fn file_that_was_moved_away_is_made_again() {
    let place = place(1000, 1);
    let mut sink = place.open();
    write(&mut sink, b"before\n");
    fs::rename(&place.config.path, place.folder.path().join("elsewhere")).unwrap();
    write(&mut sink, b"after\n");
    fs::remove_file(&place.config.path).unwrap();
    write(&mut sink, b"last\n");
    assert_eq!(place.read("elsewhere"), "before\n");
    assert_eq!(place.read("audit.log"), "last\n");
}

#[test]
fn file_is_for_its_owner_alone_and_a_file() {
    let place = place(1000, 1);
    let _sink = place.open();
    let mode = fs::metadata(&place.config.path)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for path in ["/dev/null", "/"] {
        let config = FileConfig {
            path: path.into(),
            ..place.config.clone()
        };
        assert!(Sink::file(config).is_err(), "{path}");
    }
}
