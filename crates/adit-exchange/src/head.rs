//! Heads and trailers as they cross a tunnel: written from [`HeaderMap`] into one buffer, read as slices of the buffer they came
//! in. `ask` and `answer` call it, and nobody else knows the format, which is that of `proto/adit/exchange/v1`.
//!
//! The generated types are not used: each field line would cost a struct and three buffers, and heads are most of what a small
//! request costs. Invariant: what is written here is byte for byte what they write, and what they write is read here
//! (`head/tests.rs`); bytes that are anything else are an error, never a panic. A scalar that comes twice counts once, the last
//! time, as everywhere in protobuf.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    hop,
    identity::BadIdentity,
    names,
    wire::{
        Malformed, Reader, bytes_key, bytes_len, bytes_len_unless_empty, put_bytes,
        put_bytes_unless_empty, put_len, put_varint, varint_key, varint_len,
    },
};

pub(crate) mod request;
pub(crate) mod response;

/// How much a head or trailers may hold, sent or received. Stops header bombs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Field lines. Default 256.
    pub max_fields: usize,
    /// Bytes in encoded form, names that are common counting next to nothing. Default 64 KiB. More than the tunnel's own limit
    /// on heads is of no use.
    pub max_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            max_fields: 256,
            max_bytes: 64 << 10,
        }
    }
}

/// A head or trailers that we do not send because they are past [`HeadLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadTooLarge {
    /// More field lines than this.
    #[error("the head has more than {0} fields")]
    Fields(usize),
    /// More bytes than this.
    #[error("the head has more than {0} bytes")]
    Bytes(usize),
}

/// A head or trailers from the other end that are not what it may send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// Not the encoding of a head.
    #[error("the head is malformed")]
    Malformed,
    /// Past our limits.
    #[error(transparent)]
    TooLarge(#[from] HeadTooLarge),
    /// A number that stands for no name here: the other end is of a later version and should have known.
    #[error("field name number {0} is unknown")]
    UnknownName(u64),
    /// Not a name in lower case, or no name at all.
    #[error("a field has no valid name")]
    FieldName,
    /// A value that HTTP does not allow.
    #[error("the value of `{0}` is not valid")]
    FieldValue(HeaderName),
    /// A field that must not cross: it belongs to one hop, or says who the caller is.
    #[error("`{0}` must not cross a tunnel")]
    Forbidden(HeaderName),
    /// Not a method, or CONNECT.
    #[error("the method is not valid")]
    Method,
    /// Not a path with a query, or one that would be changed on its way.
    #[error("the target is not valid")]
    Target,
    /// Not a protocol, or one where there can be none.
    #[error("the protocol to upgrade to is not valid")]
    Upgrade,
    /// Not a status of HTTP, or one that cannot come here.
    #[error("the status {0} is not valid here")]
    Status(u64),
    /// Nobody to act as.
    #[error("the identity is not valid")]
    Identity(#[from] BadIdentity),
}

impl From<Malformed> for BadHead {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Trailers to send, or `None` if nothing of them may cross.
pub(crate) fn encode_trailers(
    trailers: &HeaderMap,
    limits: HeadLimits,
) -> Result<Option<Bytes>, HeadTooLarge> {
    let mut out = BytesMut::with_capacity(fields_len(trailers));
    put_fields(&mut out, bytes_key(1), trailers, limits, |name, _| {
        Ok::<_, HeadTooLarge>(hop::may_trail(name))
    })?;
    if out.is_empty() {
        Ok(None)
    } else {
        finish(out, limits).map(Some)
    }
}

/// Trailers that came.
pub(crate) fn read_trailers(trailers: &Bytes, limits: HeadLimits) -> Result<HeaderMap, BadHead> {
    check_len(trailers, limits)?;
    let mut fields = Fields::new(trailers, limits);
    let mut reader = Reader::new(trailers);
    while let Some((number, value)) = reader.field()? {
        if number == 1 {
            fields.add(value.bytes()?, hop::may_trail)?;
        }
    }
    Ok(fields.headers)
}

/// Writes the field lines that `keep` lets through, each as the field `key`. The order of names is that of their first lines,
/// which is all that [`HeaderMap`] knows; that of lines of one name is kept.
fn put_fields<E: From<HeadTooLarge>>(
    out: &mut BytesMut,
    key: u8,
    headers: &HeaderMap,
    limits: HeadLimits,
    mut keep: impl FnMut(&HeaderName, &HeaderValue) -> Result<bool, E>,
) -> Result<(), E> {
    let mut count = 0;
    for (name, value) in headers {
        if keep(name, value)? {
            count += 1;
            if count > limits.max_fields {
                return Err(HeadTooLarge::Fields(limits.max_fields).into());
            }
            put_field(out, key, name, value.as_bytes());
        }
    }
    Ok(())
}

fn put_field(out: &mut BytesMut, key: u8, name: &HeaderName, value: &[u8]) {
    let name = name.as_str();
    let value_len = bytes_len_unless_empty(value.len());
    if let Some(number) = names::number(name) {
        put_len(out, key, 1 + varint_len(number.into()) + value_len);
        out.extend_from_slice(&[varint_key(1)]);
        put_varint(out, number.into());
    } else {
        put_len(out, key, bytes_len(name.len()) + value_len);
        put_bytes(out, bytes_key(2), name.as_bytes());
    }
    put_bytes_unless_empty(out, bytes_key(3), value);
}

/// No less than what [`put_fields`] writes of headers of ordinary size: so that the buffer is allocated once.
fn fields_len(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 8)
        .sum()
}

fn finish(out: BytesMut, limits: HeadLimits) -> Result<Bytes, HeadTooLarge> {
    check_len(&out, limits)?;
    Ok(out.freeze())
}

const fn check_len(head: &[u8], limits: HeadLimits) -> Result<(), HeadTooLarge> {
    if head.len() > limits.max_bytes {
        Err(HeadTooLarge::Bytes(limits.max_bytes))
    } else {
        Ok(())
    }
}

/// Field lines as they are read.
#[derive(Debug)]
struct Fields<'a> {
    /// What the values will be slices of.
    head: &'a Bytes,
    headers: HeaderMap,
    limits: HeadLimits,
}

