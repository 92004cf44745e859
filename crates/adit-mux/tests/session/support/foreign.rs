//! Our decoder beside prost, another implementation of the same encoding.

use adit_mux::{Decoder, Frame, Kind, Misbehaviour};
use adit_proto::tunnel::{self as proto, frame::Kind as ProtoKind};
use bytes::Bytes;

/// Decodes chunks one after the other.
pub(crate) fn decode(chunks: impl IntoIterator<Item = Bytes>) -> Result<Vec<Frame>, Misbehaviour> {
    let mut decoder = Decoder::new(1 << 20);
    let mut frames = Vec::new();
    for mut chunk in chunks {
        while let Some(frame) = decoder.next(&mut chunk)? {
            frames.push(frame);
        }
        assert!(chunk.is_empty(), "a chunk is used up");
    }
    decoder.end_of_message()?;
    Ok(frames)
}

/// What our decoder must make of another implementation's frame.
pub(crate) fn as_ours(frame: proto::Frame) -> Frame {
    let kind = match frame.kind {
        None => Kind::Unknown,
        Some(ProtoKind::Hello(hello)) => Kind::Hello(hello),
        Some(ProtoKind::Welcome(welcome)) => Kind::Welcome(welcome),
        Some(ProtoKind::Open(head)) => Kind::Open(head),
        Some(ProtoKind::Head(head)) => Kind::Head(head),
        Some(ProtoKind::Data(data)) => Kind::Data(data),
        Some(ProtoKind::Trailers(trailers)) => Kind::Trailers(trailers),
        Some(ProtoKind::Credit(credit)) => Kind::Credit(credit.bytes),
        Some(ProtoKind::Reset(reset)) => Kind::Reset(reset),
        Some(ProtoKind::Ping(ping)) => Kind::Ping(ping.token),
        Some(ProtoKind::Pong(pong)) => Kind::Pong(pong.token),
        Some(ProtoKind::Drain(drain)) => Kind::Drain(drain),
        Some(ProtoKind::Close(close)) => Kind::Close(close),
    };
    Frame {
        stream: frame.stream,
        end: frame.end,
        kind,
    }
}
