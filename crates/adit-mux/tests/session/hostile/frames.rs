//! Frames that cannot have been meant: out of order, out of place, out of proportion.

use std::task::{Context, Waker};

use adit_mux::{Config, Limits, Misbehaviour, RequestBody, SessionError, Terms};
use adit_proto::tunnel::{self as proto, Frame, frame::Kind};
use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::encode_varint;

use crate::support::rogue::{Rogue, credit, frame, hello, ping, reset, welcome};

fn open() -> Kind {
    Kind::Open(Bytes::from_static(b"head"))
}

fn head() -> Kind {
    Kind::Head(Bytes::from_static(b"head"))
}

fn data() -> Kind {
    Kind::Data(Bytes::from_static(b"data"))
}

fn trailers() -> Kind {
    Kind::Trailers(Bytes::from_static(b"trailers"))
}

#[test]
fn frames_before_the_handshake_are_unexpected() {
    let frames = [
        (1, open()),
        (1, head()),
        (1, data()),
        (1, trailers()),
        (0, ping(1)),
        (1, reset("")),
    ];
    for (stream, kind) in frames {
        for mut rogue in [Rogue::relay(), Rogue::agent()] {
            rogue.send(stream, kind.clone());
            rogue.assert_caught(Misbehaviour::Unexpected("frame before the handshake"));
        }
    }
}

#[test]
fn a_handshake_in_the_wrong_direction_is_unexpected() {
    for (mut rogue, greeting) in [(Rogue::relay(), hello()), (Rogue::agent(), welcome())] {
        rogue.send(0, greeting);
        rogue.assert_caught(Misbehaviour::Unexpected("frame before the handshake"));
    }
}

#[test]
fn a_second_handshake_is_unexpected() {
    for greeting in [hello(), welcome()] {
        for rogue in [Rogue::relay(), Rogue::agent()] {
            let mut rogue = rogue.greeted();
            rogue.send(0, greeting.clone());
            rogue.assert_caught(Misbehaviour::Unexpected("second handshake"));
        }
    }
}

#[test]
fn no_version_in_common_is_said_with_the_versions() {
    let mut rogue = Rogue::agent();
    rogue.send(
        0,
        Kind::Hello(proto::Hello {
            min_version: 2,
            max_version: 9,
            ..proto::Hello::default()
        }),
    );
    let end = rogue.session.end().expect("an end");
    assert!(matches!(**end, SessionError::Version { min: 2, max: 9 }));
    let heard = rogue.heard();
    assert!(
        matches!(&heard[..], [Frame { kind: Some(Kind::Close(close)), .. }]
        if close.reason() == proto::CloseReason::Version)
    );
}

#[test]
fn a_welcome_with_a_version_nobody_asked_for_ends_the_session() {
    let mut rogue = Rogue::relay();
    rogue.send(0, Kind::Welcome(proto::Welcome::default()));
    let end = rogue.session.end().expect("an end");
    assert!(matches!(**end, SessionError::Version { min: 0, max: 0 }));
}

#[test]
fn a_feature_that_nobody_named_is_unexpected() {
    let mut rogue = Rogue::relay();
    let Kind::Welcome(welcome) = welcome() else {
        unreachable!("it is one");
    };
    let features = 1;
    rogue.send(
        0,
        Kind::Welcome(proto::Welcome {
            features,
            ..welcome
        }),
    );
    rogue.assert_caught(Misbehaviour::Unexpected(
        "feature that the hello did not name",
    ));
}

#[test]
fn only_features_that_both_name_are_in_a_welcome() {
    let mut rogue = Rogue::agent();
    let Kind::Hello(hello) = hello() else {
        unreachable!("it is one");
    };
    let features = u64::MAX;
    rogue.send(0, Kind::Hello(proto::Hello { features, ..hello }));
    rogue.assert_unharmed();
    let heard = rogue.heard();
    assert!(
        matches!(&heard[..], [Frame { kind: Some(Kind::Welcome(welcome)), .. }, ..]
        if welcome.features == 0),
        "{heard:?}"
    );
}

#[test]
fn frames_about_the_session_name_no_stream() {
    let drain = Kind::Drain(proto::Drain::default());
    let pong = Kind::Pong(proto::Pong { token: 1 });
    let close = Kind::Close(proto::Close::default());
    for kind in [ping(1), pong, drain, close] {
        let mut rogue = Rogue::relay().greeted();
        rogue.send(9, kind);
        rogue.assert_caught(Misbehaviour::Unexpected(
            "stream in a frame about the session",
        ));
    }
}

#[test]
fn what_ends_nothing_does_not_say_that_it_is_the_end() {
    for kind in [head(), credit(1), reset("")] {
        let (mut rogue, id) = Rogue::agent_with_stream();
        rogue.send_last(id, kind);
        rogue.assert_caught(Misbehaviour::Unexpected("end in a frame that ends nothing"));
    }
}

