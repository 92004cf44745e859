//! Load: wrk for HTTP/1.1, h2load for HTTP/2, curl for one large body. All take what a path says about its URL and headers.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};

use crate::latency::Latencies;

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Target {
    pub url: String,
    /// `name: value`
    pub headers: Vec<String>,
}

/// What a load generator saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub requests: u64,
    pub seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Seen {
    /// Requests in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// wrk, closed loop, so many HTTP/1.1 connections.
pub fn http1(target: &Target, connections: u32, seconds: u32) -> Result<Seen> {
    let mut command = Command::new("wrk");
    command.args([
        "-t1",
        &format!("-c{connections}"),
        &format!("-d{seconds}"),
        "--latency",
    ]);
    let text = run(with_headers(&mut command, target).arg(&target.url))?;
    for bad in ["Non-2xx", "Socket errors"] {
        if let Some(line) = text.lines().find(|line| line.contains(bad)) {
            bail!("{}: {line}", target.url);
        }
    }
    let line = |needle: &str| {
        text.lines()
            .find(|line| line.contains(needle))
            .context("wrk printed something else")
    };
    let first = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let percentile = |name: &str| -> Result<f64> {
        let row = text
            .lines()
            .find(|line| line.trim_start().starts_with(name))
            .context("no percentile")?;
        microseconds(row.split_whitespace().last().unwrap_or_default())
    };
    Ok(Seen {
        requests: first(line("requests in")?).parse()?,
        seconds: microseconds(
            line("requests in")?
                .split([' ', ','])
                .find(|word| word.ends_with('s') && word.starts_with(|c: char| c.is_ascii_digit()))
                .unwrap_or_default(),
        )? / 1e6,
        p50_us: percentile("50%")?,
        p99_us: percentile("99%")?,
    })
}

/// h2load, so many connections of so many streams.
pub fn http2(target: &Target, connections: u32, streams: u32, requests: u64) -> Result<Seen> {
    let log = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("h2load");
    command.args([
        "-t1",
        &format!("-c{connections}"),
        &format!("-m{streams}"),
        &format!("-n{requests}"),
    ]);
    command.arg(format!("--log-file={}", log.path().display()));
    let text = run(with_headers(&mut command, target).arg(&target.url))?;
    let status = text
        .lines()
        .find(|line| line.starts_with("status codes:"))
        .context("h2load printed something else")?;
    ensure!(
        status.contains(&format!("{requests} 2xx")),
        "{}: {status}",
        target.url
    );
    let finished = text
        .lines()
        .find_map(|line| line.strip_prefix("finished in "))
        .context("no duration")?;
    let seconds = microseconds(finished.split(',').next().unwrap_or_default())? / 1e6;
    let log = std::fs::read_to_string(log.path())?;
    let took = log
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse().ok())
        .map(Duration::from_micros);
    let latencies = Latencies::from_iter(took);
    Ok(Seen {
        requests,
        seconds,
        p50_us: latencies.percentile_us(0.5),
        p99_us: latencies.percentile_us(0.99),
    })
}

/// One body over HTTP/1.1; says how many bytes came and in how many seconds.
pub fn download(target: &Target) -> Result<(u64, f64)> {
    let mut command = Command::new("curl");
    command.args([
        "-sk",
        "--http1.1",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{size_download} %{time_total}",
    ]);
    let text = run(with_headers(&mut command, target).arg(&target.url))?;
    let mut words = text.split_whitespace();
    ensure!(words.next() == Some("200"), "{}: {text}", target.url);
    let bytes = words.next().context("no size")?.parse()?;
    Ok((bytes, words.next().context("no time")?.parse()?))
}

fn with_headers<'a>(command: &'a mut Command, target: &Target) -> &'a mut Command {
    target
        .headers
        .iter()
        .fold(command, |command, header| command.args(["-H", header]))
}

fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{program} failed: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// `12.3us`, `4.5ms`, `6.7s`
fn microseconds(text: &str) -> Result<f64> {
    let (number, unit) = text.split_at(
        text.find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(text.len()),
    );
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" | "" => 1e6,
        "m" => 60e6,
        other => bail!("unknown unit {other:?}"),
    };
    Ok(number
        .parse::<f64>()
        .with_context(|| format!("no number: {text:?}"))?
        * factor)
}
