//! The token that may read agents' files: a project's, a group's or a user's, with the scope `read_repository`.
//! Invariant: it is shown to GitLab and nobody else.

use std::fmt;

use arc_swap::ArcSwap;
use http::HeaderValue;

/// The current token. It may be replaced while it is in use.
pub struct ReadToken(ArcSwap<HeaderValue>);

/// Why a text is no token. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one line of visible characters")]
pub struct BadReadToken;

impl ReadToken {
    /// The token that stands in a file.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn new(text: &str) -> Result<Self, BadReadToken> {
        Ok(Self(ArcSwap::from_pointee(parse(text)?)))
    }

    /// Shows this one from now on.
    ///
    /// # Errors
    ///
    /// It is none, and the old one stays.
    pub fn replace(&self, text: &str) -> Result<(), BadReadToken> {
        self.0.store(parse(text)?.into());
        Ok(())
    }

    pub(super) fn shown(&self) -> HeaderValue {
        HeaderValue::clone(&self.0.load())
    }
}

impl fmt::Debug for ReadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadToken")
    }
}

fn parse(text: &str) -> Result<HeaderValue, BadReadToken> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadReadToken);
    }
    let mut value = HeaderValue::try_from(token).map_err(|_| BadReadToken)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_and_is_not_shown() {
        let token = ReadToken::new("glpat-abc\n").unwrap();
        assert_eq!(token.shown(), "glpat-abc");
        assert!(!format!("{token:?} {:?}", token.shown()).contains("abc"));
        for text in ["", "\n", "a b", "a\nb", "ä"] {
            assert_eq!(token.replace(text), Err(BadReadToken), "{text:?}");
        }
        assert_eq!(token.shown(), "glpat-abc");
        token.replace("glpat-def").unwrap();
        assert_eq!(token.shown(), "glpat-def");
    }
}
