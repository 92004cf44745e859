//! `adit config check` of a relay's file: what it says, and the files that it names, read as a relay reads them when it starts. Those that
//! are not here, or not for this user, are only warned of: the file may be checked elsewhere than where it is used.

use std::io::{self, ErrorKind};
use std::path::Path;

use adit_process::tls::TlsError;
use adit_process::{Exit, chain};
use adit_relay::{NoFile, Trial};
use anyhow::{Chain, Context, anyhow};
use tokio::runtime::Builder;

use crate::agent_file::Oddities;
use crate::failure::{Ends, Failure};
use crate::relay;
use crate::terminal::warn;

pub(super) fn check(file: &Path, oddities: Oddities) -> Result<(), Failure> {
    let trial = Trial::of(relay::read_config(file)?);
    let doubts = trial.config().doubts();
    let mut doubts: Vec<_> = doubts.iter().map(ToString::to_string).collect();
    let (elsewhere, unusable): (Vec<_>, Vec<_>) = unusable_files(&trial)?
        .into_iter()
        .partition(may_be_elsewhere);
    let elsewhere = elsewhere.iter().map(|error| chain(error));
    doubts.extend(elsewhere.map(|told| format!("{told}: a relay needs it where it runs")));
    let file = file.display();
    if oddities == Oddities::Refused && !doubts.is_empty() {
        let error = anyhow!("{}", doubts.join("\n"));
        let error = error.context(format!("{file} is hardly meant so"));
        return Err(Failure::new(Exit::BadConfig, error));
    }
    for doubt in doubts {
        warn(format_args!("{file}: {doubt}"));
    }
    if !unusable.is_empty() {
        let told: Vec<_> = unusable.iter().map(|error| chain(error)).collect();
        let error = anyhow!("{}", told.join("\n"));
        let error = error.context(format!("{file} names what a relay cannot use"));
        return Err(Failure::new(Exit::BadConfig, error));
    }
    Ok(())
}

fn unusable_files(trial: &Trial) -> Result<Vec<NoFile>, Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")
        .ends(Exit::Failed)?;
    Ok(runtime.block_on(trial.unusable_files()))
}

/// Whether it tells of this machine and this user, and not of what is in the file.
fn may_be_elsewhere(error: &NoFile) -> bool {
    Chain::new(error).any(|error| {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let kinds = [
                ErrorKind::NotFound,
                ErrorKind::NotADirectory,
                ErrorKind::PermissionDenied,
            ];
            return kinds.contains(&error.kind());
        }
        let tls = error.downcast_ref::<Box<TlsError>>();
        tls.is_some_and(|error| matches!(**error, TlsError::SystemRoots(_)))
    })
}
