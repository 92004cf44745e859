//! Decides what the process logs: what the command line says, else the config file of what runs, which may change its mind; else what
//! suits the command.

use adit_process::Exit;
use adit_process::logging::{self, Filter, Logging, Passing};
use anyhow::Context;

use crate::cli::Cli;
use crate::failure::{Ends, Failure};

/// What passes into the log. Clones are of the one log that a process has.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    passing: Passing,
    at_start: Filter,
    /// Whether the command line, or the environment, says it.
    is_given: bool,
}

impl Log {
    /// Begins to log. The first is to be kept until the process ends.
    pub(crate) fn start(cli: &Cli) -> Result<(Logging, Self), Failure> {
        let at_start: Filter = cli
            .log_filter()
            .parse()
            .context("--log, or ADIT_LOG, cannot be used")
            .ends(Exit::BadConfig)?;
        let started = logging::init(&at_start, cli.logging.format);
        let (logging, passing) = started.ends(Exit::Internal)?;
        let log = Self {
            passing,
            at_start,
            is_given: cli.logging.given().is_some(),
        };
        Ok((logging, log))
    }

    /// Lets pass what a config file says, if it may say it.
    pub(crate) fn follow(&self, filter: Option<&Filter>) {
        if !self.is_given {
            self.passing.set(filter.unwrap_or(&self.at_start));
        } else if filter.is_some() {
            tracing::info!("log.filter of the config file is not used: --log or ADIT_LOG is given");
        }
    }
}
