//! The bits of protobuf's wire format that heads need: written into one buffer, read from slices of another. Used by `head`
//! and `identity`, for which the generated types would cost a string for each field. Invariant: the reader never panics and
//! never reads past its slice; what it writes is what prost writes (proven in `head/tests.rs`).
//! <https://protobuf.dev/programming-guides/encoding/>

use bytes::{BufMut, BytesMut};

/// The first byte of a length-delimited field; its number is below 16.
pub(crate) const fn bytes_key(number: u8) -> u8 {
    number << 3 | 2
}

/// The first byte of a varint field; its number is below 16.
pub(crate) const fn varint_key(number: u8) -> u8 {
    number << 3
}

/// How many bytes a varint takes.
pub(crate) const fn varint_len(value: u64) -> usize {
    // Seven bits a byte, and zero takes one.
    (value | 1).ilog2() as usize / 7 + 1
}

/// How many bytes a length-delimited field of `len` bytes takes, key and all.
pub(crate) const fn bytes_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Writes a varint.
pub(crate) fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.put_u8(low_bits(value));
}

/// Writes a length-delimited field.
pub(crate) fn put_bytes(out: &mut BytesMut, key: u8, value: &[u8]) {
    put_len(out, key, value.len());
    out.put_slice(value);
}

/// Writes a length-delimited field unless it is empty: proto3 leaves out what has its default.
pub(crate) fn put_bytes_unless_empty(out: &mut BytesMut, key: u8, value: &[u8]) {
    if !value.is_empty() {
        put_bytes(out, key, value);
    }
}

/// Writes the key and length of a field whose content follows.
pub(crate) fn put_len(out: &mut BytesMut, key: u8, len: usize) {
    out.put_u8(key);
    put_varint(out, len as u64);
}

/// How many bytes [`put_bytes_unless_empty`] takes.
pub(crate) const fn bytes_len_unless_empty(len: usize) -> usize {
    if len == 0 { 0 } else { bytes_len(len) }
}

const fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// Reads the fields of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// One field's content, by wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// 32 or 64 bits: no message of ours has such a field, so it is one from the future.
    Fixed,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and content; `None` at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(Malformed);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.fixed(8)?,
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.fixed(4)?,
            // Groups are no part of proto3; 6 and 7 never were defined.
            _ => return Err(Malformed),
        };
        Ok(Some((number, value)))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds the one bit that is left.
            if shift == 63 && byte > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn fixed(&mut self, len: usize) -> Result<Value<'a>, Malformed> {
        self.take(len).map(|_| Value::Fixed)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Value<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed => Err(Malformed),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub(crate) fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Bytes(_) | Self::Fixed => Err(Malformed),
        }
    }
}

/// Bytes that are not the encoding of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

const MAX_FIELD_NUMBER: u64 = (1 << 29) - 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn varints_are_as_long_as_they_say() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut out = BytesMut::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(Reader::new(&out).varint(), Ok(value));
        }
    }

    #[test]
    fn a_varint_without_end_or_past_64_bits_is_malformed() {
        assert_eq!(Reader::new(&[0x80]).varint(), Err(Malformed));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(Malformed));
        let mut too_large = [0xff; 10];
        too_large[9] = 2;
        assert_eq!(Reader::new(&too_large).varint(), Err(Malformed));
    }

    #[test]
    fn a_length_past_the_end_is_malformed() {
        assert_eq!(
            Reader::new(&[bytes_key(1), 2, b'a']).field(),
            Err(Malformed)
        );
        assert_eq!(
            Reader::new(&[bytes_key(1), 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).field(),
            Err(Malformed)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while let Ok(Some(_)) = reader.field() {}
        }
    }
}
