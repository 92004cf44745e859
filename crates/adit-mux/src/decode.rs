//! Bytes as frames: reads the protobuf encoding of `adit.tunnel.v1.Frames` from chunks cut anywhere.
//!
//! A frame that lies whole in a chunk is a slice of that chunk; one that straddles chunks is copied together, never more than one
//! frame at a time and never beyond the limit this side announced. What is not known is skipped, as protobuf has it.

use adit_proto::tunnel as proto;
use bytes::{Buf, Bytes, BytesMut};
use prost::Message;

use crate::{
    StreamId,
    error::Misbehaviour::{self, FrameTooLarge, Malformed},
};

/// Field numbers of `Frames` and `Frame`; those of the kinds are [`Kind`]'s too.
pub(crate) mod field {
    pub(crate) const FRAME: u8 = 1;
    pub(crate) const STREAM: u8 = 1;
    pub(crate) const END: u8 = 2;
    pub(crate) const HELLO: u8 = 3;
    pub(crate) const WELCOME: u8 = 4;
    pub(crate) const OPEN: u8 = 5;
    pub(crate) const HEAD: u8 = 6;
    pub(crate) const DATA: u8 = 7;
    pub(crate) const TRAILERS: u8 = 8;
    pub(crate) const CREDIT: u8 = 9;
    pub(crate) const RESET: u8 = 10;
    pub(crate) const PING: u8 = 11;
    pub(crate) const PONG: u8 = 12;
    pub(crate) const DRAIN: u8 = 13;
    pub(crate) const CLOSE: u8 = 14;
}

/// One frame as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The stream it is about; 0 for the session.
    pub stream: StreamId,
    /// Whether the sender's half ends with it.
    pub end: bool,
    /// What it says.
    pub kind: Kind,
}

/// What a frame says. The messages are documented in `tunnel.proto`.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    missing_docs,
    reason = "one variant per kind of tunnel.proto, where each is documented"
)]
pub enum Kind {
    Hello(proto::Hello),
    Welcome(proto::Welcome),
    Open(Bytes),
    Head(Bytes),
    Data(Bytes),
    Trailers(Bytes),
    Credit(u64),
    Reset(proto::Reset),
    Ping(u64),
    Pong(u64),
    Drain(proto::Drain),
    Close(proto::Close),
    /// A kind from a later version.
    Unknown,
}

/// Turns chunks into frames.
#[derive(Debug)]
pub struct Decoder {
    /// The beginning of an entry whose end has not come yet.
    partial: BytesMut,
    max_frame_bytes: u64,
}

impl Decoder {
    /// A decoder that refuses larger frames.
    #[must_use]
    pub fn new(max_frame_bytes: u32) -> Self {
        Self {
            partial: BytesMut::new(),
            max_frame_bytes: max_frame_bytes.into(),
        }
    }

    /// The next frame, taken from the front of `chunk`; `None` when the chunk is used up.
    ///
    /// # Errors
    /// What is not the encoding of frames.
    pub fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Frame>, Misbehaviour> {
        while let Some(entry) = self.next_entry(chunk)? {
            if let Some(frame) = entry {
                return parse_frame(frame).map(Some);
            }
        }
        Ok(None)
    }

    /// Told at the end of each gRPC message: no frame may lie across it.
    ///
    /// # Errors
    /// A frame lies across it.
    pub fn end_of_message(&self) -> Result<(), Misbehaviour> {
        if self.partial.is_empty() {
            Ok(())
        } else {
            Err(Malformed("a message ends inside a frame"))
        }
    }

    /// The next field of `Frames`: `Some(Some(..))` a frame, `Some(None)` something to skip, `None` when more must come.
    fn next_entry(&mut self, chunk: &mut Bytes) -> Result<Option<Option<Bytes>>, Misbehaviour> {
        if chunk.is_empty() {
            return Ok(None);
        }
        if self.partial.is_empty() {
            match self.measure(chunk)? {
                Some(entry) if entry.bytes <= chunk.len() => {
                    return Ok(Some(entry.take(chunk.split_to(entry.bytes))));
                }
                _ => {
                    self.partial.extend_from_slice(chunk);
                    chunk.clear();
                    return Ok(None);
                }
            }
        }
        self.continue_partial(chunk)
    }

    fn continue_partial(
        &mut self,
        chunk: &mut Bytes,
    ) -> Result<Option<Option<Bytes>>, Misbehaviour> {
        loop {
            // While not even the length is known, byte by byte: it is at most twenty of them.
            let wanted = match self.measure(&self.partial)? {
                Some(entry) if entry.bytes <= self.partial.len() => {
                    // The buffer goes with the entry: a rest of it kept for the next one would be pinned by this one.
                    let partial = std::mem::take(&mut self.partial);
                    return Ok(Some(entry.take(partial.freeze())));
                }
                Some(entry) => entry.bytes - self.partial.len(),
                None => 1,
            };
            if chunk.is_empty() {
                return Ok(None);
            }
            self.partial
                .extend_from_slice(&chunk.split_to(wanted.min(chunk.len())));
        }
    }

