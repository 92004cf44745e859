//! Agent tokens: made by `adit token new`, known to a relay by their SHA-256 only.
//! Invariant: a token has at least 160 bits of randomness, so a plain hash of it cannot be guessed back, and comparing
//! hashes leaks nothing of use: what a caller learns by timing is about a hash, from which no token follows.

use std::{fmt, str::FromStr};

use aws_lc_rs::{digest, rand};
use secrecy::SecretString;

/// What every token made here starts with, so that secret scanners and people know one when they see it.
pub const PREFIX: &str = "adit-agent-";

/// What the tokens of agents start with that GitLab makes, unless its administrator chose otherwise.
pub const GITLAB_PREFIX: &str = "glagent-";

/// A new token: [`PREFIX`], 32 random characters of base 62 (190 bits), and a checksum of 6.
///
/// # Panics
///
/// The operating system has no randomness to give: a process without it must not go on.
#[must_use]
pub fn new() -> SecretString {
    let mut text = String::from(PREFIX);
    while text.len() < PREFIX.len() + RANDOM_CHARACTERS {
        let mut bytes = [0; RANDOM_CHARACTERS];
        rand::fill(&mut bytes).expect("the operating system gives randomness");
        // 248 is 4 * 62: bytes above it would make some characters likelier than others.
        let fair = bytes.into_iter().filter(|byte| *byte < 248);
        let missing = PREFIX.len() + RANDOM_CHARACTERS - text.len();
        text.extend(fair.map(|byte| base62(u32::from(byte) % 62)).take(missing));
    }
    text.extend(checksum(&text));
    SecretString::from(text)
}

/// Tells a mistyped token from one that is merely unknown, without asking anyone.
///
/// # Errors
///
/// The text starts with [`PREFIX`] and is not such a token, or it is what goes with one: its hash, or both as JSON. Any other text
/// passes: tokens may have been made elsewhere, GitLab's start with `glagent-`.
pub fn check_format(text: &str) -> Result<(), Mistyped> {
    if text.starts_with(HASH_PREFIX) {
        return Err(Mistyped::Hash);
    }
    if text.starts_with('{') {
        return Err(Mistyped::Json);
    }
    let Some(rest) = text.strip_prefix(PREFIX) else {
        return Ok(());
    };
    if rest.len() != RANDOM_CHARACTERS + CHECKSUM_CHARACTERS {
        return Err(Mistyped::Length);
    }
    if !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Mistyped::Character);
    }
    let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARACTERS);
    if sum.chars().eq(checksum(body)) {
        Ok(())
    } else {
        Err(Mistyped::Checksum)
    }
}

/// Why a text that looks like an agent token is none. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistyped {
    /// Cut short, or pasted twice.
    #[error("the agent token is cut short or too long")]
    Length,
    /// A quote, a line break, a dash.
    #[error("the agent token holds a character that none has")]
    Character,
    /// What `adit token hash` prints.
    #[error(
        "it is the hash of an agent token, which is for the relay's `agents[].tokens`: the agent has the token itself"
    )]
    Hash,
    /// What `adit token new --json` prints.
    #[error(
        "it is JSON, as `adit token new --json` prints it: take what it has at `token`, without quotes"
    )]
    Json,
    /// A letter is wrong.
    #[error("the agent token is mistyped: its checksum does not fit")]
    Checksum,
}

/// The SHA-256 of a token, written `sha256:<64 hexadecimal digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token, whoever made it.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenHash {
    type Err = BadTokenHash;

    fn from_str(text: &str) -> Result<Self, BadTokenHash> {
        let digits = text
            .strip_prefix(HASH_PREFIX)
            .ok_or(BadTokenHash::Prefix)?
            .as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return Err(BadTokenHash::Digits);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let mut digits = pair.iter().map(|digit| char::from(*digit).to_digit(16));
            let value = digits
                .try_fold(0, |sum, digit| Some(sum * 16 + digit?))
                .ok_or(BadTokenHash::Digits)?;
            *byte = u8::try_from(value).expect("two hexadecimal digits fit a byte");
        }
        Ok(Self(hash))
    }
}

