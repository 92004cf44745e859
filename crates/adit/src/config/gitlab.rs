//! `adit config check --gitlab`: an agent's file at GitLab, before it is merged. Grants are printed with their places as compilers do it,
//! so that editors lead there.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use adit_authority::agent_file::{Covers, Mode};
use adit_authority::{AgentFile, Home};
use adit_process::Exit;
use anyhow::{Context, anyhow};

use crate::agent_file::{self, Oddities};
use crate::failure::{Ends, Failure};

pub(super) fn check(path: &Path, oddities: Oddities, home: &Home) -> Result<(), Failure> {
    let file = agent_file::read(path, oddities)?;
    let report = Report::of(&path.display().to_string(), &file, home);
    io::stdout()
        .lock()
        .write_all(report.text.as_bytes())
        .context("cannot print")
        .ends(Exit::Failed)?;
    if report.refused == 0 {
        return Ok(());
    }
    let grants = report.accepted + report.refused;
    let error = anyhow!("GitLab would drop {} of {grants} grants", report.refused)
        .context(format!("{} does not say what holds", path.display()));
    Err(Failure::new(Exit::BadConfig, error))
}

/// Of entries that are GitLab's default.
const LENT: &str = "as `agent` is with the rights of the agent's service account, which an agent from adit's manifests or chart does not lend: it refuses, unless its `ceiling.agent` is true";

/// The grants of a file, a line each.
struct Report {
    text: String,
    accepted: usize,
    refused: usize,
}

impl Report {
    fn of(name: &str, file: &AgentFile, home: &Home) -> Self {
        let mut report = Self {
            text: String::new(),
            accepted: 0,
            refused: 0,
        };
        let jobs = file.for_jobs(home);
        let names_own = jobs.iter().any(|(entry, dropped)| match &entry.covers {
            Covers::Project(path) => dropped.is_none() && Some(path) == home.project.as_ref(),
            Covers::Own | Covers::Group(_) | Covers::Instance => false,
        });
        let mut lends_rights = !names_own;
        if !names_own {
            report.line(format_args!("{name}: accepted: {}", file.own()));
        }
        for (entry, dropped) in jobs.into_iter().chain(file.for_users(home)) {
            let place = entry.place.map(|place| format!(":{place}"));
            let place = place.unwrap_or_default();
            let key = &entry.key;
            if let Some(why) = dropped {
                report.refused += 1;
                report.line(format_args!(
                    "{name}{place}: refused: {key}: {entry}: {why}"
                ));
            } else {
                report.accepted += 1;
                lends_rights |= entry.mode == Mode::Agent;
                report.line(format_args!("{name}{place}: accepted: {key}: {entry}"));
            }
        }
        if lends_rights {
            report.line(format_args!("{name}: {LENT}"));
        }
        if home.project.is_none() {
            report.line(format_args!(
                "{name}: without --agent it is not known which grants stand outside the agent's top-level group"
            ));
        }
        if report.refused == 0 {
            report.line(format_args!("{name}: no grant is refused"));
        }
        report
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string takes all");
    }
}