#[test]
fn ids_that_do_not_grow_are_caught() {
    for id in [5, 4, 0] {
        let mut rogue = Rogue::relay().greeted();
        rogue.send(5, open());
        rogue.send(id, open());
        rogue.assert_caught(Misbehaviour::StreamReused(id));
    }
}

#[test]
fn a_stream_that_was_never_opened_takes_nothing() {
    for kind in [data(), trailers(), reset("")] {
        for id in [0, 8] {
            let mut rogue = Rogue::relay().greeted();
            rogue.send(7, open());
            rogue.send(id, kind.clone());
            rogue.assert_caught(Misbehaviour::NeverOpened(id));
        }
    }
}

#[test]
fn an_agent_opens_nothing_and_a_relay_answers_nothing() {
    let (mut rogue, id) = Rogue::agent_with_stream();
    rogue.send(id + 1, open());
    rogue.assert_caught(Misbehaviour::Unexpected("open"));
    let mut rogue = Rogue::relay().greeted();
    rogue.send(1, open());
    rogue.send(1, head());
    rogue.assert_caught(Misbehaviour::Unexpected("head"));
}

#[test]
fn an_answer_begins_with_a_head() {
    for (kind, rule) in [
        (data(), "data before a head"),
        (trailers(), "trailers before a head"),
    ] {
        let (mut rogue, id) = Rogue::agent_with_stream();
        rogue.send(id, kind);
        rogue.assert_caught(Misbehaviour::Unexpected(rule));
    }
}

#[test]
fn nothing_comes_after_the_end() {
    for kind in [head(), data(), trailers()] {
        let (mut rogue, id) = Rogue::agent_with_stream();
        rogue.send(id, head());
        rogue.send_last(id, data());
        rogue.send(id, kind);
        rogue.assert_caught(Misbehaviour::AfterEnd(id));
    }
}

#[test]
fn an_open_behind_a_drain_is_unexpected() {
    let mut rogue = Rogue::relay().greeted();
    rogue.send(1, open());
    rogue.send(0, Kind::Drain(proto::Drain::default()));
    rogue.assert_unharmed();
    rogue.send(2, open());
    rogue.assert_caught(Misbehaviour::Unexpected("open behind a drain"));
}

#[test]
fn data_without_bytes_is_malformed_unless_it_ends() {
    let mut rogue = Rogue::relay().greeted();
    rogue.send(1, open());
    rogue.send(1, Kind::Data(Bytes::new()));
    rogue.assert_caught(Misbehaviour::Malformed("data without bytes"));
    let mut rogue = Rogue::relay().greeted();
    rogue.send(1, open());
    rogue.send_last(1, Kind::Data(Bytes::new()));
    rogue.assert_unharmed();
}

#[test]
fn giant_heads_are_refused_whatever_carries_them() {
    let giant = Bytes::from(vec![0; 65_537]);
    let rule = Misbehaviour::HeadTooLarge(65_537);
    let mut rogue = Rogue::relay().greeted();
    rogue.send(1, Kind::Open(giant.clone()));
    rogue.assert_caught(rule);
    for kind in [Kind::Head(giant.clone()), Kind::Trailers(giant)] {
        let (mut rogue, id) = Rogue::agent_with_stream();
        rogue.send(id, kind);
        rogue.assert_caught(rule);
    }
}

/// Of all streams, only the one: an agent passes on what an API server of many sends it.
#[test]
fn heads_that_pile_up_end_their_stream_alone() {
    for head in [Bytes::from(vec![0; 65_536]), Bytes::new()] {
        let (mut rogue, id) = Rogue::agent_with_stream();
        let sent = (0..).take_while(|_| {
            rogue.send(id, Kind::Head(head.clone()));
            rogue.assert_unharmed();
            rogue.session.stats().resets == 0
        });
        assert!(sent.count() < 5_000);
        assert_eq!(rogue.budget.held(), 0);
        assert!(
            matches!(&rogue.heard()[..], [Frame { kind: Some(Kind::Reset(reset)), .. }]
            if reset.reason() == proto::ResetReason::Protocol)
        );
    }
}

