//! How a test that lacks something says so. libtest knows no skip at run time, so such a test passes for it; the test
//! command reads the file named by [`FILE`] and counts what stands there as skipped, not as passed.

use std::fs::OpenOptions;
use std::io::Write;

use crate::progress;

/// The variable by which the test command names the file.
pub const FILE: &str = "ADIT_SKIPPED";

/// Notes that the test of this name is skipped, and why. The caller returns right after.
pub fn skipped(test: &str, why: &str) {
    progress::line(format_args!("skipped {test}: {why}"));
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let noted = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{test}: {why}\n").as_bytes()));
    // A skip that goes unseen would count as passed.
    noted.expect("the test command's file for skips can be written");
}
