//! What one turn of the writer gives to the wire: frame headers and small payloads in one buffer, large payloads as they came.

use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

/// Several frames as one [`Buf`]. Payloads above a few hundred bytes are the very buffers their writer handed in.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    segments: SmallVec<[Bytes; 6]>,
    front: usize,
    remaining: usize,
}

impl Batch {
    /// A batch that is these bytes.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        let remaining = bytes.len();
        Self {
            segments: SmallVec::from_iter([bytes]),
            front: 0,
            remaining,
        }
    }

    /// Cuts `small` where a large payload belongs, so that the whole is in order.
    pub(crate) fn assemble(small: BytesMut, large: SmallVec<[(usize, Bytes); 6]>) -> Self {
        let mut small = small.freeze();
        let (mut segments, mut taken, mut remaining) = (SmallVec::new(), 0, small.len());
        for (at, payload) in large {
            if at > taken {
                segments.push(small.split_to(at - taken));
                taken = at;
            }
            remaining += payload.len();
            segments.push(payload);
        }
        if !small.is_empty() {
            segments.push(small);
        }
        Self {
            segments,
            front: 0,
            remaining,
        }
    }

    fn rest(&self) -> &[Bytes] {
        self.segments.get(self.front..).unwrap_or_default()
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.rest().first().map_or(&[], |segment| segment)
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "advanced past the end of a batch");
        self.remaining -= count;
        while let Some(segment) = self.segments.get_mut(self.front) {
            if count < segment.len() {
                segment.advance(count);
                return;
            }
            count -= segment.len();
            // What was sent is let go of at once, not when the whole batch was.
            *segment = Bytes::new();
            self.front += 1;
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let segments = self.rest().iter().filter(|segment| !segment.is_empty());
        slices
            .iter_mut()
            .zip(segments)
            .map(|(slice, segment)| *slice = IoSlice::new(segment))
            .count()
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        if let Some(segment) = self
            .segments
            .get_mut(self.front)
            .filter(|segment| segment.len() >= count)
        {
            let bytes = segment.split_to(count);
            self.remaining -= count;
            if segment.is_empty() {
                self.front += 1;
            }
            return bytes;
        }
        let mut bytes = BytesMut::with_capacity(count);
        bytes::BufMut::put(&mut bytes, self.take(count));
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn batch() -> Batch {
        let large = [
            (2, Bytes::from_static(b"LARGE")),
            (2, Bytes::from_static(b"TWO")),
        ]
        .into_iter()
        .collect();
        Batch::assemble(BytesMut::from(&b"abcd"[..]), large)
    }

    #[test]
    fn large_payloads_stand_where_they_were_cut_in() {
        assert_eq!(
            batch().copy_to_bytes(12),
            Bytes::from_static(b"abLARGETWOcd")
        );
    }

    #[test]
    fn every_way_of_reading_gives_the_same_bytes() {
        for step in 1..=12 {
            let (mut batch, mut read) = (batch(), BytesMut::new());
            while batch.has_remaining() {
                let count = step.min(batch.remaining());
                let mut slices = [IoSlice::new(&[]); 8];
                let filled = batch.chunks_vectored(&mut slices);
                assert_eq!(
                    slices[..filled]
                        .iter()
                        .map(|slice| slice.len())
                        .sum::<usize>(),
                    batch.remaining()
                );
                read.put(batch.copy_to_bytes(count));
            }
            assert_eq!(read, "abLARGETWOcd");
        }
    }
}
