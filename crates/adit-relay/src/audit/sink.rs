//! Where lines go: standard output, a file that is replaced before it grows too large, or a collector.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use adit_otlp::{Collector, NotTaken};

use self::otlp::ToCollector;
use super::{config::FileConfig, wake::Wake};

mod otlp;

/// Takes lines.
#[derive(Debug)]
pub(crate) enum Sink {
    Stdout(File),
    File(Rotated),
    Collector(Box<ToCollector>),
}

/// What became of lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// So many bytes of them are gone, from their beginning.
    pub(super) bytes: usize,
    /// So many of those lines nobody keeps.
    pub(super) rejected: u64,
}

/// Why they were not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    #[error(transparent)]
    Here(#[from] io::Error),
    #[error(transparent)]
    There(#[from] NotTaken),
}

impl Sink {
    /// Not through the standard library's own buffer, which would split lines.
    pub(crate) fn stdout() -> io::Result<Self> {
        let own = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self::Stdout(own.into()))
    }

    pub(crate) fn file(config: FileConfig) -> io::Result<Self> {
        Rotated::open(config).map(Self::File)
    }

    /// It is called once there is something to send.
    pub(crate) fn collector(collector: Collector) -> Self {
        Self::Collector(Box::new(ToCollector::new(collector)))
    }

    /// Writes some of `lines`, at least a byte, and says how many. The rest must come next. Waits as long as somebody does who has not
    /// given up.
    pub(super) fn write(&mut self, lines: &[u8], wake: &Wake) -> Result<Written, NotWritten> {
        let bytes = match self {
            Self::Stdout(file) => file.write(lines)?,
            Self::File(file) => file.write(lines)?,
            Self::Collector(collector) => return collector.write(lines, wake),
        };
        if bytes == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        Ok(Written { bytes, rejected: 0 })
    }

    /// How long to wait before they are written again.
    pub(super) fn pause(&mut self, why: &NotWritten) -> Duration {
        match (self, why) {
            (Self::Collector(collector), NotWritten::There(why)) => collector.pause(why),
            (_, NotWritten::Here(_) | NotWritten::There(_)) => RETRY,
        }
    }

    /// Has the disk keep what was written.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(_) | Self::Collector(_) => Ok(()),
            Self::File(file) => file.file.sync_data(),
        }
    }
}

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(500);

/// A file and its predecessors: `audit.log`, `audit.log.1`, and so on, the oldest last. Lines are never split between them.
#[derive(Debug)]
pub(crate) struct Rotated {
    config: FileConfig,
    file: File,
    size: u64,
    /// The last line was written in part.
    is_mid_line: bool,
}

impl Rotated {
    fn open(config: FileConfig) -> io::Result<Self> {
        let (file, size) = open(&config.path)?;
        Ok(Self {
            config,
            file,
            size,
            is_mid_line: false,
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let piece = self.next_piece(lines)?;
        let written = self.file.write(piece)?;
        self.size += written as u64;
        if let Some(last) = piece.get(..written).and_then(<[u8]>::last) {
            self.is_mid_line = *last != b'\n';
        }
        Ok(written)
    }

    /// What of `lines` goes into this file; makes place for it first.
    fn next_piece<'a>(&mut self, lines: &'a [u8]) -> io::Result<&'a [u8]> {
        if self.is_mid_line {
            return Ok(first_line(lines));
        }
        self.find_again()?;
        let mut piece = self.fitting(lines);
        if piece.is_empty() && self.size > 0 {
            self.rotate()?;
            piece = self.fitting(lines);
        }
        Ok(if piece.is_empty() {
            first_line(lines)
        } else {
            piece
        })
    }

    /// Whole lines for which there is place.
    fn fitting<'a>(&self, lines: &'a [u8]) -> &'a [u8] {
        let place = self.config.max_bytes.saturating_sub(self.size);
        let place = usize::try_from(place)
            .unwrap_or(usize::MAX)
            .min(lines.len());
        let lines = lines.get(..place).unwrap_or_default();
        let end = lines.iter().rposition(|byte| *byte == b'\n');
        end.and_then(|end| lines.get(..=end)).unwrap_or_default()
    }

    /// Somebody may have moved or removed the file, another rotation for instance: the lines belong at its path.
    fn find_again(&mut self) -> io::Result<()> {
        let own = self.file.metadata()?;
        let is_there = fs::metadata(&self.config.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()));
        if !is_there {
            (self.file, self.size) = open(&self.config.path)?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        let path = &self.config.path;
        for number in (1..self.config.keep).rev() {
            move_if_there(&numbered(path, number), &numbered(path, number + 1))?;
        }
        move_if_there(path, &numbered(path, 1))?;
        (self.file, self.size) = open(path)?;
        Ok(())
    }
}

/// Opens a file to append to, and says how large it is. It may hold names of users, so it is made for its owner alone.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        // It would be moved out of the way once it is full.
        return Err(io::Error::other("not a regular file"));
    }
    let mut size = metadata.len();
    if size > 0 && !ends_a_line(&mut file)? {
        // A predecessor was killed in the middle of one.
        file.write_all(b"\n")?;
        size += 1;
    }
    Ok((file, size))
}

/// Whether it could be opened by this process. Nothing is written to it, and none is made: its maker owns it, and whoever only looks
/// may be somebody else than the relay.
pub(crate) fn try_out(config: &FileConfig) -> io::Result<()> {
    match OpenOptions::new()
        .read(true)
        .append(true)
        .open(&config.path)
    {
        Ok(file) if file.metadata()?.is_file() => return Ok(()),
        Ok(_) => return Err(io::Error::other("not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut beside = config.path.as_os_str().to_owned();
    beside.push(format!(".trial-{}", std::process::id()));
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&beside);
    made.and_then(|_| fs::remove_file(&beside))
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    let end = lines.iter().position(|byte| *byte == b'\n');
    end.and_then(|end| lines.get(..=end)).unwrap_or(lines)
}

#[cfg(test)]
mod tests;
