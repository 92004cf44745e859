//! What a collector is shown, and what a file must hold for that; its owner has the file read again. Invariant: it is shown to nobody else.

use std::fmt;

use adit_process::secret_file::is_token;
use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// A token, which may be replaced.
pub struct Token(Mutex<MetadataValue<Ascii>>);

/// The file holds something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be one line of visible ASCII characters")]
pub struct NoToken;

impl Token {
    /// Reads it from the text of a file.
    ///
    /// # Errors
    /// There is none in it.
    pub fn new(text: &str) -> Result<Self, NoToken> {
        read(text).map(|value| Self(Mutex::new(value)))
    }

    /// Shows the one in this text from now on.
    ///
    /// # Errors
    /// There is none in it; then it is the one before.
    pub fn replace(&self, text: &str) -> Result<(), NoToken> {
        *self.0.lock() = read(text)?;
        Ok(())
    }

    /// Shows it with a call.
    pub(crate) fn show(&self, metadata: &mut MetadataMap) {
        metadata.insert("authorization", self.0.lock().clone());
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

fn read(text: &str) -> Result<MetadataValue<Ascii>, NoToken> {
    let token = text.trim();
    if !is_token(token) {
        return Err(NoToken);
    }
    let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| NoToken)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_a_token_and_is_shown_to_nobody_else() {
        let token = Token::new("one\n").unwrap();
        assert_eq!(token.replace("two lines\nof it"), Err(NoToken));
        assert_eq!(token.replace("\n"), Err(NoToken));
        let shown = || {
            let mut metadata = MetadataMap::new();
            token.show(&mut metadata);
            metadata
        };
        let value = || shown().get("authorization").unwrap().clone();
        assert_eq!(value(), "Bearer one");
        token.replace("two").unwrap();
        assert_eq!(value(), "Bearer two");
        assert_eq!(format!("{token:?}"), "Token");
        assert!(!format!("{:?}", shown()).contains("two"));
    }
}
