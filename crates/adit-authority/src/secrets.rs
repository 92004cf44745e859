//! Secrets that are no tokens of jobs or agents: whoever shows one of them is known by it.
//! Invariant: a secret is compared in a time that does not depend on it, and kept as its keyed hash.

use std::fmt;

use arc_swap::ArcSwap;
use aws_lc_rs::{hmac, rand::SystemRandom};

/// Secrets that others show, such as GitLab with its events. They may be replaced meanwhile.
pub struct Secrets {
    key: hmac::Key,
    tags: ArcSwap<Vec<hmac::Tag>>,
}

/// Why a text holds no secrets. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not one to {MOST_SECRETS} lines of {LEAST_LENGTH} or more visible characters: make one with `openssl rand -hex 32`"
)]
pub struct BadSecrets;

/// A secret that is being replaced is there beside its successor.
const MOST_SECRETS: usize = 4;
/// What can be guessed is no secret.
const LEAST_LENGTH: usize = 16;

impl Secrets {
    /// The secrets that stand in a file, one to a line.
    ///
    /// # Errors
    ///
    /// There is none, or one that is none.
    ///
    /// # Panics
    ///
    /// The operating system has no randomness to give.
    pub fn new(text: &str) -> Result<Self, BadSecrets> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.expect("the operating system gives randomness");
        let tags = ArcSwap::from_pointee(tags(&key, text)?);
        Ok(Self { key, tags })
    }

    /// Uses these from now on.
    ///
    /// # Errors
    ///
    /// There is none, or one that is none; the old ones stay.
    pub fn replace(&self, text: &str) -> Result<(), BadSecrets> {
        self.tags.store(tags(&self.key, text)?.into());
        Ok(())
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn accept(&self, shown: &[u8]) -> bool {
        let is_it = |tag: &hmac::Tag| hmac::verify(&self.key, shown, tag.as_ref()).is_ok();
        self.tags.load().iter().any(is_it)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

fn tags(key: &hmac::Key, text: &str) -> Result<Vec<hmac::Tag>, BadSecrets> {
    let is_secret =
        |line: &str| line.len() >= LEAST_LENGTH && line.bytes().all(|byte| byte.is_ascii_graphic());
    let lines: Vec<_> = text.lines().collect();
    if lines.is_empty() || lines.len() > MOST_SECRETS || !lines.iter().all(|line| is_secret(line)) {
        return Err(BadSecrets);
    }
    Ok(lines
        .iter()
        .map(|line| hmac::sign(key, line.as_bytes()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef";
    const TWO: &str = "fedcba9876543210";

    #[test]
    fn only_a_secret_of_the_file_is_accepted() {
        let secrets = Secrets::new(&format!("{ONE}\n")).unwrap();
        assert!(secrets.accept(ONE.as_bytes()));
        let near = [
            &ONE[1..],
            TWO,
            "",
            "0123456789abcdefg",
            "0123456789ABCDEF",
            "0123456789abcdef\n",
        ];
        for shown in near {
            assert!(!secrets.accept(shown.as_bytes()), "{shown:?}");
        }
        secrets.replace(&format!("{ONE}\n{TWO}")).unwrap();
        assert!(secrets.accept(ONE.as_bytes()) && secrets.accept(TWO.as_bytes()));
        secrets.replace(TWO).unwrap();
        assert!(!secrets.accept(ONE.as_bytes()));
        assert!(!format!("{secrets:?}").contains(TWO));
    }

    #[test]
    fn what_can_be_guessed_or_not_sent_is_no_secret() {
        let five = [ONE; 5].join("\n");
        let texts = [
            "",
            "\n",
            "short",
            &format!("{ONE}\n\n"),
            "0123456789abcde f",
            &five,
        ];
        for text in texts {
            assert_eq!(Secrets::new(text).unwrap_err(), BadSecrets, "{text:?}");
        }
        let secrets = Secrets::new(ONE).unwrap();
        assert_eq!(secrets.replace(""), Err(BadSecrets));
        assert!(secrets.accept(ONE.as_bytes()));
    }
}
