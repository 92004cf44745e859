//! What a dynamic binary needs beside itself, asked of the system's own loader. A static one needs nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::command;

pub(super) fn of(binary: &Path) -> Result<Vec<PathBuf>> {
    let asked = command::finish(Command::new("ldd").arg(binary), "", Duration::from_secs(30))?;
    let said = format!("{}{}", asked.stdout, asked.stderr);
    if said.contains("statically linked") || said.contains("not a dynamic executable") {
        return Ok(Vec::new());
    }
    if !asked.status.success() || said.contains("not found") {
        bail!("cannot tell what {} is linked to: {said}", binary.display());
    }
    Ok(parse(&said))
}

/// Lines such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, or the loader's bare path; the kernel's own
/// library has no file.
fn parse(said: &str) -> Vec<PathBuf> {
    said.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loader_and_libraries_are_found() {
        let said = "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/libc.so.6 (0x7e)\n\t/lib64/ld.so.2 (0x7d)\n";
        let found = ["/lib/libc.so.6", "/lib64/ld.so.2"].map(PathBuf::from);
        assert_eq!(parse(said), found);
    }
}
