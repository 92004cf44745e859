//! Builds a module's programs with Go, and shows how far it is: a cold build of Kubernetes takes minutes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Module;
use super::source::Source;
use crate::{command, progress};

/// The Go on this machine, if it is new enough.
///
/// # Errors
/// It is missing or too old; the text says how to get it.
pub fn go() -> Result<PathBuf> {
    let advice = format!(
        "get Go {}.{} or newer from https://go.dev/dl/ and put its bin folder into PATH",
        OLDEST.0, OLDEST.1
    );
    let program = command::find("go")
        .or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|file| file.is_file()))
        .with_context(|| format!("Go is missing: {advice}"))?;
    let version = command::text(Command::new(&program).args(["env", "GOVERSION"]))?;
    let parsed = parse(version.trim());
    if parsed.is_none_or(|version| version < OLDEST) {
        bail!("{} is too old: {advice}", version.trim());
    }
    Ok(program)
}

/// `go1.26.8` as `(1, 26)`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.strip_prefix("go")?.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

pub(super) fn build(module: Module, into: &Path) -> Result<()> {
    let go = go()?;
    fs::create_dir_all(into.join("bin"))?;
    progress::line(format_args!("  {}: modules", module.key()));
    let source = Source::fetch(go, module)?;
    let total = source.packages()?.len();
    compile(&source, module, into, total)?;
    module
        .kept()
        .iter()
        .try_for_each(|kept| source.keep(kept, into))
}

fn compile(source: &Source, module: Module, into: &Path, total: usize) -> Result<()> {
    let flags = module
        .variables()
        .into_iter()
        .map(|(name, value)| format!(" -X {name}={value}"))
        .collect::<String>();
    for (package, name) in module.programs() {
        let mut build = source.go("build");
        build
            .args(["-v", "-trimpath", "-ldflags"])
            .arg(format!("-s -w{flags}"))
            .arg("-o")
            .arg(into.join("bin").join(name))
            .arg(package)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = build.spawn().context("cannot run Go")?;
        let watch = watch(
            child.stderr.take(),
            format!("{name} {}", module.version()),
            total,
        );
        let status = command::wait(&mut child, Duration::from_hours(1))?;
        let said = watch.join().unwrap_or_default();
        if !status.success() {
            bail!("{name} does not build: {}", command::last_lines(&said, 20));
        }
    }
    Ok(())
}

/// `go build -v` names a package per line. A line of ours every few seconds says how many.
fn watch(stderr: Option<ChildStderr>, what: String, total: usize) -> JoinHandle<String> {
    thread::spawn(move || {
        let begin = Instant::now();
        let mut shown = begin;
        let mut said = String::new();
        let lines = stderr
            .into_iter()
            .flat_map(|from| BufReader::new(from).lines());
        for (count, line) in lines.map_while(Result::ok).enumerate() {
            if shown.elapsed() >= EVERY {
                shown = Instant::now();
                progress::line(format_args!(
                    "  {what}: {count} of at most {total} packages, {}",
                    progress::took(begin.elapsed())
                ));
            }
            said.push_str(&line);
            said.push('\n');
        }
        said
    })
}

const OLDEST: (u32, u32) = (1, 26);
const EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_understood() {
        assert_eq!(parse("go1.26.8"), Some((1, 26)));
        assert_eq!(parse("go1.27rc1"), Some((1, 27)));
        assert_eq!(parse("devel +abc"), None);
        assert!(parse("go1.9").unwrap() < OLDEST);
    }
}
