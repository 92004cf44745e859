//! Bytes whose every position tells where it belongs, so that a byte lost, doubled or misplaced is seen.

use std::sync::OnceLock;

use bytes::Bytes;

/// `length` bytes of the content `seed`, from `offset` on.
pub(crate) fn bytes(seed: u64, offset: u64, length: usize) -> Bytes {
    let from = (seed.wrapping_mul(977).wrapping_add(offset) % PERIOD as u64) as usize;
    pattern().slice(from..from + length)
}

/// A prime, so that no power of two of an offset looks like another.
const PERIOD: usize = 65_521;

/// The most that is asked for at once.
pub(crate) const MAX: usize = 4 << 20;

fn pattern() -> &'static Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut state = 1_u32;
        let period: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        Bytes::from_iter(period.into_iter().cycle().take(PERIOD + MAX))
    })
}
