//! A relay's audit log, in a file of the scenario's own.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::{RelayBuilder, until};

/// Where a relay writes its records.
pub struct AuditLog {
    folder: TempDir,
}

impl Default for AuditLog {
    fn default() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }
}

impl AuditLog {
    /// Has a relay write here.
    #[must_use]
    pub fn of(&self, relay: RelayBuilder) -> RelayBuilder {
        relay
            .with("audit", "to", "file")
            .with("audit", "file", self.path().display())
    }

    /// The whole log, the oldest file first.
    ///
    /// # Panics
    ///
    /// When a file cannot be read.
    #[must_use]
    pub fn text(&self) -> String {
        let numbered = |number| format!("{}.{number}", self.path().display()).into();
        let mut files: Vec<PathBuf> = (1..=20).rev().map(numbered).collect();
        files.push(self.path());
        files
            .iter()
            .filter(|file| file.exists())
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect()
    }

    /// All records so far.
    ///
    /// # Panics
    ///
    /// When a line is no JSON object with a time.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        records(&self.text())
    }

    /// Waits until there are so many records.
    pub async fn until(&self, count: usize) -> Vec<Value> {
        until("the records are written", || self.records().len() >= count).await;
        self.records()
    }

    /// How many files there are.
    ///
    /// # Panics
    ///
    /// When the folder is gone.
    #[must_use]
    pub fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }

    /// From now on nothing can be written, until [`AuditLog::mend`].
    ///
    /// # Panics
    ///
    /// When the folder cannot be moved.
    pub fn break_off(&self) {
        std::fs::rename(self.folder.path(), self.aside()).unwrap();
    }

    /// The folder is there again, with what was written.
    ///
    /// # Panics
    ///
    /// When it cannot be moved back.
    pub fn mend(&self) {
        std::fs::rename(self.aside(), self.folder.path()).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    fn aside(&self) -> PathBuf {
        self.folder.path().with_extension("aside")
    }
}

/// The records of a log.
///
/// # Panics
///
/// When a line is no JSON object with a time.
#[must_use]
pub fn records(log: &str) -> Vec<Value> {
    // The last line may be on its way.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    whole
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            assert!(record["time"].is_string(), "{line}");
            record
        })
        .collect()
}
