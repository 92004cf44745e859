//! An answer's head: [`encode`] at the agent, [`read`] at the relay.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{
    BadHead, Fields, HeadLimits, HeadTooLarge, check_len, fields_len, finish, put_fields,
    request::read_upgrade,
};
use crate::{
    hop,
    wire::{Reader, bytes_key, put_bytes_unless_empty, put_varint, varint_key},
};

/// What came.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// With 101, and only then: the protocol.
    pub(crate) upgrade: Option<HeaderValue>,
    /// How long the API server took, if the agent tells it.
    pub(crate) api_server: Option<Duration>,
}

/// Writes a head without what belongs to one hop. `upgrade` is empty but with 101, `api_server` how long the API server took for it.
pub(crate) fn encode(
    status: StatusCode,
    headers: &HeaderMap,
    upgrade: &[u8],
    api_server: Option<Duration>,
    limits: HeadLimits,
) -> Result<Bytes, HeadTooLarge> {
    let listed = hop::Listed::of_answer(headers);
    let mut out = BytesMut::with_capacity(fields_len(headers) + upgrade.len() + SCALARS_LEN);
    out.extend_from_slice(&[varint_key(1)]);
    put_varint(&mut out, status.as_u16().into());
    put_fields(&mut out, bytes_key(2), headers, limits, |name, _| {
        Ok::<_, HeadTooLarge>(hop::kind(name) != hop::Kind::HopByHop && !listed.contains(name))
    })?;
    put_bytes_unless_empty(&mut out, bytes_key(3), upgrade);
    if let Some(took) = api_server {
        out.extend_from_slice(&[varint_key(4)]);
        put_varint(&mut out, microseconds(took));
    }
    finish(out, limits)
}

/// Reads a head, and refuses one that holds what an agent must not send.
pub(crate) fn read(head: &Bytes, limits: HeadLimits) -> Result<ResponseHead, BadHead> {
    check_len(head, limits)?;
    let mut fields = Fields::new(head, limits);
    let (mut status, mut upgrade, mut api_server) = (0, &[][..], 0);
    let mut reader = Reader::new(head);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => status = value.varint()?,
            2 => fields.add(value.bytes()?, |name| {
                hop::kind(name) != hop::Kind::HopByHop
            })?,
            3 => upgrade = value.bytes()?,
            4 => api_server = value.varint()?,
            _ => {}
        }
    }
    let upgrade = read_upgrade(head, upgrade)?;
    let status = read_status(status)?;
    if (status == StatusCode::SWITCHING_PROTOCOLS) != upgrade.is_some() {
        return Err(BadHead::Upgrade);
    }
    Ok(ResponseHead {
        status,
        headers: fields.headers,
        upgrade,
        api_server: (api_server > 0).then(|| Duration::from_micros(api_server)),
    })
}

fn read_status(status: u64) -> Result<StatusCode, BadHead> {
    let known = u16::try_from(status).ok().filter(|status| *status < 600);
    known
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or(BadHead::Status(status))
}

/// At least one: none would be as if it were not told.
fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// Keys and lengths of the scalar fields, and an hour in microseconds.
const SCALARS_LEN: usize = 16;
