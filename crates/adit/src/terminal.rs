//! Decides whether to print in colours, and how a warning looks. Called by whatever prints for people.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write as _};

/// On a terminal, unless `NO_COLOR` says otherwise. <https://no-color.org>
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    let is_plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_plain
}

/// Tells on standard error what is odd, and no failure.
pub(crate) fn warn(what: impl Display) {
    // Nobody is left to tell when standard error cannot be written.
    let _ = writeln!(io::stderr(), "warning: {what}");
}
