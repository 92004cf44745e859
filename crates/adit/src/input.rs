//! Reads the files that a user names. Called by every command that takes one.

use std::fs;
use std::io;
use std::path::Path;

use adit_process::Exit;
use anyhow::Context;

use crate::failure::{Ends, Failure};

/// The text of a config file; `-` is standard input.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new("-") {
        io::read_to_string(io::stdin())
    } else {
        fs::read_to_string(path)
    };
    text.with_context(|| format!("cannot read {}", path.display()))
        .ends(Exit::BadConfig)
}