impl<'a> Fields<'a> {
    fn new(head: &'a Bytes, limits: HeadLimits) -> Self {
        Self {
            head,
            headers: HeaderMap::with_capacity(TYPICAL_FIELDS),
            limits,
        }
    }

    /// Reads one line, unless `may_cross` says that its name has no place here.
    fn add(
        &mut self,
        field: &[u8],
        may_cross: impl FnOnce(&HeaderName) -> bool,
    ) -> Result<(), BadHead> {
        let (mut number, mut name, mut value) = (0, &[][..], &[][..]);
        let mut reader = Reader::new(field);
        while let Some((field_number, content)) = reader.field()? {
            match field_number {
                1 => number = content.varint()?,
                2 => name = content.bytes()?,
                3 => value = content.bytes()?,
                _ => {}
            }
        }
        let name = match (number, name) {
            (0, name) => HeaderName::from_lowercase(name).map_err(|_| BadHead::FieldName)?,
            (number, []) => names::name(number)
                .ok_or(BadHead::UnknownName(number))?
                .clone(),
            _ => return Err(BadHead::FieldName),
        };
        if !may_cross(&name) {
            return Err(BadHead::Forbidden(name));
        }
        let value = self.head.slice_ref(value);
        match HeaderValue::from_maybe_shared(value) {
            Ok(value) => self.append(name, value),
            Err(_) => Err(BadHead::FieldValue(name)),
        }
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), BadHead> {
        let is_full = self.headers.len() >= self.limits.max_fields
            || self.headers.try_append(name, value).is_err();
        if is_full {
            Err(HeadTooLarge::Fields(self.headers.len()).into())
        } else {
            Ok(())
        }
    }
}

/// Both kubectl's requests and the API server's answers stay below.
const TYPICAL_FIELDS: usize = 12;

#[cfg(test)]
mod tests;
