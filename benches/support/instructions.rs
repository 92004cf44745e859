//! Instructions of user space that a request takes, counted by callgrind: what a machine that does other things as well does not change.
//!
//! One request after the other, so that how many of them share a write or a wake-up is not left to chance.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path as File, process::Command};

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;

use crate::{course::Course, load, path::Contender, process::Process, rig::Rig};

/// Of relay and agent together, as a mean over so many requests.
pub fn per_request(rig: &Rig, build: &Contender, requests: u64) -> Result<f64> {
    eprintln!("instructions: {}", build.name);
    let counted = Contender::adit(&build.name, counted(rig, build.binary()?)?);
    let path = counted.start(rig, &Course::short(rig))?;
    let target = path.target("small");
    // What is done once is done, and what is remembered is found.
    load::http2(&target, 1, 1, WARM_UP)?;
    for hop in &path.hops {
        control("--zero", rig, hop)?;
    }
    load::http2(&target, 1, 1, requests)?;
    let counts = path.hops.iter().map(|hop| {
        control("--dump", rig, hop)?;
        total(&rig.file(&format!("callgrind.{}.1", hop.id())))
    });
    let counts = counts.collect::<Result<Vec<_>>>()?;
    Ok(counts.iter().sum::<u64>() as f64 / requests as f64)
}

/// Of what a program does inside of one function: a pattern of its name.
pub fn inside(function: &str, program: &Command) -> Result<u64> {
    let dump = NamedTempFile::new()?;
    let mut counted = Command::new("valgrind");
    counted
        .args(["--tool=callgrind", "--vgdb=no"])
        .arg(format!("--callgrind-out-file={}", dump.path().display()))
        .arg(format!("--toggle-collect={function}"))
        .arg(program.get_program())
        .args(program.get_args());
    let output = counted.output().context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{counted:?}: {said}");
    total(dump.path())
}

/// A program that runs that one under callgrind.
fn counted(rig: &Rig, binary: &File) -> Result<std::path::PathBuf> {
    let (root, binary) = (rig.folder().display(), binary.canonicalize()?);
    let script = format!(
        "#!/bin/sh\nexec valgrind --tool=callgrind '{}' --callgrind-out-file='{root}/callgrind.%p' '{}' \"$@\"\n",
        orders(rig),
        binary.display()
    );
    let script = rig.write("counted", &script)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

fn control(order: &str, rig: &Rig, hop: &Process) -> Result<()> {
    let mut command = Command::new("callgrind_control");
    let output = command
        .args([&orders(rig), order, &hop.id().to_string()])
        .output();
    let output = output.context("cannot start callgrind_control")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "callgrind_control {order}: {said}");
    Ok(())
}

/// Where orders go, in pipes that a program which is killed leaves behind.
fn orders(rig: &Rig) -> String {
    format!("--vgdb-prefix={}", rig.file("orders").display())
}

/// What a dump of callgrind's counts.
fn total(dump: &File) -> Result<u64> {
    let text = fs::read_to_string(dump).with_context(|| format!("no {}", dump.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(line.context("the dump is not whole")?.trim().parse()?)
}

const WARM_UP: u64 = 200;
