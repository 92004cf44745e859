//! Tells at `trace` of each frame that comes and goes: what it is, of which stream, and how much it holds, never what.
//!
//! Called by `driver.rs`. The session keeps no log, so its bytes are read once more here while somebody listens; else a batch costs a look
//! at the level.

use adit_mux::{Batch, Decoder, Frame, Kind, Session};
use bytes::Buf as _;
use tracing::Level;

use crate::{
    framing::{PREFIX_BYTES, Piece},
    handle::hexadecimal,
};

/// What is told of the message that comes in.
#[derive(Debug, Default)]
pub(crate) struct FrameLog {
    /// None while nobody listens, and until the end of a message whose beginning nobody heard.
    decoder: Option<Box<Decoder>>,
    /// Whether more of it is to come.
    is_inside: bool,
}

impl FrameLog {
    /// Tells of what is whole with this piece. Before the session has it: its last words are told, too.
    pub(crate) fn came(&mut self, piece: &Piece, session: &Session) {
        let was_inside = std::mem::replace(&mut self.is_inside, !piece.is_last);
        if !tracing::enabled!(Level::TRACE) {
            self.decoder = None;
            return;
        }
        if !was_inside {
            self.decoder = Some(Box::new(Decoder::new(ANY_BYTES)));
        }
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        let mut bytes = piece.bytes.clone();
        // What is no frame ends the session, which says so.
        while let Ok(Some(frame)) = decoder.next(&mut bytes) {
            tell("received", &frame, session);
        }
    }
}

/// Tells of the frames of a batch.
pub(crate) fn goes(batch: &Batch, session: &Session) {
    if !tracing::enabled!(Level::TRACE) {
        return;
    }
    let mut batch = batch.clone();
    batch.advance(PREFIX_BYTES);
    let mut bytes = batch.copy_to_bytes(batch.remaining());
    let mut decoder = Decoder::new(ANY_BYTES);
    while let Ok(Some(frame)) = decoder.next(&mut bytes) {
        tell("sent", &frame, session);
    }
}

fn tell(direction: &'static str, frame: &Frame, session: &Session) {
    let (kind, bytes) = facts(&frame.kind);
    tracing::trace!(
        tunnel.id = hexadecimal(&session.peer().session_id),
        stream.id = frame.stream,
        direction,
        kind,
        bytes,
        end = frame.end,
        "frame"
    );
}

/// The session bounds them, and ends with one that is too large.
const ANY_BYTES: u32 = u32::MAX;

/// What it is called, and the bytes that it holds; of credit, those that it gives.
fn facts(kind: &Kind) -> (&'static str, Option<u64>) {
    let bytes = |bytes: &bytes::Bytes| Some(bytes.len() as u64);
    match kind {
        Kind::Hello(_) => ("hello", None),
        Kind::Welcome(_) => ("welcome", None),
        Kind::Open(head) => ("open", bytes(head)),
        Kind::Head(head) => ("head", bytes(head)),
        Kind::Data(data) => ("data", bytes(data)),
        Kind::Trailers(trailers) => ("trailers", bytes(trailers)),
        Kind::Credit(given) => ("credit", Some(*given)),
        Kind::Reset(_) => ("reset", None),
        Kind::Ping(_) => ("ping", None),
        Kind::Pong(_) => ("pong", None),
        Kind::Drain(_) => ("drain", None),
        Kind::Close(_) => ("close", None),
        Kind::Unknown => ("unknown", None),
    }
}
