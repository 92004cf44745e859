//! Decides how an error and its causes are told on one line, in logs and in what one process tells another.

use std::error::Error;

/// The error and all that caused it, outermost first.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their source in their own message.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] io::Error);

    #[test]
    fn every_level_is_told_once() {
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "refused");
        assert_eq!(
            chain(&Told("cannot connect", refused())),
            "cannot connect: refused"
        );
        let repeats = Told("cannot connect: refused", refused());
        assert_eq!(chain(&repeats), "cannot connect: refused");
    }
}
