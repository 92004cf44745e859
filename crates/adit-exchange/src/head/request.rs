//! A request's head: [`encode`] at the relay, [`read`] at the agent.

use std::borrow::Borrow;

use adit_identity::ActAs;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, uri::PathAndQuery};

use super::{BadHead, Fields, HeadLimits, HeadTooLarge, check_len, fields_len, finish, put_fields};
use crate::{
    answer::Asked,
    hop,
    identity::{self, BadIdentity},
    wire::{Reader, bytes_key, put_bytes, put_bytes_unless_empty, varint_key},
};

/// What goes into a request's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) act_as: &'a ActAs,
    /// Empty for none.
    pub(crate) upgrade: &'a [u8],
    pub(crate) expect_continue: bool,
    pub(crate) request_id: &'a str,
}

/// Writes a head with those fields that `keep` lets through.
pub(crate) fn encode<E: From<HeadTooLarge>>(
    head: RequestHead<'_>,
    limits: HeadLimits,
    keep: impl FnMut(&HeaderName, &HeaderValue) -> Result<bool, E>,
) -> Result<Bytes, E> {
    let fixed = head.method.as_str().len()
        + head.target.len()
        + head.upgrade.len()
        + head.request_id.len()
        + SCALARS_LEN;
    let mut out = BytesMut::with_capacity(
        fixed + identity::encoded_len(head.act_as) + fields_len(head.headers),
    );
    put_bytes(&mut out, METHOD, head.method.as_str().as_bytes());
    put_bytes_unless_empty(&mut out, TARGET, head.target.as_bytes());
    put_fields(&mut out, FIELD, head.headers, limits, keep)?;
    identity::put(&mut out, IDENTITY, head.act_as);
    put_bytes_unless_empty(&mut out, UPGRADE, head.upgrade);
    if head.expect_continue {
        out.extend_from_slice(&[EXPECT_CONTINUE, 1]);
    }
    put_bytes_unless_empty(&mut out, REQUEST_ID, head.request_id.as_bytes());
    Ok(finish(out, limits)?)
}

/// Reads a head, and refuses one that holds what a relay must not send.
pub(crate) fn read<I: Borrow<ActAs>>(
    head: &Bytes,
    limits: HeadLimits,
    identify: impl FnOnce(&[u8]) -> Result<I, BadIdentity>,
) -> Result<Asked<I>, BadHead> {
    check_len(head, limits)?;
    let mut fields = Fields::new(head, limits);
    let (mut method, mut target, mut upgrade, mut request_id) = (&[][..], &[][..], &[][..], "");
    let mut expect_continue = false;
    let mut identity = None;
    let mut impersonation: Option<HeaderName> = None;
    let mut reader = Reader::new(head);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => method = value.bytes()?,
            2 => target = value.bytes()?,
            3 => fields.add(value.bytes()?, |name| match hop::kind(name) {
                hop::Kind::EndToEnd => true,
                hop::Kind::Impersonation => {
                    // Whether it may depends on the identity, which comes later.
                    impersonation.get_or_insert_with(|| name.clone());
                    true
                }
                hop::Kind::HopByHop | hop::Kind::Credential | hop::Kind::RemoteUser => false,
            })?,
            // Twice would be once too often: which of them would count?
            4 if identity.is_some() => return Err(BadIdentity::Ambiguous.into()),
            4 => identity = Some(value.bytes()?),
            5 => upgrade = value.bytes()?,
            6 => expect_continue = value.varint()? != 0,
            7 => request_id = value.text()?,
            _ => {}
        }
    }
    let act_as = identify(identity.ok_or(BadIdentity::Absent)?)?;
    if let (ActAs::Impersonate(_), Some(name)) = (act_as.borrow(), impersonation) {
        return Err(BadHead::Forbidden(name));
    }
    check_subprotocols(&fields.headers)?;
    Ok(Asked {
        method: read_method(method)?,
        target: read_target(head, target)?,
        headers: fields.headers,
        act_as,
        upgrade: read_upgrade(head, upgrade)?,
        expect_continue,
        request_id: request_id.to_owned(),
    })
}

/// Not CONNECT: the API server has no tunnels to offer, and a target of that form would choose where the agent connects to.
pub(crate) fn may_ask(method: &Method) -> bool {
    *method != Method::CONNECT
}

/// Whether a target is one that [`read`] takes. It comes out of a parsed URI, so only its start can be wrong.
pub(crate) fn is_target(target: &str) -> bool {
    target.starts_with('/')
        && !target
            .bytes()
            .any(|byte| byte <= b' ' || byte == b'#' || byte == 0x7f)
}

fn read_method(method: &[u8]) -> Result<Method, BadHead> {
    Method::from_bytes(method)
        .ok()
        .filter(may_ask)
        .ok_or(BadHead::Method)
}

fn read_target(head: &Bytes, target: &[u8]) -> Result<PathAndQuery, BadHead> {
    let target = head.slice_ref(target);
    let parsed = PathAndQuery::from_maybe_shared(target.clone()).map_err(|_| BadHead::Target)?;
    // What is sent is what was asked: an authority, a fragment or anything that parsing would change has no place here.
    let is_same = target.starts_with(b"/") && parsed.as_str().as_bytes() == target;
    if is_same {
        Ok(parsed)
    } else {
        Err(BadHead::Target)
    }
}

/// `None` for the empty one.
pub(super) fn read_upgrade(head: &Bytes, upgrade: &[u8]) -> Result<Option<HeaderValue>, BadHead> {
    if upgrade.is_empty() {
        return Ok(None);
    }
    let value = HeaderValue::from_maybe_shared(head.slice_ref(upgrade)).ok();
    value
        .filter(|value| value.to_str().is_ok())
        .map(Some)
        .ok_or(BadHead::Upgrade)
}

fn check_subprotocols(headers: &HeaderMap) -> Result<(), BadHead> {
    let name = http::header::SEC_WEBSOCKET_PROTOCOL;
    let has_token = headers
        .get_all(&name)
        .iter()
        .any(|value| hop::is_token_subprotocol(&name, value));
    if has_token {
        Err(BadHead::Forbidden(name))
    } else {
        Ok(())
    }
}

const METHOD: u8 = bytes_key(1);
const TARGET: u8 = bytes_key(2);
const FIELD: u8 = bytes_key(3);
const IDENTITY: u8 = bytes_key(4);
const UPGRADE: u8 = bytes_key(5);
const EXPECT_CONTINUE: u8 = varint_key(6);
const REQUEST_ID: u8 = bytes_key(7);

/// Keys and lengths of the scalar fields.
const SCALARS_LEN: usize = 24;
