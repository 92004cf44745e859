//! Text that nobody can guess.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// So many URL-safe characters.
pub(super) fn text(len: usize) -> String {
    let mut bytes = vec![0; len];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 64)]))
        .collect()
}

/// A prefix before a token, when the instance has one.
pub(super) fn prefixed(prefix: Option<&str>, token: &str) -> String {
    match prefix {
        Some(prefix) => format!("{prefix}-{token}"),
        None => token.to_owned(),
    }
}
