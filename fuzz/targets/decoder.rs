//! The decoder against prost, another implementation of the same encoding; and against itself with the bytes cut elsewhere.
#![no_main]

use adit_mux::{Frame, Misbehaviour};
use adit_proto::tunnel::Frames;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::{
    Message,
    encoding::{DecodeContext, decode_key, decode_varint, skip_field},
};

#[path = "../../crates/adit-mux/tests/session"]
#[allow(
    dead_code,
    reason = "shared with adit-mux's tests, which use all of it"
)]
mod session {
    pub(crate) mod support;
}

#[cfg(not(fuzzing))]
compile_error!("no coverage: run cargo in fuzz/ and without RUSTFLAGS");

use session::support::foreign::{as_ours, decode};

fuzz_target!(|input: &[u8]| {
    // The first four bytes say where to cut.
    let Some((lengths, bytes)) = input.split_at_checked(4) else {
        return;
    };
    let bytes = Bytes::copy_from_slice(bytes);
    let whole = decode([bytes.clone()]);
    let pieces = decode(cut(bytes.clone(), lengths));
    assert_eq!(whole.is_ok(), pieces.is_ok(), "{whole:?} {pieces:?}");
    if whole.is_ok() {
        assert_eq!(whole, pieces);
    }
    compare(whole, bytes);
});

fn cut(mut bytes: Bytes, lengths: &[u8]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        chunks.push(bytes.split_to(bytes.len().min(usize::from(*length) + 1)));
    }
    chunks
}

fn compare(ours: Result<Vec<Frame>, Misbehaviour>, bytes: Bytes) {
    let theirs = Frames::decode(bytes.clone());
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours.len(), theirs.frame.len());
            let encoded = encoded_frames(bytes);
            for ((ours, theirs), encoded) in ours.into_iter().zip(theirs.frame).zip(encoded) {
                // Theirs merges two messages of one kind, ours takes the last: nobody sends two.
                if kinds(encoded) < 2 {
                    assert_eq!(ours, as_ours(theirs));
                }
            }
        }
        // Theirs reads each of several kinds, ours the last only.
        (Ok(_), Err(error)) => {
            let has_two = encoded_frames(bytes)
                .into_iter()
                .any(|frame| kinds(frame) > 1);
            assert!(has_two, "theirs alone refuses: {error}");
        }
        // Groups, which nobody has used for decades.
        (Err(Misbehaviour::Malformed("wire type")), _) | (Err(_), Err(_)) => {}
        (Err(rule), Ok(_)) => panic!("ours alone refuses: {rule}"),
    }
}

/// The frames' own bytes. Both decoders have accepted the whole as frames.
fn encoded_frames(mut bytes: Bytes) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Ok((number, wire_type)) = decode_key(&mut bytes) {
        if number == 1 {
            let length = decode_varint(&mut bytes).expect("a length");
            frames.push(bytes.split_to(usize::try_from(length).expect("small")));
        } else {
            skip_field(wire_type, number, &mut bytes, DecodeContext::default()).expect("a field");
        }
    }
    frames
}

fn kinds(mut frame: Bytes) -> usize {
    let mut kinds = 0;
    while let Ok((number, wire_type)) = decode_key(&mut frame) {
        kinds += usize::from((3..=14).contains(&number));
        if skip_field(wire_type, number, &mut frame, DecodeContext::default()).is_err() {
            break;
        }
    }
    kinds
}
