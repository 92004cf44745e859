//! What a rogue may do, and what an honest user does meanwhile, as four bytes each.

use std::task::{Context, Waker};

use adit_mux::{Moment, RequestBody, ResetReason, Terms};
use adit_proto::tunnel::{self as proto, Frame, frame::Kind};
use bytes::Bytes;

use super::{
    alarm::ring,
    rogue::{Rogue, credit, hello, ping, reset, welcome},
};

/// Does one thing and looks whether the session is still in order.
pub(crate) fn step(rogue: &mut Rogue, [tag, stream, low, high]: [u8; 4]) {
    // Few ids, so that frames meet.
    let id = u64::from(stream % 8);
    let length = usize::from(low) | usize::from(high) << 8;
    match tag & 31 {
        0..=18 => rogue.send_frame(Frame {
            stream: id,
            end: tag >> 7 == 1,
            kind: kind(tag & 31, length, stream),
        }),
        19 => {
            rogue.heard();
        }
        20 => rogue.advance(Moment::from_millis(u64::from(low) * 20)),
        21 => rogue.send_bytes(Bytes::copy_from_slice(&[stream, low, high])),
        22 => rogue.session.end_of_message(),
        other => use_session(rogue, other, id, length),
    }
    ring(&mut rogue.session);
    rogue.session.assert_invariants();
    assert_eq!(
        rogue.budget.held(),
        rogue.session.stats().buffered_bytes,
        "the budget"
    );
}

fn kind(tag: u8, length: usize, byte: u8) -> Option<Kind> {
    let payload = Bytes::from(vec![byte; length]);
    Some(match tag {
        0..=2 => Kind::Open(payload),
        3..=4 => Kind::Head(payload),
        5..=8 => Kind::Data(payload),
        9 => Kind::Trailers(payload),
        10 => credit(length as u64),
        11 => credit((1 << 31) - length as u64),
        12 => reset(""),
        13 => ping(length as u64),
        14 => Kind::Pong(proto::Pong {
            token: u64::from(byte),
        }),
        15 if length.is_multiple_of(16) => Kind::Drain(proto::Drain::default()),
        16 if length.is_multiple_of(64) => Kind::Close(proto::Close::default()),
        17 => hello(),
        18 => welcome(),
        _ => return None,
    })
}

fn use_session(rogue: &mut Rogue, tag: u8, id: u64, length: usize) {
    let (session, cx) = (&mut rogue.session, Context::from_waker(Waker::noop()));
    let bytes = Bytes::from(vec![0; length]);
    match tag {
        23 => {
            let (body, deadline) = if id.is_multiple_of(2) {
                (RequestBody::Follows, None)
            } else {
                (
                    RequestBody::Absent,
                    Some(rogue.now + Moment::from_millis(500)),
                )
            };
            let _ = session.open(
                bytes,
                body,
                Terms {
                    deadline,
                    owner: id,
                },
            );
        }
        24 => {
            let _ = session.poll_accept(&cx);
        }
        25 => {
            let _ = session.poll_head(id, &cx);
        }
        26 | 27 => {
            let _ = session.poll_read(id, &cx);
        }
        28 => {
            if session.poll_room(id, &cx).is_ready() {
                let _ = session.write(id, bytes, length.is_multiple_of(8));
            }
        }
        29 => {
            let _ = session.send_head(id, bytes);
        }
        30 => session.release(id),
        _ if length.is_multiple_of(64) => session.drain(""),
        _ if length.is_multiple_of(4) => session.reset(id, ResetReason::Internal, ""),
        _ => {
            let _ = session.send_trailers(id, bytes);
        }
    }
}
