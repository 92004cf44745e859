//! Whether the disk has room for what a run builds. A linker for which none is left dies of a signal and names no cause; this does.

use rustix::fs::statvfs;

use crate::workspace::root;

/// Says how little is left, if it is less than a first run takes; before it all, and again beside a failure.
pub(super) fn scarce() -> Option<String> {
    let file_system = statvfs(root()).ok()?;
    told(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

fn told(free: u64) -> Option<String> {
    (free < FIRST_RUN).then(|| {
        format!(
            "{:.1} GB are free on the disk of {}; a first run writes about {} GB there",
            gigabytes(free),
            root().display(),
            gigabytes(FIRST_RUN)
        )
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "only to be shown, with one digit"
)]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

/// In bytes. Measured: `target/` has 6 GB after a whole run without incremental files, and 10 GB and more with them.
const FIRST_RUN: u64 = 12_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_when_it_is_little() {
        let said = told(4_300_000_000).expect("it is too little");
        assert!(said.starts_with("4.3 GB are free"), "{said}");
        assert_eq!(told(FIRST_RUN), None);
    }
}
