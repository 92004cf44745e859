//! Decides whether to print in colours. Called by whatever prints for people.

use std::env;
use std::io::IsTerminal;

/// On a terminal, unless `NO_COLOR` says otherwise. <https://no-color.org>
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    let is_plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_plain
}
