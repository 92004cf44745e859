//! What can happen in a simulation, as four bytes: property tests and fuzz targets make any sequence of them.

use adit_mux::{Moment, ResetReason};

use super::pair::Side;

/// One step. `stream` counts over the streams there are, round and round.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Open {
        head: usize,
        has_body: bool,
        deadline: Option<Moment>,
        owner: u64,
    },
    Accept,
    Head {
        stream: usize,
        length: usize,
    },
    Write {
        side: Side,
        stream: usize,
        length: usize,
    },
    End {
        side: Side,
        stream: usize,
    },
    Trailers {
        side: Side,
        stream: usize,
        length: usize,
    },
    Read {
        side: Side,
        stream: usize,
        times: usize,
    },
    Reset {
        side: Side,
        stream: usize,
        reason: ResetReason,
    },
    Release {
        side: Side,
        stream: usize,
    },
    EndStreams {
        owner: u64,
    },
    Transmit {
        side: Side,
        max: usize,
    },
    Deliver {
        side: Side,
        at_most: usize,
    },
    Exchange,
    Advance {
        by: Moment,
    },
    Drain {
        side: Side,
    },
}

impl Operation {
    /// Every four bytes are some operation; common ones are made by more of them.
    pub(crate) fn from_bytes([tag, who, low, high]: [u8; 4]) -> Self {
        let side = Side::BOTH[usize::from(tag >> 7)];
        let stream = usize::from(who);
        let length = length(low, high);
        match tag & 0x7f {
            0..=15 => Self::Open {
                head: length.min(65_536),
                has_body: who & 1 == 0,
                deadline: (who & 14 == 14).then(|| Moment::from_millis(u64::from(low) * 20)),
                owner: u64::from(who >> 6),
            },
            16..=31 => Self::Accept,
            32..=39 => Self::Head {
                stream,
                length: length.min(65_536),
            },
            40..=59 => Self::Write {
                side,
                stream,
                length,
            },
            60..=65 => Self::End { side, stream },
            66..=69 => Self::Trailers {
                side,
                stream,
                length: length.min(65_536),
            },
            70..=89 => Self::Read {
                side,
                stream,
                times: 1 + usize::from(low % 16),
            },
            90..=91 => Self::Reset {
                side,
                stream,
                reason: reason(low),
            },
            92..=95 => Self::Release { side, stream },
            96 => Self::EndStreams {
                owner: u64::from(who >> 6),
            },
            97..=106 => Self::Transmit {
                side,
                max: 1024 + usize::from(low) * usize::from(high) * 2,
            },
            107..=116 => Self::Deliver {
                side,
                at_most: 1 + usize::from(low) * (1 + usize::from(high)),
            },
            117..=122 => Self::Exchange,
            123..=126 => Self::Advance {
                by: Moment::from_millis(u64::from(low) * 5),
            },
            _ if who == low => Self::Drain { side },
            _ => Self::Exchange,
        }
    }
}

/// A length up to 100,000 with small, middle, large and odd ones all likely.
fn length(low: u8, high: u8) -> usize {
    let number = usize::from(low) | usize::from(high & 63) << 8;
    match high >> 6 {
        0 => usize::from(low),
        1 => number,
        2 => (number * 7).min(100_000),
        _ => [0, 1, 511, 512, 513, 16_384, 65_535, 65_536, 65_537, 100_000][number % 10],
    }
}

fn reason(byte: u8) -> ResetReason {
    ResetReason::try_from(i32::from(byte % 10)).unwrap_or_default()
}
