//! The bytes on the wire are the protobuf of `tunnel.proto`, as another implementation reads and writes it, cut anywhere.

use adit_proto::tunnel::{self as proto, Frames, frame::Kind as ProtoKind};
use bytes::{BufMut, Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};
use prost::{Message, encoding::encode_varint};

use crate::support::foreign::{as_ours, decode};

/// Cuts bytes at these lengths, round and round.
fn cut(mut bytes: Bytes, lengths: &[usize]) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() || lengths.iter().all(|length| *length == 0) {
            break;
        }
        chunks.push(bytes.split_to((*length).min(bytes.len())));
    }
    chunks.push(bytes);
    chunks
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn kind() -> impl Strategy<Value = ProtoKind> {
    prop_oneof![
        (any::<[u32; 2]>(), any::<[u64; 5]>(), any::<String>()).prop_map(
            |([min_version, max_version], [features, a, b, c, d], replica)| {
                ProtoKind::Hello(proto::Hello {
                    min_version,
                    max_version,
                    features,
                    limits: Some(proto::Limits {
                        stream_credit: a,
                        max_streams: b,
                        max_head_bytes: c,
                        max_frame_bytes: d,
                    }),
                    about: Some(proto::About {
                        replica,
                        ..proto::About::default()
                    }),
                })
            }
        ),
        (any::<u32>(), payload()).prop_map(|(version, session_id)| {
            ProtoKind::Welcome(proto::Welcome {
                version,
                session_id,
                ..proto::Welcome::default()
            })
        }),
        payload().prop_map(ProtoKind::Open),
        payload().prop_map(ProtoKind::Head),
        payload().prop_map(ProtoKind::Data),
        payload().prop_map(ProtoKind::Trailers),
        any::<u64>().prop_map(|bytes| ProtoKind::Credit(proto::Credit { bytes })),
        (any::<i32>(), any::<String>())
            .prop_map(|(reason, message)| ProtoKind::Reset(proto::Reset { reason, message })),
        any::<u64>().prop_map(|token| ProtoKind::Ping(proto::Ping { token })),
        any::<u64>().prop_map(|token| ProtoKind::Pong(proto::Pong { token })),
        any::<String>().prop_map(|message| ProtoKind::Drain(proto::Drain { message })),
        (any::<i32>(), any::<String>())
            .prop_map(|(reason, message)| ProtoKind::Close(proto::Close { reason, message })),
    ]
}

fn frame() -> impl Strategy<Value = proto::Frame> {
    (any::<u64>(), any::<bool>(), proptest::option::of(kind()))
        .prop_map(|(stream, end, kind)| proto::Frame { stream, end, kind })
}

/// The fields of an encoded message, each with its key.
fn fields(mut message: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let before = message;
        let (number, wire_type) = prost::encoding::decode_key(&mut message).unwrap();
        prost::encoding::skip_field(wire_type, number, &mut message, Default::default()).unwrap();
        fields.push(before[..before.len() - message.len()].to_vec());
    }
    fields
}

/// A field that no version has, of any wire type.
fn unknown(numbers: std::ops::Range<u64>) -> impl Strategy<Value = Vec<u8>> {
    (numbers, 0_u8..4, any::<u64>(), vec(any::<u8>(), 0..20)).prop_map(
        |(number, shape, value, payload)| {
            let mut field = BytesMut::new();
            encode_varint(number << 3 | [0, 1, 2, 5][usize::from(shape)], &mut field);
            match shape {
                0 => encode_varint(value, &mut field),
                1 => field.put_u64_le(value),
                2 => {
                    encode_varint(payload.len() as u64, &mut field);
                    field.put_slice(&payload);
                }
                _ => field.put_u32_le(value as u32),
            }
            field.to_vec()
        },
    )
}

fn delimited(key: u8, payload: &[u8]) -> Vec<u8> {
    let mut field = vec![key];
    encode_varint(payload.len() as u64, &mut field);
    field.extend_from_slice(payload);
    field
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn frames_of_another_implementation_decode_however_they_are_cut(
        frame in vec(frame(), 0..8),
        lengths in vec(0_usize..200, 1..6),
    ) {
        let bytes = Bytes::from(Frames { frame: frame.clone() }.encode_to_vec());
        let expected: Vec<_> = frame.into_iter().map(as_ours).collect();
        for chunks in [cut(bytes.clone(), &[1]), cut(bytes.clone(), &lengths), vec![bytes]] {
            prop_assert_eq!(decode(chunks), Ok(expected.clone()));
        }
    }

    #[test]
    fn fields_decode_in_any_order_and_unknown_ones_are_skipped(
        frame in frame(),
        within in vec(unknown(15..600), 0..4),
        beside in vec(unknown(2..600), 0..3),
        order in any::<u64>(),
    ) {
        let mut all = fields(&frame.encode_to_vec());
        all.extend(within);
        // A permutation of few fields.
        all.sort_by_key(|field| {
            field.iter().fold(order, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            })
        });
        let mut entries = beside;
        entries.insert(
            order as usize % (entries.len() + 1),
            delimited(1 << 3 | 2, &all.concat()),
        );
        prop_assert_eq!(decode([entries.concat().into()]), Ok(vec![as_ours(frame)]));
    }

    #[test]
    fn any_bytes_are_frames_or_malformed_alike_however_they_are_cut(
        bytes in vec(prop_oneof![0_u8..20, any::<u8>()], 0..200),
        lengths in vec(0_usize..20, 1..4),
    ) {
        let bytes = Bytes::from(bytes);
        let whole = decode([bytes.clone()]);
        let pieces = decode(cut(bytes, &lengths));
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            prop_assert_eq!(whole, pieces);
        }
    }
}
