//! Bytes as checksums and tokens are written.

/// Two lower-case digits for each byte.
#[must_use]
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    let digits = |byte: &u8| format!("{byte:02x}");
    bytes.as_ref().iter().map(digits).collect()
}
