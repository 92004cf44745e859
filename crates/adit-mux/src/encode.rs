//! Frames as bytes: the protobuf encoding of `adit.tunnel.v1.Frames`, written in one pass without building messages.
//!
//! Called by the session only. Every kind is a length-delimited field, so one header function serves all.

use bytes::{BufMut, BytesMut};
use prost::{
    Message,
    encoding::{encode_varint, encoded_len_varint},
};

use crate::{StreamId, decode::field};

/// The most that [`header`] writes: key and length of the frame, id, end flag, key and length of the payload.
pub(crate) const MAX_HEADER_BYTES: usize = 1 + 10 + 11 + 2 + 1 + 10;

/// Whether this frame is the last of the sender's half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Follows,
    Here,
}

/// Writes everything of a frame but its payload of `payload_bytes`, which must follow.
pub(crate) fn header(
    out: &mut BytesMut,
    stream: StreamId,
    end: End,
    kind: u8,
    payload_bytes: usize,
) {
    let id_bytes = if stream == 0 {
        0
    } else {
        1 + encoded_len_varint(stream)
    };
    let end_bytes = if end == End::Here { 2 } else { 0 };
    let frame_bytes =
        id_bytes + end_bytes + 1 + encoded_len_varint(payload_bytes as u64) + payload_bytes;
    out.put_u8(key(field::FRAME));
    encode_varint(frame_bytes as u64, out);
    if stream != 0 {
        out.put_u8(field::STREAM << 3);
        encode_varint(stream, out);
    }
    if end == End::Here {
        out.put_slice(&[field::END << 3, 1]);
    }
    out.put_u8(key(kind));
    encode_varint(payload_bytes as u64, out);
}

/// Writes a whole frame whose payload is a message.
pub(crate) fn message(out: &mut BytesMut, stream: StreamId, kind: u8, message: &impl Message) {
    header(out, stream, End::Follows, kind, message.encoded_len());
    message.encode(out).expect("a BytesMut grows as needed");
}

/// The key of a length-delimited field below 16: one byte. https://protobuf.dev/programming-guides/encoding/#structure
fn key(field: u8) -> u8 {
    field << 3 | 2
}
