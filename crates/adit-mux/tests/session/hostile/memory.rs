//! Peers that try to make a session hold more than it counts.

use std::task::{Context, Poll, Waker};

use adit_mux::{Misbehaviour, Read, RequestBody, StreamError, Terms};
use adit_proto::tunnel::{self as proto, Frames, frame::Kind};
use bytes::Bytes;
use prost::Message;

use crate::support::rogue::{Rogue, frame};

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn relay(streams: u64) -> Rogue {
    let mut rogue = Rogue::relay().greeted();
    for id in 1..=streams {
        rogue.send(id, Kind::Open(Bytes::new()));
        assert!(rogue.session.poll_accept(&cx()).is_ready());
    }
    rogue
}

fn read(rogue: &mut Rogue, id: u64) -> Bytes {
    match rogue.session.poll_read(id, &cx()) {
        Poll::Ready(Ok(Read::Data(data))) => data,
        other => panic!("no data: {other:?}"),
    }
}

#[test]
fn small_data_does_not_pin_the_large_chunk_it_came_in() {
    let mut rogue = relay(2);
    let frames = Frames {
        frame: vec![
            frame(1, Kind::Data(vec![1; 100].into())),
            frame(2, Kind::Data(vec![2; 60_000].into())),
        ],
    };
    let chunk = Bytes::from(frames.encode_to_vec());
    let within = chunk.as_ptr_range();
    rogue.send_bytes(chunk);
    assert!(!within.contains(&read(&mut rogue, 1).as_ptr()), "pinned");
    assert!(within.contains(&read(&mut rogue, 2).as_ptr()), "copied");
}

/// Frames that straddle chunks are put together in a buffer; one of a thousand must not keep it all.
#[test]
fn data_put_together_from_pieces_pins_nothing_of_its_neighbours() {
    let mut rogue = relay(2);
    let mut kept = Vec::new();
    for _ in 0..20 {
        let large = Frames {
            frame: vec![frame(1, Kind::Data(vec![0; 30_000].into()))],
        };
        let small = Frames {
            frame: vec![frame(2, Kind::Data(vec![0; 2_000].into()))],
        };
        for frames in [large, small] {
            let bytes = Bytes::from(frames.encode_to_vec());
            rogue.send_bytes(bytes.slice(..1));
            rogue.send_bytes(bytes.slice(1..));
        }
        read(&mut rogue, 1);
        kept.push(read(&mut rogue, 2));
    }
    rogue.assert_unharmed();
    // Whoever is alone in its buffer can have it back.
    let alone = kept.into_iter().map(Bytes::try_into_mut);
    for data in alone {
        let capacity = data.expect("shares its buffer").capacity();
        assert!(capacity <= 5_000, "{capacity} bytes for 2,000");
    }
}

/// A byte in a frame of its own costs many times itself to keep.
#[test]
fn data_in_single_bytes_counts_for_what_it_takes_to_keep() {
    let mut rogue = relay(1);
    for _ in 0..1_000 {
        rogue.send(1, Kind::Data(Bytes::from_static(b"x")));
    }
    assert!(rogue.budget.held() >= 50_000, "{}", rogue.budget.held());
    for _ in 0..1_000 {
        read(&mut rogue, 1);
    }
    assert_eq!(rogue.budget.held(), 0);
}

#[test]
fn single_bytes_on_many_streams_stay_within_the_process_bound() {
    let mut rogue = relay(20);
    for _ in 0..40_000 {
        let bytes = (1..=20).map(|id| frame(id, Kind::Data(Bytes::from_static(b"x"))));
        let frames = Frames {
            frame: bytes.collect(),
        };
        rogue.send_bytes(frames.encode_to_vec().into());
        assert!(rogue.budget.held() <= rogue.budget.limit());
        if rogue.session.stats().resets > 0 {
            rogue.assert_unharmed();
            return;
        }
    }
    panic!("never reached the bound: {}", rogue.budget.held());
}

#[test]
fn words_for_people_are_cut_to_what_the_protocol_allows() {
    let mut rogue = Rogue::agent().greeted();
    let opened = rogue
        .session
        .open(Bytes::new(), RequestBody::Follows, Terms::default());
    rogue.heard();
    let long = "ä".repeat(50_000);
    rogue.send(
        opened.unwrap(),
        Kind::Reset(proto::Reset {
            reason: 1,
            message: long.clone(),
        }),
    );
    match rogue.session.poll_failure(opened.unwrap(), &cx()) {
        Poll::Ready(StreamError::Reset { message, .. }) => assert_eq!(message.len(), 512),
        other => panic!("{other:?}"),
    }
    rogue.send(
        0,
        Kind::Close(proto::Close {
            reason: 1,
            message: long,
        }),
    );
    let end = format!("{}", rogue.session.end().expect("an end"));
    assert!(end.len() < 700, "{}", end.len());
}

#[test]
fn what_a_peer_says_of_itself_is_cut_to_what_the_protocol_allows() {
    let mut rogue = Rogue::relay();
    let long = "x".repeat(20_000);
    rogue.send(
        0,
        Kind::Welcome(proto::Welcome {
            version: 1,
            session_id: Bytes::from(vec![9; 30_000]),
            about: Some(proto::About {
                version: long.clone(),
                replica: long.clone(),
                kubernetes_version: long.clone(),
                agent: long,
            }),
            ..proto::Welcome::default()
        }),
    );
    let peer = rogue.session.peer();
    assert!(peer.session_id.len() <= 64);
    for said in [
        &peer.about.version,
        &peer.about.replica,
        &peer.about.kubernetes_version,
    ] {
        assert_eq!(said.len(), 253);
    }
    assert_eq!(peer.about.agent.len(), 512);
}

#[test]
fn a_claimed_frame_that_never_comes_holds_one_frame_at_most() {
    let mut rogue = Rogue::relay().greeted();
    let bytes = Bytes::from(
        Frames {
            frame: vec![frame(1, Kind::Open(vec![0; 65_536].into()))],
        }
        .encode_to_vec(),
    );
    for at in 0..bytes.len() - 1 {
        rogue.send_bytes(bytes.slice(at..=at));
    }
    rogue.assert_unharmed();
    rogue.session.end_of_message();
    rogue.assert_caught(Misbehaviour::Malformed("a message ends inside a frame"));
}