fn claim(key: u64, length: u64) -> Bytes {
    let mut bytes = BytesMut::new();
    encode_varint(key, &mut bytes);
    encode_varint(length, &mut bytes);
    bytes.freeze()
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_anything_of_it_is_kept() {
    // A frame, and a field that nobody knows.
    for key in [1 << 3 | 2, 99 << 3 | 2] {
        for length in [131_073, u64::from(u32::MAX) + 1, u64::MAX] {
            let mut rogue = Rogue::relay().greeted();
            rogue.send_bytes(claim(key, length));
            rogue.assert_caught(Misbehaviour::FrameTooLarge(length));
        }
    }
}

#[test]
fn a_length_that_points_outside_its_frame_is_malformed() {
    let mut rogue = Rogue::relay().greeted();
    let mut bytes = BytesMut::from(&claim(1 << 3 | 2, 4)[..]);
    bytes.put(claim(5 << 3 | 2, 100));
    bytes.put(&b"xx"[..]);
    rogue.send_bytes(bytes.freeze());
    rogue.assert_caught(Misbehaviour::Malformed("length past the end"));
}

#[test]
fn what_is_no_protobuf_is_malformed() {
    let garbage: [&[u8]; 7] = [
        &[0xff; 11],
        &[0x00, 0x00],
        &[0x0f],
        &[0x08, 0x01],
        &[0x0a, 0x02, 0x09, 0x00],
        &[0x0a, 0x02, 0x28, 0x00],
        &[0x0a, 0x04, 0x4a, 0x02, 0x08, 0xff],
    ];
    for bytes in garbage {
        let mut rogue = Rogue::relay().greeted();
        rogue.send_bytes(Bytes::from_static(bytes));
        assert!(
            matches!(rogue.rule(), Some(Misbehaviour::Malformed(_))),
            "{bytes:?}: {:?}",
            rogue.session.end()
        );
    }
}

#[test]
fn a_message_that_ends_inside_a_frame_is_malformed() {
    let mut rogue = Rogue::relay().greeted();
    rogue.send_bytes(claim(1 << 3 | 2, 10));
    rogue.session.end_of_message();
    rogue.assert_caught(Misbehaviour::Malformed("a message ends inside a frame"));
}

#[test]
fn a_peer_that_closes_is_believed_and_not_answered() {
    let mut rogue = Rogue::agent().greeted();
    rogue.send(
        0,
        Kind::Close(proto::Close {
            reason: 77,
            message: "later reason".to_owned(),
        }),
    );
    let end = rogue.session.end().expect("an end");
    assert!(
        matches!(&**end, SessionError::ClosedByPeer { message, .. } if message == "later reason")
    );
    assert!(rogue.heard().is_empty());
}

#[test]
fn a_reset_with_a_reason_from_a_later_version_is_a_reset() {
    let (mut rogue, id) = Rogue::agent_with_stream();
    rogue.send(
        id,
        Kind::Reset(proto::Reset {
            reason: 1234,
            message: String::new(),
        }),
    );
    let cx = Context::from_waker(Waker::noop());
    assert!(rogue.session.poll_failure(id, &cx).is_ready());
    rogue.assert_unharmed();
}

#[test]
fn unknown_kinds_and_fields_are_skipped() {
    let mut rogue = Rogue::relay().greeted();
    // An unknown field of `Frames` of each wire type, and a frame of an unknown kind with an unknown field.
    for unknown in [
        &[0x78, 0x05][..],
        &[0x79, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x7a, 0x02, 0xff, 0xff],
        &[0x7d, 1, 2, 3, 4],
        &[0x0a, 0x07, 0x08, 0x01, 0x7a, 0x01, 0x00, 0x78],
        &[0x01],
        &[0x0a, 0x00],
    ] {
        rogue.send_bytes(Bytes::from_static(unknown));
    }
    rogue.send(1, open());
    rogue.assert_unharmed();
    assert_eq!(rogue.session.stats().opened, 1);
}

#[test]
fn limits_that_make_no_sense_are_brought_to_ones_that_do() {
    for extreme in [1, u64::MAX] {
        let mut rogue = Rogue::agent();
        rogue.send(
            0,
            Kind::Hello(proto::Hello {
                min_version: 0,
                max_version: u32::MAX,
                features: u64::MAX,
                limits: Some(proto::Limits {
                    stream_credit: extreme,
                    max_streams: extreme,
                    max_head_bytes: extreme,
                    max_frame_bytes: extreme,
                }),
                about: None,
            }),
        );
        let opened = rogue.session.open(
            Bytes::from_static(b"h"),
            RequestBody::Follows,
            Terms::default(),
        );
        rogue
            .session
            .write(opened.unwrap(), Bytes::from(vec![0; 100_000]), true)
            .unwrap();
        let frames = rogue.heard();
        assert!(
            frames
                .iter()
                .all(|frame| prost::Message::encoded_len(frame) <= 131_072)
        );
        rogue.assert_unharmed();
    }
}

#[test]
fn frames_after_the_session_ended_are_not_looked_at() {
    let mut rogue = Rogue::relay_with(Config {
        limits: Limits::default(),
        ..Config::default()
    })
    .greeted();
    rogue
        .session
        .close(SessionError::Transport("gone".to_owned()));
    rogue.send_frame(frame(1, open()));
    assert_eq!(rogue.session.stats().opened, 0);
    assert!(rogue.heard().is_empty());
}
