//! How a test that lacks something says so. libtest knows no skip at run time, so such a test passes for it; the test
//! command reads the file named by [`FILE`] and counts what stands there as skipped, not as passed.

use std::fs::OpenOptions;
use std::io::Write;

use crate::progress;

/// The variable by which the test command names the file.
pub const FILE: &str = "ADIT_SKIPPED";

/// What a line of that file begins with that tells of tests left out.
pub(crate) const LEFT_OUT: &str = "left out ";

/// Notes that the test of this name is skipped, and why. The caller returns right after.
pub fn skipped(test: &str, why: &str) {
    progress::line(format_args!("skipped {test}: {why}"));
    note(&format!("{test}: {why}"));
}

/// Notes that tests are left out which run only where somebody asks for them. Nothing is missing then, so this is no skip, but it is
/// shown.
pub fn left_out(tests: &str, why: &str) {
    progress::line(format_args!("{LEFT_OUT}{tests}: {why}"));
    note(&format!("{LEFT_OUT}{tests}: {why}"));
}

fn note(line: &str) {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let noted = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    // A skip that goes unseen would count as passed.
    noted.expect("the test command's file for skips can be written");
}