    /// How long the entry at the front is; `None` while that cannot be known.
    fn measure(&self, bytes: &[u8]) -> Result<Option<Entry>, Misbehaviour> {
        let mut reader = Reader { bytes, at: 0 };
        let Some(key) = reader.varint()? else {
            return Ok(None);
        };
        let (number, wire_type) = split_key(key)?;
        let payload = match wire_type {
            VARINT => match reader.varint()? {
                Some(_) => 0,
                None => return Ok(None),
            },
            FIXED64 => 8,
            FIXED32 => 4,
            LENGTH => match reader.varint()? {
                Some(length) if length > self.max_frame_bytes => return Err(FrameTooLarge(length)),
                Some(length) => usize::try_from(length).map_err(|_| FrameTooLarge(length))?,
                None => return Ok(None),
            },
            _ => return Err(Malformed("wire type")),
        };
        let is_frame = number == u64::from(field::FRAME);
        if is_frame && wire_type != LENGTH {
            return Err(Malformed("a frame that is no message"));
        }
        Ok(Some(Entry {
            header: reader.at,
            bytes: reader.at + payload,
            is_frame,
        }))
    }
}

/// Where one field of `Frames` lies.
struct Entry {
    header: usize,
    bytes: usize,
    is_frame: bool,
}

impl Entry {
    fn take(&self, mut entry: Bytes) -> Option<Bytes> {
        self.is_frame.then(|| {
            entry.advance(self.header);
            entry
        })
    }
}

fn parse_frame(mut frame: Bytes) -> Result<Frame, Misbehaviour> {
    let (mut stream, mut end, mut payload) = (0, false, None);
    let mut reader = Reader {
        bytes: &frame,
        at: 0,
    };
    while reader.at < frame.len() {
        match split_key(reader.whole_varint()?)? {
            (1, VARINT) => stream = reader.whole_varint()?,
            (2, VARINT) => end = reader.whole_varint()? != 0,
            (1 | 2, _) => return Err(Malformed("stream or end that is no number")),
            (number @ 3..=14, LENGTH) => payload = Some((number, reader.delimited()?)),
            (3..=14, _) => return Err(Malformed("a kind that is no message")),
            (_, wire_type) => reader.skip(wire_type)?,
        }
    }
    let kind = match payload {
        None => Kind::Unknown,
        Some((number, (start, length))) => {
            // Narrowing the frame in place spares the two reference counts that slicing would cost.
            frame.advance(start);
            frame.truncate(length);
            parse_kind(number, frame)?
        }
    };
    Ok(Frame { stream, end, kind })
}

fn parse_kind(number: u64, payload: Bytes) -> Result<Kind, Misbehaviour> {
    Ok(match u8::try_from(number).unwrap_or(u8::MAX) {
        field::OPEN => Kind::Open(payload),
        field::HEAD => Kind::Head(payload),
        field::DATA => Kind::Data(payload),
        field::TRAILERS => Kind::Trailers(payload),
        field::CREDIT => Kind::Credit(message::<proto::Credit>(payload)?.bytes),
        field::RESET => Kind::Reset(message(payload)?),
        field::PING => Kind::Ping(message::<proto::Ping>(payload)?.token),
        field::PONG => Kind::Pong(message::<proto::Pong>(payload)?.token),
        field::HELLO => Kind::Hello(message(payload)?),
        field::WELCOME => Kind::Welcome(message(payload)?),
        field::DRAIN => Kind::Drain(message(payload)?),
        field::CLOSE => Kind::Close(message(payload)?),
        _ => Kind::Unknown,
    })
}

fn message<M: Message + Default>(payload: Bytes) -> Result<M, Misbehaviour> {
    M::decode(payload).map_err(|_| Malformed("message"))
}

/// Field number, from 1 to 2^29 - 1, and wire type.
fn split_key(key: u64) -> Result<(u64, u64), Misbehaviour> {
    match key >> 3 {
        number @ 1..=MAX_FIELD_NUMBER => Ok((number, key & 7)),
        _ => Err(Malformed("field number")),
    }
}

const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

/// A cursor over protobuf's encoding. https://protobuf.dev/programming-guides/encoding/
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// A varint; `None` when it does not end here.
    fn varint(&mut self) -> Result<Option<u64>, Misbehaviour> {
        let mut value = 0_u64;
        for (index, &byte) in self
            .bytes
            .get(self.at..)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            if index == 9 && byte > 1 {
                return Err(Malformed("number above 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.at += index + 1;
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn whole_varint(&mut self) -> Result<u64, Misbehaviour> {
        self.varint()?.ok_or(Malformed("cut number"))
    }

    /// Start and length of a length-delimited payload.
    fn delimited(&mut self) -> Result<(usize, usize), Misbehaviour> {
        let length = usize::try_from(self.whole_varint()?).map_err(|_| Malformed("length"))?;
        let start = self.at;
        self.forward(length)?;
        Ok((start, length))
    }

    fn skip(&mut self, wire_type: u64) -> Result<(), Misbehaviour> {
        match wire_type {
            VARINT => self.whole_varint().map(drop),
            FIXED64 => self.forward(8),
            FIXED32 => self.forward(4),
            LENGTH => self.delimited().map(drop),
            _ => Err(Malformed("wire type")),
        }
    }

    fn forward(&mut self, count: usize) -> Result<(), Misbehaviour> {
        let end = self
            .at
            .checked_add(count)
            .filter(|end| *end <= self.bytes.len());
        self.at = end.ok_or(Malformed("length past the end"))?;
        Ok(())
    }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;
