//! Builds all test binaries and runs them one after the other: unit and property tests, each bench once, scenarios, then the real
//! cluster.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use super::{LONGEST, tally::Tally};
use crate::command;
use crate::interrupt;
use crate::progress::{self, Tone, line, paint};
use crate::skip;
use crate::workspace::{Built, cargo, executables};

pub(super) fn run(tally: &mut Tally) -> Result<()> {
    let mut build = cargo();
    build.args(["test", "--locked", "--workspace", "--no-run", "--quiet"]);
    let mut built = progress::step("test binaries built", || executables(&mut build))?;
    built.retain(|binary| binary.is_test);
    if built.is_empty() {
        bail!("cargo built no test");
    }
    // What is cheap and close to the code fails first.
    built.sort_by_key(|binary| (rank(binary), binary.package.clone(), binary.target.clone()));
    for binary in &built {
        interrupt::check()?;
        run_one(binary, tally)?;
    }
    doc_tests(tally)
}

fn rank(binary: &Built) -> u8 {
    match binary.target.as_str() {
        "cluster" | "demo" => 2,
        "scenarios" => 1,
        _ => 0,
    }
}

fn run_one(binary: &Built, tally: &mut Tally) -> Result<()> {
    let package = binary
        .package
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = if package == binary.target.replace('_', "-") {
        package
    } else {
        format!("{package}/{}", binary.target)
    };
    let skips = tempfile::NamedTempFile::new()?;
    let begin = Instant::now();
    let mut command = Command::new(&binary.path);
    command
        .current_dir(&binary.package)
        .env(skip::FILE, skips.path())
        .env("NO_COLOR", "1");
    let ended = progress::telling(&name, || command::finish(&mut command, "", LONGEST))?;
    let before = (tally.passed, tally.failed.len(), tally.skipped.len());
    let has_spoken = tally.add(&name, &ended.stdout, skips.path());
    // A failure in libtest's words has a name already; one that says nothing of tests passed none, however well it ended.
    if !has_spoken || (!ended.status.success() && tally.failed.len() == before.1) {
        tally.failed.push(format!("{name}: {}", ended.status));
    }
    let (passed, failed, skipped) = (
        tally.passed - before.0,
        tally.failed.len() - before.1,
        tally.skipped.len() - before.2,
    );
    let result = match (failed, skipped) {
        (0, 0) if passed == 0 => paint(Tone::Faint, "no tests"),
        (0, 0) => paint(Tone::Good, format_args!("{passed} passed")),
        (0, _) => paint(
            Tone::Odd,
            format_args!("{passed} passed, {skipped} skipped"),
        ),
        _ => paint(
            Tone::Bad,
            format_args!("{passed} passed, {failed} failed, {skipped} skipped"),
        ),
    };
    line(format_args!(
        "  {name:<52} {:>9}  {result}",
        progress::took(begin.elapsed())
    ));
    if failed > 0 {
        line(command::last_lines(
            &format!("{}\n{}", ended.stdout, ended.stderr),
            200,
        ));
    }
    Ok(())
}

/// Examples in documentation.
fn doc_tests(tally: &mut Tally) -> Result<()> {
    let mut command = cargo();
    command.args(["test", "--locked", "--workspace", "--doc", "--quiet"]);
    let mut ended = None;
    progress::step("examples in documentation", || {
        let run = command::finish(&mut command, "", LONGEST)?;
        let is_success = run.status.success();
        ended = Some(run);
        if is_success {
            Ok(())
        } else {
            bail!("an example fails")
        }
    })
    .or_else(|error| {
        let said = ended
            .as_ref()
            .map(|run| format!("{}\n{}", run.stdout, run.stderr))
            .unwrap_or_default();
        line(command::last_lines(&said, 60));
        tally.failed.push(format!("documentation: {error}"));
        Ok(())
    })
}