/// Why a text is no hash of a token. Shows nothing of it: somebody may have pasted the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTokenHash {
    /// Another algorithm, or the token itself.
    #[error(
        "not of the form sha256:<hex>: `adit token hash` prints it (never put the token itself here)"
    )]
    Prefix,
    /// Not 32 bytes in hexadecimal.
    #[error("not 64 hexadecimal digits after sha256:")]
    Digits,
}

/// CRC-32 (ISO-HDLC, as in zlib) in base 62: it finds any single wrong letter and nearly all else. Not a secret.
fn checksum(text: &str) -> impl Iterator<Item = char> + use<> {
    let mut rest = text.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    rest = !rest;
    let digits: [char; CHECKSUM_CHARACTERS] = std::array::from_fn(|_| {
        let digit = base62(rest % 62);
        rest /= 62;
        digit
    });
    digits.into_iter().rev()
}

/// A digit of base 62, below which `value` is.
fn base62(value: u32) -> char {
    let from = |first: char, offset: u32| {
        char::from_u32(u32::from(first) + offset).expect("an ASCII character")
    };
    match value {
        0..=9 => from('0', value),
        10..=35 => from('A', value - 10),
        _ => from('a', value - 36),
    }
}

const RANDOM_CHARACTERS: usize = 32;
const CHECKSUM_CHARACTERS: usize = 6;
const HASH_PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_new_token_is_well_formed_and_new() {
        let (one, other) = (new(), new());
        assert_eq!(check_format(one.expose_secret()), Ok(()));
        assert_eq!(one.expose_secret().len(), PREFIX.len() + 38);
        assert_ne!(one.expose_secret(), other.expose_secret());
    }

    #[test]
    fn a_token_made_elsewhere_is_taken_as_it_is() {
        assert_eq!(check_format("glagent-anything_goes-here"), Ok(()));
        let hash = TokenHash::of("glagent-anything_goes-here").to_string();
        assert_eq!(check_format(&hash), Err(Mistyped::Hash));
        let json = format!(r#"{{"hash":"{hash}"}}"#);
        assert_eq!(check_format(&json), Err(Mistyped::Json));
    }

    #[test]
    fn a_cut_or_decorated_token_is_told_from_an_unknown_one() {
        let token = new();
        let token = token.expose_secret();
        assert_eq!(
            check_format(&token[..token.len() - 1]),
            Err(Mistyped::Length)
        );
        assert_eq!(check_format(&format!("{token}\n")), Err(Mistyped::Length));
        assert_eq!(
            check_format(&token.replacen(PREFIX, "adit-agent-_", 1)[..token.len()]),
            Err(Mistyped::Character)
        );
    }

    #[test]
    fn the_checksum_is_crc_32() {
        // The check value of CRC-32/ISO-HDLC is cbf43926, which is 3'421'780'262.
        let sum: String = checksum("123456789").collect();
        let value = sum.chars().fold(0_u64, |sum, c| {
            sum * 62
                + (0..62)
                    .find(|digit| base62(*digit) == c)
                    .map(u64::from)
                    .unwrap()
        });
        assert_eq!(value, 0xcbf4_3926);
    }

    #[test]
    fn a_hash_reads_as_it_prints() {
        let hash = TokenHash::of("abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        assert_eq!(
            text.to_uppercase().replacen("SHA256", "sha256", 1).parse(),
            Ok(hash)
        );
    }

    #[test]
    fn what_is_no_hash_is_refused_without_being_shown() {
        assert_eq!(
            "adit-agent-x".parse::<TokenHash>(),
            Err(BadTokenHash::Prefix)
        );
        for digits in [
            "",
            "00",
            &"0".repeat(63),
            &"g".repeat(64),
            &"é".repeat(32),
            &"+0".repeat(32),
        ] {
            assert_eq!(
                format!("sha256:{digits}").parse::<TokenHash>(),
                Err(BadTokenHash::Digits),
                "{digits:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_single_wrong_letter_is_found(at in PREFIX.len()..PREFIX.len() + 38, value in 0_u32..62) {
            let token = new();
            let mut letters: Vec<char> = token.expose_secret().chars().collect();
            prop_assume!(letters[at] != base62(value));
            letters[at] = base62(value);
            prop_assert_eq!(check_format(&letters.iter().collect::<String>()), Err(Mistyped::Checksum));
        }
    }
}
