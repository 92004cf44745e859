//! Keyed hashes of tokens: what caches know a token by. Invariant: the key is made at start and never leaves the process,
//! so a dump of a cache gives no token away, and nobody can aim at a place in it.

use std::hash::Hasher;

use aws_lc_rs::{hmac, rand::SystemRandom};

use crate::Token;

/// The key.
#[derive(Debug)]
pub(crate) struct Tags(hmac::Key);

/// A token's keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenTag([u8; 32]);

impl Tags {
    pub(crate) fn new() -> Self {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self(secret.expect("the operating system gives randomness"))
    }

    pub(crate) fn of(&self, token: Token<'_>) -> TokenTag {
        self.of_text(token.expose())
    }

    /// Of a token and what belongs to it.
    pub(crate) fn of_text(&self, text: &str) -> TokenTag {
        let tag = hmac::sign(&self.0, text.as_bytes());
        TokenTag(tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"))
    }
}

impl TokenTag {
    /// A number that stands for the token, and stays the same if it must be verified anew.
    pub(crate) fn owner(&self) -> u64 {
        let (head, _) = self.0.split_first_chunk().expect("32 bytes hold 8");
        u64::from_le_bytes(*head)
    }

    /// One of `count` places, told by other bytes than those that hash.
    pub(crate) fn place(&self, count: usize) -> usize {
        let [.., last] = self.0;
        usize::from(last) % count
    }
}

impl std::hash::Hash for TokenTag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.owner());
    }
}

/// A tag is random already: its first bytes are its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TagHasher(u64);

impl Hasher for TagHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not called: `TokenTag` hashes as one number. Correct nevertheless.
        self.0 = bytes
            .iter()
            .fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_this_process_and_this_token() {
        let (one, two) = (Tags::new(), Tags::new());
        let token = Token::parse("token").unwrap();
        assert_eq!(one.of(token), one.of(token));
        assert_ne!(one.of(token), two.of(token));
        assert_ne!(one.of(token), one.of(Token::parse("tokem").unwrap()));
    }
}
