//! Whether a binary needs files beside itself, asked of the system's own loader.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::command;

pub(super) fn is_static(binary: &Path) -> Result<bool> {
    let asked = command::finish(Command::new("ldd").arg(binary), "", Duration::from_secs(30))?;
    let said = format!("{}{}", asked.stdout, asked.stderr);
    Ok(said.contains("statically linked") || said.contains("not a dynamic executable"))
}
