//! Decides how a command's error reaches the user: printed once, with its chain and an exit code.
//!
//! Commands call [`Ends::ends`] on each error, so that none is without a code of its own.

use std::io::{self, Write};

use adit_process::Exit;

use crate::terminal::has_colours;

/// An error and the code that the process ends with because of it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
    /// What to do about it, where that is not clear from the error.
    advice: Option<&'static str>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
            advice: None,
        }
    }

    pub(crate) fn advising(self, advice: &'static str) -> Self {
        Self {
            advice: Some(advice),
            ..self
        }
    }

    pub(crate) const fn advice(&self) -> Option<&'static str> {
        self.advice
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// The chain; what is told in several lines stays so, and begins on a line of its own.
    pub(crate) fn lines(&self) -> String {
        let mut chain = self.error.chain().map(ToString::to_string);
        let first = chain.next().unwrap_or_default();
        chain.fold(first, |text, cause| {
            let between = if cause.contains('\n') { ":\n" } else { ": " };
            text + between + &cause
        })
    }

    /// Prints the chain to standard error, coloured on a terminal.
    pub(crate) fn print(&self) {
        let stderr = io::stderr();
        let style = if has_colours(&stderr) {
            *clap::builder::Styles::styled().get_error()
        } else {
            clap::builder::styling::Style::new()
        };
        // Nobody is left to tell when standard error cannot be written.
        let _ = writeln!(stderr.lock(), "{style}error:{style:#} {}", self.text());
    }

    fn text(&self) -> String {
        let mut chain = self.error.chain();
        let first = chain.next().map(ToString::to_string).unwrap_or_default();
        let text = chain.fold(first, |text, cause| {
            // What is told in several lines stays together below its cause.
            let cause = cause.to_string().replace('\n', "\n    ");
            format!("{text}\n  because: {cause}")
        });
        match self.advice {
            Some(advice) => format!("{text}\n  do: {advice}"),
            None => text,
        }
    }
}

/// Gives an error its exit code.
pub(crate) trait Ends<T> {
    /// The value, or a [`Failure`] that ends the process with `exit`.
    fn ends(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> Ends<T> for Result<T, E> {
    fn ends(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn chain_is_told_once_from_outside_in() {
        let inner: Result<(), _> = Err(anyhow!("line one\nline two"));
        let failure = inner
            .context("cannot start")
            .ends(Exit::Unavailable)
            .unwrap_err();
        assert_eq!(
            failure.text(),
            "cannot start\n  because: line one\n    line two"
        );
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert_eq!(failure.lines(), "cannot start:\nline one\nline two");
        let advising = failure.advising("try again");
        assert!(advising.text().ends_with("line two\n  do: try again"));
    }
}
