//! gRPC's framing: a message is a flag byte, four bytes of length, and so many bytes.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#requests>

use adit_mux::SessionError;
use bytes::{Buf, Bytes};

/// What stands before a message of `bytes` bytes, not compressed.
pub(crate) fn prefix(bytes: usize) -> [u8; PREFIX_BYTES] {
    let length = u32::try_from(bytes)
        .expect("a batch is far below 4 GiB: the session bounds each of its parts");
    let [a, b, c, d] = length.to_be_bytes();
    [0, a, b, c, d]
}

/// Finds the messages in what arrives, however it is cut.
#[derive(Debug, Default)]
pub(crate) struct Deframer {
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// Bytes of the current message that are still to come.
    left: usize,
}

/// A piece of a message.
#[derive(Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    pub(crate) is_last: bool,
}

impl Deframer {
    /// The next piece from the front of `chunk`; `None` when it is used up.
    pub(crate) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Piece>, SessionError> {
        while self.left == 0 {
            let Some(length) = self.read_prefix(chunk)? else {
                return Ok(None);
            };
            self.left = length;
            self.prefix_bytes = 0;
        }
        if chunk.is_empty() {
            return Ok(None);
        }
        let bytes = chunk.split_to(self.left.min(chunk.len()));
        self.left -= bytes.len();
        Ok(Some(Piece {
            bytes,
            is_last: self.left == 0,
        }))
    }

    fn read_prefix(&mut self, chunk: &mut Bytes) -> Result<Option<usize>, SessionError> {
        let room = self.prefix.get_mut(self.prefix_bytes..).unwrap_or_default();
        let count = room.len().min(chunk.len());
        if let Some(room) = room.get_mut(..count) {
            chunk.copy_to_slice(room);
        }
        self.prefix_bytes += count;
        if self.prefix_bytes < PREFIX_BYTES {
            return Ok(None);
        }
        let [compressed, length @ ..] = self.prefix;
        let length = u32::from_be_bytes(length);
        if compressed != 0 {
            return Err(SessionError::Transport(
                "the peer compressed a message, which was not agreed".into(),
            ));
        }
        if length > MAX_MESSAGE_BYTES {
            return Err(SessionError::Transport(format!(
                "the peer sent a message of {length} bytes"
            )));
        }
        Ok(Some(length as usize))
    }
}

pub(crate) const PREFIX_BYTES: usize = 5;

/// The most a gRPC message may say it holds; see `tunnel.proto`. It is never gathered: frames are read as they come.
const MAX_MESSAGE_BYTES: u32 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let wire: Vec<u8> = [
            prefix(3).as_slice(),
            b"abc",
            &prefix(0),
            &prefix(5),
            b"defgh",
        ]
        .into_iter()
        .flatten()
        .copied()
        .collect();
        for step in 1..=wire.len() {
            let (mut deframer, mut messages, mut current) =
                (Deframer::default(), Vec::new(), Vec::new());
            for chunk in wire.chunks(step) {
                let mut chunk = Bytes::copy_from_slice(chunk);
                while let Some(piece) = deframer.next(&mut chunk).unwrap() {
                    current.extend_from_slice(&piece.bytes);
                    if piece.is_last {
                        messages.push(std::mem::take(&mut current));
                    }
                }
            }
            assert_eq!(
                messages,
                [b"abc".to_vec(), b"defgh".to_vec()],
                "cut at {step}"
            );
        }
    }

    #[test]
    fn a_compressed_message_is_refused() {
        let mut chunk = Bytes::from_static(&[1, 0, 0, 0, 1, 0]);
        assert!(Deframer::default().next(&mut chunk).is_err());
    }

    #[test]
    fn an_enormous_message_is_refused_before_it_comes() {
        let mut chunk = Bytes::from_static(&[0, 0xff, 0, 0, 0]);
        assert!(Deframer::default().next(&mut chunk).is_err());
    }
}
