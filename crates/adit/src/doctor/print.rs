//! How the findings look: lines for people, or JSON.

use std::io::{self, Write};

use adit_process::Exit;
use anyhow::Context;
use clap::builder::styling::{AnsiColor, Color, Style};
use serde::Serialize;

use super::finding::{Finding, Hop, Outcome, Report};
use crate::failure::{Ends, Failure};
use crate::terminal::has_colours;

/// One line for each finding, and below it what to do; one for all that did not run for the same reason.
pub(super) fn text(report: &Report) -> Result<(), Failure> {
    let stdout = io::stdout();
    let colours = has_colours(&stdout);
    let width = width(report.findings());
    let text: String = report
        .findings()
        .chunk_by(is_same)
        .map(|alike| match alike {
            [first, second, _, ..] if is_same(first, second) => not_run(first, alike, width),
            _ => alike
                .iter()
                .map(|finding| lines(finding, width, style(finding.outcome).filter(|_| colours)))
                .collect(),
        })
        .collect();
    print(&text)
}

/// Of the column with the checks' names.
fn width(findings: &[Finding]) -> usize {
    let names = findings.iter().map(|finding| finding.check.len());
    names.max().unwrap_or_default().max(LEAST_WIDTH)
}

/// Both did not run, for the same reason.
fn is_same(one: &Finding, next: &Finding) -> bool {
    one.outcome == Outcome::NotRun && next.outcome == Outcome::NotRun && one.what == next.what
}

fn not_run(first: &Finding, all: &[Finding], width: usize) -> String {
    let names: Vec<_> = all.iter().map(|finding| finding.check).collect();
    let (count, what) = (format!("{} checks", all.len()), &first.what);
    let names = names.join(", ");
    format!(
        "{:<8} {:<10} {count:<width$} {what}: {names}\n",
        "not run", ""
    )
}

/// One object, on one line.
pub(super) fn json(report: &Report) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Told<'a> {
        /// The hop of the first finding that failed.
        broken: Option<Hop>,
        findings: &'a [Finding],
    }
    let told = Told {
        broken: report.broken().map(|finding| finding.hop),
        findings: report.findings(),
    };
    let text = serde_json::to_string(&told).ends(Exit::Internal)?;
    print(&format!("{text}\n"))
}

fn lines(finding: &Finding, width: usize, style: Option<Style>) -> String {
    let style = style.unwrap_or_default();
    let outcome = match finding.outcome {
        Outcome::Ok => "ok",
        Outcome::Warning => "warning",
        Outcome::Failed => "failed",
        Outcome::NotRun => "not run",
    };
    let Finding {
        check, hop, what, ..
    } = finding;
    let hop = hop.as_str();
    // Below what is told, and a little further in what is told in several lines.
    let margin = BEFORE_NAMES + width + 1;
    let what = what.replace('\n', &format!("\n{:>1$}", "", margin + 2));
    let line = format!("{style}{outcome:<8}{style:#} {hop:<10} {check:<width$} {what}\n");
    let advice = finding.advice.as_ref();
    advice.map_or_else(
        || line.clone(),
        |advice| format!("{line}{:>margin$}do: {advice}\n", ""),
    )
}

fn style(outcome: Outcome) -> Option<Style> {
    let of = |colour| Some(Style::new().fg_color(Some(Color::Ansi(colour))));
    match outcome {
        Outcome::Ok => of(AnsiColor::Green),
        Outcome::Warning => of(AnsiColor::Yellow),
        Outcome::Failed => of(AnsiColor::Red),
        Outcome::NotRun => None,
    }
}

fn print(text: &str) -> Result<(), Failure> {
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("cannot print")
        .ends(Exit::Failed)
}

/// Of outcome and hop, with what is between.
const BEFORE_NAMES: usize = 20;
/// Most names are shorter.
const LEAST_WIDTH: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Check;

    #[test]
    fn finding_is_a_line_and_what_to_do_stands_below() {
        let mut report = Report::default();
        let name = Check::new("name", Hop::Network);
        report.failed(name, "it has no address", "look it up");
        let finding = &report.findings()[0];
        let plain = "failed   network    name          it has no address\n                                  do: look it up\n";
        assert_eq!(lines(finding, LEAST_WIDTH, None), plain);
        report.failed(name, "two:\none\ntwo", "mend both");
        let told = lines(&report.findings()[1], LEAST_WIDTH, None);
        let further = format!("two:\n{0:36}one\n{0:36}two\n", "");
        assert!(told.contains(&further), "{told}");
        let finding = &report.findings()[0];
        let coloured = lines(finding, LEAST_WIDTH, style(finding.outcome));
        assert!(
            coloured.starts_with("\x1b[31mfailed  \x1b[0m network"),
            "{coloured:?}"
        );
    }

    #[test]
    fn long_name_of_a_check_does_not_run_into_what_is_told() {
        let mut report = Report::default();
        let long = Check::new("gitlab_api_certificate", Hop::Relay);
        report.ok(long, "there is one");
        report.failed(Check::new("port", Hop::Relay), "taken", "free it");
        let width = width(report.findings());
        let told: Vec<_> = report
            .findings()
            .iter()
            .flat_map(|finding| {
                let told = lines(finding, width, None);
                told.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        let columns = ["there is", "taken", "do: free"].map(|words| {
            let line = told.iter().find(|line| line.contains(words)).unwrap();
            line.find(words).unwrap()
        });
        assert_eq!(columns, [43; 3], "{told:?}");
    }

    #[test]
    fn what_did_not_run_for_one_reason_is_one_line() {
        let mut report = Report::default();
        let checks = ["name", "connect", "tls"].map(|name| Check::new(name, Hop::Network));
        report.complete(&checks);
        let alike: Vec<_> = report.findings().chunk_by(is_same).collect();
        assert_eq!(alike.len(), 1);
        let told = not_run(&report.findings()[0], alike[0], LEAST_WIDTH);
        let told: Vec<_> = told.split_whitespace().collect();
        let line = "not run 3 checks needs what is before it: name, connect, tls";
        assert_eq!(told.join(" "), line);
    }
}
