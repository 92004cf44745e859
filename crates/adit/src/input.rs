//! Reads the files that a user names. Called by every command that takes one.

use std::fs;
use std::io;
use std::path::Path;

use adit_process::Exit;
use anyhow::Context;

use crate::failure::{Ends, Failure};

/// Whether that is no file, which could be read again, but standard input.
pub(crate) fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// The text of a config file; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let text = if is_standard_input(path) {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(path)
    };
    text.with_context(|| format!("cannot read {}", path.display()))
        .ends(Exit::BadConfig)
}
