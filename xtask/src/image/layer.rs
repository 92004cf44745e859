//! A file tree in the order it was made, and its tar. Owners are root, times are zero: only content counts.

use std::collections::BTreeSet;
use std::io;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

/// The files of an image.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: Vec<Entry>,
    folders: BTreeSet<String>,
}

/// Whether a layer is compressed. Compressing takes longer than the disk it saves is worth where the image is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// By gzip.
    Gzip,
}

#[derive(Clone, Debug)]
struct Entry {
    path: String,
    mode: u32,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Folder,
    File(Vec<u8>),
    Link(String),
}

impl Layer {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a program expects of a system: mount points, a place for temporary files, and names for root and nobody.
    #[must_use]
    pub fn base() -> Self {
        let mut layer = Self::new();
        for path in ["dev", "etc", "proc", "root", "sys"] {
            layer.add_folder(path, 0o755);
        }
        layer.add_folder("tmp", 0o1777);
        layer
            .file("etc/passwd", PASSWD.into(), 0o644)
            .file("etc/group", GROUP.into(), 0o644)
    }

    /// A file, and the folders above it.
    #[must_use]
    pub fn file(self, path: &str, content: Vec<u8>, mode: u32) -> Self {
        self.add(path, mode, What::File(content))
    }

    /// A symbolic link, and the folders above it.
    #[must_use]
    pub fn link(self, path: &str, to: &str) -> Self {
        self.add(path, 0o777, What::Link(to.to_owned()))
    }

    fn add(mut self, path: &str, mode: u32, what: What) -> Self {
        let path = path.trim_start_matches('/').to_owned();
        for (end, _) in path.match_indices('/') {
            if let Some(folder) = path.get(..end) {
                self.add_folder(folder, 0o755);
            }
        }
        self.entries.push(Entry { path, mode, what });
        self
    }

    fn add_folder(&mut self, path: &str, mode: u32) {
        if self.folders.insert(path.to_owned()) {
            self.entries.push(Entry {
                path: path.to_owned(),
                mode,
                what: What::Folder,
            });
        }
    }

    /// The tree as a tar, by gzip.
    ///
    /// # Errors
    /// A path is longer than a tar can hold.
    pub fn packed(&self) -> io::Result<Vec<u8>> {
        gzip(&self.tar()?)
    }

    /// The tree as an uncompressed tar.
    pub(super) fn tar(&self) -> io::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for Entry { path, mode, what } in &self.entries {
            let mut header = Header::new_gnu();
            header.set_mode(*mode);
            match what {
                What::Folder => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_size(0);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                What::File(content) => {
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, path, content.as_slice())?;
                }
                What::Link(to) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_size(0);
                    tar.append_link(&mut header, path, to)?;
                }
            }
        }
        tar.into_inner()
    }
}

/// gzip without a time or name in its header.
pub(super) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    io::Write::write_all(&mut packed, bytes)?;
    packed.finish()
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nadit:x:65532:65532:adit:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nadit:x:65532:\n";
