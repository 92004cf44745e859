//! Git's smart HTTP ref advertisement, read as it arrives: the commit that the default branch is at. gitprotocol-http(5),
//! gitprotocol-common(5). Fed by whoever makes the call, which can stop as soon as it is enough.
//! Invariant: what is held is one line, however long the whole is and however it is cut.

use std::{fmt, ops::ControlFlow, str::FromStr};

/// The id of a commit, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitId(Box<str>);

/// As far as it has been read.
#[derive(Debug, Default)]
pub struct Advertisement {
    /// Of the line that is being read, its length at the front.
    line: Vec<u8>,
    part: Part,
    /// The ids of [`BRANCHES`].
    found: [Option<CommitId>; BRANCHES.len()],
}

/// Why it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its list of branches is malformed or breaks off")]
pub struct BadAdvertisement;

/// Where in it we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Start,
    /// After the line that names the service, which a flush ends.
    Service,
    Refs,
    /// After the flush that ends it all.
    Over,
}

/// A pkt-line.
enum Packet<'a> {
    Flush,
    Line(&'a [u8]),
}

/// The default branch, or else what it is called most often. The first that is there counts.
const BRANCHES: [&[u8]; 3] = [b"HEAD", b"refs/heads/main", b"refs/heads/master"];
/// Digits of a line's length.
const LENGTH: usize = 4;

impl CommitId {
    /// The id as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CommitId {
    type Err = BadAdvertisement;

    /// SHA-1 or SHA-256.
    fn from_str(text: &str) -> Result<Self, BadAdvertisement> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        match text.len() {
            40 | 64 if text.bytes().all(is_digit) => Ok(Self(text.into())),
            _ => Err(BadAdvertisement),
        }
    }
}

impl Advertisement {
    /// Reads some more. Breaks when nothing that may follow matters.
    ///
    /// # Errors
    ///
    /// This is no advertisement.
    pub fn read(&mut self, mut piece: &[u8]) -> Result<ControlFlow<()>, BadAdvertisement> {
        while !piece.is_empty() {
            let wanted = self.wanted()?;
            let (head, rest) = piece.split_at(wanted.min(piece.len()));
            self.line.extend_from_slice(head);
            piece = rest;
            if self.wanted()? == 0 {
                self.take_line()?;
                self.line.clear();
            }
            if self.is_enough() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The commit that the default branch is at; none if there is no such branch.
    ///
    /// # Errors
    ///
    /// It broke off.
    pub fn finish(self) -> Result<Option<CommitId>, BadAdvertisement> {
        if !self.is_enough() {
            return Err(BadAdvertisement);
        }
        Ok(self.found.into_iter().flatten().next())
    }

    fn is_enough(&self) -> bool {
        let [default, ..] = &self.found;
        default.is_some() || self.part == Part::Over
    }

    /// How many bytes the line lacks, of its length first.
    fn wanted(&self) -> Result<usize, BadAdvertisement> {
        let Some(length) = self.line.get(..LENGTH) else {
            return Ok(LENGTH - self.line.len());
        };
        // 0 is a flush.
        let whole = length_of(length)?.max(LENGTH);
        Ok(whole - self.line.len())
    }

    fn take_line(&mut self) -> Result<(), BadAdvertisement> {
        let packet = match self.line.split_at_checked(LENGTH) {
            Some((b"0000", _)) => Packet::Flush,
            Some((_, line)) => Packet::Line(line.strip_suffix(b"\n").unwrap_or(line)),
            None => return Err(BadAdvertisement),
        };
        self.part = match (self.part, packet) {
            (Part::Start, Packet::Line(line)) if line.starts_with(b"# ") => Part::Service,
            (Part::Service, Packet::Line(_)) => Part::Service,
            (Part::Service, Packet::Flush) => Part::Refs,
            (Part::Start | Part::Refs, Packet::Line(line)) => {
                note(line, &mut self.found);
                Part::Refs
            }
            (Part::Start | Part::Refs | Part::Over, Packet::Flush) => Part::Over,
            (Part::Over, Packet::Line(_)) => return Err(BadAdvertisement),
        };
        Ok(())
    }
}

/// `<id> <name>`, after the first a zero byte and what the server can do. Other lines say nothing of a branch.
fn note(line: &[u8], found: &mut [Option<CommitId>]) {
    let facts = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut facts = facts.splitn(2, |byte| *byte == b' ');
    let (Some(id), Some(name)) = (facts.next(), facts.next()) else {
        return;
    };
    let Some(at) = BRANCHES.iter().position(|branch| *branch == name) else {
        return;
    };
    let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
    if let (Some(slot), Some(id)) = (found.get_mut(at), id) {
        *slot = Some(id);
    }
}

/// What four digits say; 1 to 3 are no length of a line.
fn length_of(digits: &[u8]) -> Result<usize, BadAdvertisement> {
    let digits = std::str::from_utf8(digits).map_err(|_| BadAdvertisement)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match usize::from_str_radix(digits, 16) {
        Ok(length) if is_hex && (length == 0 || length >= LENGTH) => Ok(length),
        Ok(_) | Err(_) => Err(BadAdvertisement),
    }
}

#[cfg(test)]
mod tests;
