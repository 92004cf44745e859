//! Decides when a secret in a file is read: at start, and every ten seconds after, so that it can be replaced without a restart.
//!
//! Content is compared, not times: a mounted Kubernetes secret changes by a symbolic link. Invariant: what cannot be read or used changes
//! nothing, and is said once.

use std::{
    fmt::Display,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use adit_process::metrics::{Each, Reload};
use prometheus_client::metrics::counter::Counter;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{MissedTickBehavior, interval};

const EVERY: Duration = Duration::from_secs(10);
/// Bytes: a secret is a line or a few.
const MOST: u64 = 4096;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is missing, not readable, too long, or no text.
    #[error("cannot read the secret in {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else. What, is not shown.
    #[error("the secret in {} cannot be used: {why}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What it must be.
        why: String,
    },
}

/// Reads a secret and has it checked.
pub(crate) fn load<T, E: Display>(
    path: &Path,
    take: impl FnOnce(&str) -> Result<T, E>,
) -> Result<(T, SecretString), SecretError> {
    let text = read(path)?;
    let taken = take(text.expose_secret()).map_err(|why| SecretError::Unusable {
        path: path.to_owned(),
        why: why.to_string(),
    })?;
    Ok((taken, text))
}

/// Has the secret taken again whenever it is another one, for ever. `current` is what was taken last.
pub(crate) async fn watch<E: Display>(
    path: PathBuf,
    mut current: SecretString,
    reloads: Each<Reload, Counter>,
    take: impl Fn(&str) -> Result<(), E>,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = None;
    loop {
        ticks.tick().await;
        let reading = path.clone();
        // Files may lie on a network.
        let read = tokio::task::spawn_blocking(move || read(&reading)).await;
        let outcome = match read {
            Ok(Ok(text)) if text.expose_secret() == current.expose_secret() => Ok(()),
            Ok(Ok(text)) => take(text.expose_secret())
                .map(|()| {
                    current = text;
                    reloads.of(Reload::Replaced).inc();
                    tracing::info!(path = %path.display(), "secret replaced");
                })
                .map_err(|why| why.to_string()),
            Ok(Err(error)) => Err(adit_process::chain(&error)),
            Err(_) => continue,
        };
        if outcome.is_err() {
            reloads.of(Reload::Failed).inc();
        }
        if let Err(error) = &outcome
            && said.as_ref() != Some(error)
        {
            tracing::warn!(path = %path.display(), %error, "secret not replaced, the old one stays");
        }
        said = outcome.err();
    }
}

fn read(path: &Path) -> Result<SecretString, SecretError> {
    let read = || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(MOST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MOST {
            return Err(io::Error::other("longer than any secret"));
        }
        Ok(SecretString::from(text))
    };
    read().map_err(|source| SecretError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use parking_lot::Mutex;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_taken_again_when_it_changes_and_only_if_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "one").unwrap();
        let (first, current) = load(&path, |text| Ok::<_, String>(text.to_owned())).unwrap();
        assert_eq!(first, "one");
        let taken = Arc::<Mutex<Vec<String>>>::default();
        let taking = Arc::clone(&taken);
        let take = move |text: &str| {
            taking.lock().push(text.to_owned());
            if text == "bad" { Err("so bad") } else { Ok(()) }
        };
        let mut tasks = JoinSet::new();
        let reloads = Each::<Reload, Counter>::default();
        tasks.spawn(watch(path.clone(), current, reloads.clone(), take));
        // Reading is done by a thread, which does not keep the paused clock from going on.
        let until = async |count| {
            while taken.lock().len() < count {
                tokio::time::sleep(EVERY).await;
            }
        };
        fs::write(&path, "bad").unwrap();
        until(2).await;
        fs::remove_file(&path).unwrap();
        tokio::time::sleep(EVERY).await;
        fs::write(&path, "two").unwrap();
        while taken.lock().last().unwrap() != "two" {
            tokio::time::sleep(EVERY).await;
        }
        let bad = taken.lock().iter().filter(|text| *text != "two").count();
        assert!(bad >= 2 && !taken.lock().contains(&"one".to_owned()));
        assert_eq!(reloads.of(Reload::Replaced).get(), 1);
        assert!(reloads.of(Reload::Failed).get() >= 2);
    }

    #[test]
    fn what_is_no_secret_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let load = || load(&path, |_| Err::<(), _>("not a secret")).unwrap_err();
        assert!(matches!(load(), SecretError::Read { .. }));
        fs::write(&path, "s3cret").unwrap();
        assert!(!load().to_string().contains("s3cret"));
        fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(matches!(load(), SecretError::Read { .. }));
    }
}
