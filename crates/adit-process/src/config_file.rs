//! The file by whose configuration a process runs, read again like all others ([`reread`](crate::reread)).
//!
//! Invariant: what somebody is still writing is not taken. Half of a configuration may be a right one, and nothing at all may be the one
//! that permits most.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::reread::{Kept, Looks};

/// A file that is in use, what its text is checked by, and what is done with what it says.
pub struct ConfigFile<Check, Take> {
    path: PathBuf,
    in_use: Mutex<String>,
    check: Check,
    take: Take,
    looks: Looks,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadConfigFile {
    /// It is not there, or may not be read, or is no text.
    #[error("the file cannot be read")]
    Unread(#[source] io::Error),
    /// More likely it could not be written than that all of it was meant to go.
    #[error("the file is empty")]
    Empty,
    /// What the check said.
    #[error("{0}")]
    Wrong(String),
}

impl<Check, Take> ConfigFile<Check, Take> {
    /// `in_use` is the text by which the process runs, `take` takes what `check` made of the next.
    pub fn new(path: PathBuf, in_use: String, check: Check, take: Take, looks: Looks) -> Self {
        Self {
            path,
            in_use: Mutex::new(in_use),
            check,
            take,
            looks,
        }
    }
}

impl<Check, Take, Config> Kept for ConfigFile<Check, Take>
where
    Check: Fn(&str) -> Result<Config, String> + Send + Sync + 'static,
    Take: Fn(Config) + Send + Sync + 'static,
    Config: Send + 'static,
{
    type Content = (String, Config);
    type Error = BadConfigFile;

    fn read(&self) -> Result<Option<(String, Config)>, BadConfigFile> {
        let in_use = self.in_use.lock().clone();
        let look = || fs::read_to_string(&self.path).map_err(BadConfigFile::Unread);
        let Some(text) = settled(&in_use, look)? else {
            return Ok(None);
        };
        if text.trim().is_empty() {
            return Err(BadConfigFile::Empty);
        }
        let checked = (self.check)(&text);
        // Mistakes come one to a line, and a log has one line for all.
        let config = checked.map_err(|why| BadConfigFile::Wrong(why.replace('\n', "; ")))?;
        Ok(Some((text, config)))
    }

    fn take(&self, (text, config): (String, Config)) -> Result<(), BadConfigFile> {
        (self.take)(config);
        *self.in_use.lock() = text;
        Ok(())
    }

    fn looks(&self) -> &Looks {
        &self.looks
    }

    fn tell_replaced(&self) {
        tracing::info!(path = %self.path.display(), "configuration replaced");
    }

    fn tell_refused(&self, error: &str) {
        tracing::error!(path = %self.path.display(), error, "configuration not replaced, the old one stays");
    }

    fn tell_mended(&self) {
        tracing::info!(path = %self.path.display(), "configuration can be used again, and is as it was");
    }
}

impl<Check, Take> std::fmt::Debug for ConfigFile<Check, Take> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The text that two looks in a row find, unless it is the one that is in use.
fn settled<E>(
    in_use: &str,
    mut look: impl FnMut() -> Result<String, E>,
) -> Result<Option<String>, E> {
    let mut text = look()?;
    while text != in_use {
        thread::sleep(BETWEEN_LOOKS);
        let again = look()?;
        if again == text {
            return Ok(Some(text));
        }
        text = again;
    }
    Ok(None)
}

/// Longer than it takes to write a file that was emptied for it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::reread::{Look, look};

    #[test]
    fn file_is_taken_when_it_changes_and_only_if_it_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, "1").unwrap();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let taking = Arc::clone(&taken);
        let file = ConfigFile::new(
            path.clone(),
            "1".to_owned(),
            |text: &str| text.parse::<u8>().map_err(|_| "one\ntwo".to_owned()),
            move |number| taking.lock().push(number),
            Looks::default(),
        );
        assert_eq!(look(&file).unwrap(), Look::Unchanged);
        fs::write(&path, "2").unwrap();
        assert_eq!(look(&file).unwrap(), Look::Replaced);
        assert_eq!(look(&file).unwrap(), Look::Unchanged);
        fs::write(&path, "none").unwrap();
        assert_eq!(look(&file).unwrap_err().to_string(), "one; two");
        fs::write(&path, "\n").unwrap();
        assert!(matches!(look(&file), Err(BadConfigFile::Empty)));
        fs::remove_file(&path).unwrap();
        look(&file).unwrap_err();
        let trouble = file.looks().trouble().unwrap();
        assert!(
            trouble.starts_with("the file cannot be read: "),
            "{trouble}"
        );
        fs::write(&path, "2").unwrap();
        assert_eq!(look(&file).unwrap(), Look::Unchanged);
        assert_eq!(*taken.lock(), [2]);
    }

    #[test]
    fn file_that_is_being_written_is_taken_when_it_is_whole() {
        let settled = |looks: &[&str]| {
            let mut looks = looks
                .iter()
                .map(|&text| Ok::<_, io::Error>(text.to_owned()));
            settled("in use", || looks.next().expect("there are enough")).unwrap()
        };
        assert_eq!(settled(&["in use"]), None);
        let whole = settled(&["", "a: 1", "a: 1, b: 2", "a: 1, b: 2"]);
        assert_eq!(whole.as_deref(), Some("a: 1, b: 2"));
        assert_eq!(settled(&["", "in", "in use"]), None);
    }
}
