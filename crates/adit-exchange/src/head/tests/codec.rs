//! Any head is written as the generated types write it, and read as they read it; any other bytes are no panic.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::{
    samples::{headers, samples},
    *,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn request_heads_are_those_of_the_generated_types(sample in samples()) {
        let (ours, theirs) = (sample.ours(), sample.theirs());
        prop_assert_eq!(&ours[..], &theirs.encode_to_vec()[..]);
        prop_assert_eq!(proto::RequestHead::decode(ours.clone()).unwrap(), theirs);
        sample.is(&Asked::read(&ours, LIMITS).unwrap());
    }

    #[test]
    fn response_heads_are_those_of_the_generated_types(headers in headers(), status in 200..600_u16, micros: u64) {
        let status = StatusCode::from_u16(status).unwrap();
        let took = (micros > 0).then(|| Duration::from_micros(micros));
        let ours = response::encode(status, &headers, b"", took, LIMITS).unwrap();
        let theirs = proto::ResponseHead {
            status: status.as_u16().into(),
            fields: fields(&headers),
            upgrade: String::new(),
            api_server_microseconds: micros,
        };
        prop_assert_eq!(&ours[..], &theirs.encode_to_vec()[..]);
        let read = response::read(&ours, LIMITS).unwrap();
        prop_assert_eq!(read.status, status);
        prop_assert_eq!(read.api_server, took);
        prop_assert!(read.headers.iter().eq(headers.iter()));
    }

    #[test]
    fn trailers_are_those_of_the_generated_types(mut headers in headers()) {
        headers.remove("content-length");
        headers.remove("cookie");
        headers.remove("trailer");
        let ours = encode_trailers(&headers, LIMITS).unwrap().unwrap_or_default();
        prop_assert_eq!(&ours[..], &proto::Trailers { fields: fields(&headers) }.encode_to_vec()[..]);
        prop_assert_eq!(read_trailers(&ours, LIMITS).unwrap(), headers);
    }

    /// Fields of later versions: anywhere, of any type.
    #[test]
    fn unknown_fields_are_skipped(sample in samples(), number in 8..(1_u32 << 29), before in any::<bool>(), of_type in 0..4_usize) {
        let mut unknown = Vec::new();
        let key = |kind: u32| u64::from(number << 3 | kind);
        match of_type {
            0 => { prost::encoding::encode_varint(key(0), &mut unknown); unknown.push(7); }
            1 => { prost::encoding::encode_varint(key(1), &mut unknown); unknown.extend([0; 8]); }
            2 => { prost::encoding::encode_varint(key(2), &mut unknown); unknown.extend([3, 1, 2, 3]); }
            _ => { prost::encoding::encode_varint(key(5), &mut unknown); unknown.extend([0; 4]); }
        }
        let ours = sample.ours();
        let bytes = if before { [&unknown[..], &ours].concat() } else { [&ours, &unknown[..]].concat() };
        sample.is(&Asked::read(&bytes.into(), LIMITS).unwrap());
    }

    #[test]
    fn a_head_that_was_cut_off_or_changed_is_no_panic(sample in samples(), at in any::<prop::sample::Index>(), byte: u8) {
        let ours = sample.ours();
        let at = at.index(ours.len());
        let _ = Asked::read(&ours.slice(..at), LIMITS);
        let mut changed = ours.to_vec();
        changed[at] = byte;
        let _ = Asked::read(&changed.clone().into(), LIMITS);
        let _ = response::read(&changed.clone().into(), LIMITS);
        let _ = read_trailers(&changed.into(), LIMITS);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        let _ = Asked::read(&bytes, LIMITS);
        let _ = response::read(&bytes, LIMITS);
        let _ = read_trailers(&bytes, LIMITS);
    }
}

#[test]
fn an_answer_loses_what_belongs_to_its_hop() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "close, x-private"),
        ("x-private", "1"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("x-kept", "1"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let head = response::encode(StatusCode::OK, &headers, b"", None, LIMITS).unwrap();
    let read = response::read(&head, LIMITS).unwrap().headers;
    assert_eq!(
        read.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
        ["trailer", "x-kept"]
    );
}

#[test]
fn values_are_slices_of_the_head() {
    let mut headers = HeaderMap::new();
    headers.append("x-a", HeaderValue::from_static("value"));
    let head = response::encode(StatusCode::OK, &headers, b"", None, LIMITS).unwrap();
    let read = response::read(&head, LIMITS).unwrap();
    let range = head.as_ptr_range();
    assert!(range.contains(&read.headers["x-a"].as_bytes().as_ptr()));
}
