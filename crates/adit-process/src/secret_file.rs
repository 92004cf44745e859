//! Decides what a file must hold whose secret is used: at start, and whenever it is read again ([`reread`](crate::reread)), so that it can
//! be replaced without a restart. Invariant: a secret is shown nowhere, and what is none neither.

use std::fmt::{self, Display};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use secrecy::{ExposeSecret as _, SecretString};

use crate::metrics::{Each, Reload};
use crate::reread::{Kept, Looks};
use crate::told::whole;

/// Bytes: a secret is a line or a few.
const MOST: u64 = 4096;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is missing, not readable, too long, or no text.
    #[error("cannot read the secret in {} ({key})", whole(path).display())]
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
pub struct Loaded<T> {
    /// As it was checked.
    pub secret: T,
    file: File,
    text: SecretString,
}

/// Where a secret is, and what says so.
#[derive(Debug)]
struct File {
    key: &'static str,
    path: PathBuf,
}

/// Whether a text may be a token, as HTTP shows it: one line of visible ASCII characters, without blanks.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads a secret from the file that `key` names, and has it checked.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn load<T, E: Display>(
    key: &'static str,
    path: &Path,
    take: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Loaded<T>, SecretError> {
    let file = File {
        key,
        path: path.to_owned(),
    };
    let text = file.read()?;
    let taken = take(text.expose_secret());
    let secret = taken.map_err(|why| file.unusable(&why))?;
    Ok(Loaded { secret, file, text })
}

impl File {
    fn read(&self) -> Result<SecretString, SecretError> {
        read(&self.path).map_err(|source| SecretError::Read {
            key: self.key,
            path: self.path.clone(),
            source,
        })
    }

    fn unusable(&self, why: &impl Display) -> SecretError {
        SecretError::Unusable {
            key: self.key,
            path: self.path.clone(),
            why: why.to_string(),
        }
    }
}

/// A secret that is in use, and the file that it is in.
pub struct SecretFile<T, E> {
    secret: Arc<T>,
    replace: fn(&T, &str) -> Result<(), E>,
    file: File,
    in_use: Mutex<SecretString>,
    looks: Looks,
}

impl<T> Loaded<T> {
    /// To be replaced by `replace` whenever the file holds another one.
    #[must_use]
    pub fn kept<E>(
        self,
        replace: fn(&T, &str) -> Result<(), E>,
        reloads: Each<Reload, Counter>,
    ) -> (Arc<T>, SecretFile<T, E>) {
        let secret = Arc::new(self.secret);
        let file = SecretFile {
            secret: Arc::clone(&secret),
            replace,
            file: self.file,
            in_use: Mutex::new(self.text),
            looks: Looks::counted_by(reloads),
        };
        (secret, file)
    }
}

impl<T, E> fmt::Debug for SecretFile<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretFile").field(&self.file).finish()
    }
}

impl<T, E> Kept for SecretFile<T, E>
where
    T: Send + Sync + 'static,
    E: Display + 'static,
{
    type Content = SecretString;
    type Error = SecretError;

    fn read(&self) -> Result<Option<SecretString>, SecretError> {
        let text = self.file.read()?;
        let is_in_use = text.expose_secret() == self.in_use.lock().expose_secret();
        Ok((!is_in_use).then_some(text))
    }

    fn take(&self, text: SecretString) -> Result<(), SecretError> {
        let taken = (self.replace)(&self.secret, text.expose_secret());
        taken.map_err(|why| self.file.unusable(&why))?;
        *self.in_use.lock() = text;
        Ok(())
    }

    fn looks(&self) -> &Looks {
        &self.looks
    }

    fn tell_replaced(&self) {
        tracing::info!(path = %self.file.path.display(), "secret replaced");
    }

    fn tell_refused(&self, error: &str) {
        tracing::warn!(path = %self.file.path.display(), error, "secret not replaced, the old one stays");
    }

    fn tell_mended(&self) {
        tracing::info!(path = %self.file.path.display(), "secret can be read again, and is as it was");
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

    use super::*;
    use crate::reread::{Look, look};

    #[test]
    fn a_secret_is_taken_again_when_it_changes_and_only_if_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "one").unwrap();
        let take = |text: &str| Ok::<_, String>(Mutex::new(vec![text.to_owned()]));
        let loaded = load("a.key", &path, take).unwrap();
        let replace = |taken: &Mutex<Vec<String>>, text: &str| {
            if text == "bad" {
                return Err("so bad");
            }
            taken.lock().push(text.to_owned());
            Ok(())
        };
        let reloads = Each::<Reload, Counter>::default();
        let (taken, file) = loaded.kept(replace, reloads.clone());
        assert_eq!(look(&file).unwrap(), Look::Unchanged);
        fs::write(&path, "bad").unwrap();
        for _ in 0..2 {
            let refused = look(&file).unwrap_err().to_string();
            assert!(refused.contains("a.key") && refused.contains("so bad"));
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(look(&file), Err(SecretError::Read { .. })));
        fs::write(&path, "two").unwrap();
        assert_eq!(look(&file).unwrap(), Look::Replaced);
        assert_eq!(look(&file).unwrap(), Look::Unchanged);
        assert_eq!(*taken.lock(), ["one", "two"]);
        assert_eq!(reloads.of(Reload::Replaced).get(), 1);
        assert_eq!(reloads.of(Reload::Failed).get(), 3);
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
