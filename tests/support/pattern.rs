//! Bytes that are known by their position, so that a body of any length can be checked piece by piece and a piece that is
//! lost, doubled or moved is seen.

use bytes::Bytes;

/// No power of two, so that pieces of any usual size fall on other bytes each time.
const PERIOD: usize = 65_521;

/// The piece of `len` bytes that begins at `offset`.
#[must_use]
pub fn piece(offset: u64, len: usize) -> Bytes {
    static TWICE: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(|| {
        let byte = |at: usize| (at.wrapping_mul(0x9E37_79B1) >> 13) as u8;
        (0..2 * PERIOD).map(|at| byte(at % PERIOD)).collect()
    });
    let from = (offset % PERIOD as u64) as usize;
    TWICE.slice(from..from + len.min(PERIOD))
}

/// Follows a body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Check {
    /// Bytes that came so far.
    pub seen: u64,
}

impl Check {
    /// Takes the next bytes.
    ///
    /// # Panics
    ///
    /// When they are not those that belong here.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let expected = piece(self.seen, bytes.len());
            let (now, rest) = bytes.split_at(expected.len());
            assert!(
                now == expected,
                "the bytes after {} are not those that were sent",
                self.seen
            );
            self.seen += now.len() as u64;
            bytes = rest;
        }
    }
}
