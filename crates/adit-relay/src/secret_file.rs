//! Decides when a secret in a file is read: at start, and every ten seconds after, so that it can be replaced without a restart.
//!
//! Content is compared, not times: a mounted Kubernetes secret changes by a symbolic link. Invariant: what cannot be read or used changes
//! nothing, and is said once.

use std::{
    fmt::Display,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
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
    #[error("cannot read the secret in {} ({key})", path.display())]
    Read {
        /// What names the file.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else. What, is not shown.
    #[error("the secret in {} ({key}) cannot be used: {why}", path.display())]
    Unusable {
        /// What names the file.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// What it must be.
        why: String,
    },
}

/// A secret, and what it was read from.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) secret: T,
    path: PathBuf,
    text: SecretString,
}

/// Reads a secret from the file that `key` names, and has it checked.
pub(crate) fn load<T, E: Display>(
    key: &'static str,
    path: &Path,
    take: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Loaded<T>, SecretError> {
    let path = path.to_owned();
    let text = match read(&path) {
        Ok(text) => text,
        Err(source) => return Err(SecretError::Read { key, path, source }),
    };
    match take(text.expose_secret()) {
        Ok(secret) => Ok(Loaded { secret, path, text }),
        Err(why) => Err(SecretError::Unusable {
            key,
            path,
            why: why.to_string(),
        }),
    }
}

impl<T> Loaded<T> {
    /// Has the secret replaced whenever the file holds another one, by a task that runs for ever.
    pub(crate) fn kept<E: Display>(
        self,
        replace: fn(&T, &str) -> Result<(), E>,
        reloads: Each<Reload, Counter>,
    ) -> (Arc<T>, impl Future<Output = ()>) {
        let secret = Arc::new(self.secret);
        let watched = Arc::clone(&secret);
        let take = move |text: &str| replace(&watched, text);
        (secret, watch(self.path, self.text, reloads, take))
    }
}

/// Has the secret taken again whenever it is another one, for ever. `current` is what was taken last.
async fn watch<E: Display>(
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
            Ok(Err(error)) => Err(error.to_string()),
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

fn read(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(io::Error::other("longer than any secret"));
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use parking_lot::Mutex;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_taken_again_when_it_changes_and_only_if_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "one").unwrap();
        let take = |text: &str| Ok::<_, String>(Mutex::new(vec![text.to_owned()]));
        let loaded = load("a.key", &path, take).unwrap();
        let replace = |taken: &Mutex<Vec<String>>, text: &str| {
            taken.lock().push(text.to_owned());
            if text == "bad" { Err("so bad") } else { Ok(()) }
        };
        let mut tasks = JoinSet::new();
        let reloads = Each::<Reload, Counter>::default();
        let (taken, watching) = loaded.kept(replace, reloads.clone());
        assert_eq!(*taken.lock(), ["one"]);
        tasks.spawn(watching);
        // Reading is done by a thread, which does not keep the paused clock from going on.
        let until = async |count| {
            while taken.lock().len() <= count {
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
        let again = taken.lock().iter().skip(1).any(|text| text == "one");
        assert!(bad >= 3 && !again, "what stays the same is not taken twice");
        assert_eq!(reloads.of(Reload::Replaced).get(), 1);
        assert!(reloads.of(Reload::Failed).get() >= 2);
    }

    #[test]
    fn what_is_no_secret_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let load = || load("a.key", &path, |_| Err::<(), _>("not a secret")).unwrap_err();
        assert!(matches!(load(), SecretError::Read { .. }));
        fs::write(&path, "s3cret").unwrap();
        let told = load().to_string();
        assert!(told.contains("(a.key)") && told.contains(path.to_str().unwrap()));
        assert!(!told.contains("s3cret"));
        fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(matches!(load(), SecretError::Read { .. }));
    }
}
