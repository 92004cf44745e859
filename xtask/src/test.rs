//! `cargo xtask test`: everything that must hold before a change lands, in order of cost, with one summary.
//!
//! Called by the command line and by `.ci/run`. A check that fails does not keep the others from running; a build that fails
//! keeps the tests from it. Invariant: what was skipped is never counted as passed, and what nobody asked for is named.

mod binaries;
mod checks;
mod deny;
mod disk;
mod fuzz;
mod needs;
mod tally;

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use self::tally::Tally;
use crate::interrupt;
use crate::progress::{self, Tone, line, paint};

/// Runs all checks and tests.
///
/// # Errors
/// Something failed, or was skipped where nothing may be (`CI=true`); the summary has said what.
pub fn run() -> Result<()> {
    let begin = Instant::now();
    let mut outcome = Outcome::default();
    if let Some(scarce) = disk::scarce() {
        line(paint(Tone::Odd, scarce));
    }
    line(paint(Tone::Strong, "checks"));
    outcome.check("formatting", checks::formatting);
    outcome.check("lints", checks::lints);
    outcome.check("documentation", checks::documentation);
    outcome.check("licences, bans, sources", deny::check);
    line(paint(Tone::Strong, "what tests need"));
    needs::ready();
    line(paint(Tone::Strong, "tests"));
    outcome.tests(binaries::run);
    match fuzz::available() {
        Ok(()) => {
            outcome.check("fuzz targets: formatting, lints", fuzz::check);
            outcome.check("fuzzing, a short run", fuzz::run);
        }
        Err(why) => outcome.tally.skipped.push(format!("fuzzing: {why:#}")),
    }
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    outcome.summary(begin, is_ci)
}

/// What came of it all.
#[derive(Debug, Default)]
struct Outcome {
    failed: Vec<String>,
    tally: Tally,
}

impl Outcome {
    fn check(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        if interrupt::check().is_err() {
            return;
        }
        if let Err(error) = progress::step(name, check) {
            line(paint(Tone::Bad, format_args!("{error:#}")));
            self.failed.push(name.to_owned());
        }
    }

    fn tests(&mut self, run: impl FnOnce(&mut Tally) -> Result<()>) {
        if interrupt::check().is_err() {
            return;
        }
        if let Err(error) = run(&mut self.tally) {
            line(paint(Tone::Bad, format_args!("{error:#}")));
            self.failed.push("tests".to_owned());
        }
    }

    fn summary(self, begin: Instant, is_ci: bool) -> Result<()> {
        interrupt::check()?;
        let Tally {
            passed,
            failed,
            skipped,
            left_out,
        } = &self.tally;
        line(paint(
            Tone::Strong,
            format_args!("\nsummary, after {}", progress::took(begin.elapsed())),
        ));
        for tests in left_out {
            line(paint(Tone::Faint, format_args!("  left out {tests}")));
        }
        for skip in skipped {
            line(paint(Tone::Odd, format_args!("  skipped {skip}")));
        }
        for name in failed.iter().chain(&self.failed) {
            line(paint(Tone::Bad, format_args!("  failed  {name}")));
        }
        line(format_args!(
            "{passed} passed, {} failed, {} skipped",
            failed.len(),
            skipped.len()
        ));
        if !failed.is_empty() || !self.failed.is_empty() {
            if let Some(scarce) = disk::scarce() {
                line(paint(Tone::Odd, scarce));
            }
            bail!("not everything passed");
        }
        if !skipped.is_empty() && is_ci {
            bail!("in CI nothing may be skipped");
        }
        Ok(())
    }
}

/// Runs a program whose output only matters when it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let ended = crate::command::finish(command, "", LONGEST)?;
    if ended.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", ended.stdout, ended.stderr);
    bail!("{}", crate::command::last_lines(&said, 60))
}

/// No check takes as long, even from nothing on two cores.
const LONGEST: std::time::Duration = std::time::Duration::from_mins(40);

#[cfg(test)]
mod tests {
    use super::*;

    fn is_good(failed: &[&str], skipped: &[&str], broken: &[&str], is_ci: bool) -> bool {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let outcome = Outcome {
            failed: owned(broken),
            tally: Tally {
                failed: owned(failed),
                skipped: owned(skipped),
                ..Tally::default()
            },
        };
        outcome.summary(Instant::now(), is_ci).is_ok()
    }

    #[test]
    fn skip_is_no_pass_in_ci() {
        assert!(is_good(&[], &[], &[], true));
        assert!(is_good(&[], &["a test"], &[], false));
        assert!(!is_good(&[], &["a test"], &[], true));
    }

    #[test]
    fn failure_is_one_everywhere() {
        for is_ci in [false, true] {
            assert!(!is_good(&["a test"], &[], &[], is_ci));
            assert!(!is_good(&[], &[], &["lints"], is_ci));
        }
    }
}
