//! Decides where the kubeconfig goes. The invariants: nobody but the owner can ever read it, it
//! is never half written, and a file that is somebody else's is not replaced unasked.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::mark::{self, Writer};

/// Where to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Stdout,
    File(PathBuf),
}

/// Why a kubeconfig cannot be put in its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("say where to write: set KUBECONFIG, or give --output FILE (`-` for standard output)")]
    Unsaid,
    #[error("KUBECONFIG names several files: give --output FILE")]
    Several,
    #[error("{} has entries that adit did not write: choose another --output, or give --force", .0.display())]
    Foreign(PathBuf),
    #[error("{} is the kubeconfig that GitLab gave this job, and it stays: have adit write another one, by `KUBECONFIG: $CI_PROJECT_DIR/.adit-kubeconfig` under the job's `variables:` or by --output; --force would replace it", .0.display())]
    GitLabs(PathBuf),
    #[error("cannot write {}, which is a folder: name a file, such as {}", .0.display(), .0.join(".adit-kubeconfig").display())]
    Folder(PathBuf),
    #[error("cannot write {}: there is no folder {}", path.display(), folder.display())]
    NoFolder { path: PathBuf, folder: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot print the kubeconfig")]
    Print(#[source] io::Error),
}

impl Destination {
    /// By the flag, else by the variable.
    pub(crate) fn choose(
        output: Option<OsString>,
        kubeconfig: Option<OsString>,
    ) -> Result<Self, PlaceError> {
        if let Some(output) = output {
            return Ok(if output == "-" {
                Self::Stdout
            } else {
                Self::File(output.into())
            });
        }
        let path = kubeconfig
            .filter(|path| !path.is_empty())
            .ok_or(PlaceError::Unsaid)?;
        let mut paths = std::env::split_paths(&path);
        let first = paths.next().ok_or(PlaceError::Unsaid)?;
        if paths.next().is_some() {
            return Err(PlaceError::Several);
        }
        Ok(Self::File(first))
    }

    /// Refuses a folder that is not there, and to replace a file that is not ours, unless forced.
    pub(crate) fn check(&self, force: bool) -> Result<(), PlaceError> {
        let Self::File(path) = self else {
            return Ok(());
        };
        let folder = folder_of(path);
        if !folder.is_dir() {
            let (path, folder) = (path.clone(), folder.to_owned());
            return Err(PlaceError::NoFolder { path, folder });
        }
        if path.is_dir() {
            return Err(PlaceError::Folder(path.clone()));
        }
        let writer = match fs::read(path) {
            Ok(content) if content.is_empty() => Writer::Adit,
            Ok(content) => str::from_utf8(&content).map_or(Writer::Somebody, mark::writer),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Writer::Adit,
            Err(_) => Writer::Somebody,
        };
        match writer {
            Writer::GitLab if !force => Err(PlaceError::GitLabs(path.clone())),
            Writer::Somebody if !force => Err(PlaceError::Foreign(path.clone())),
            Writer::Adit | Writer::GitLab | Writer::Somebody => Ok(()),
        }
    }

    pub(crate) fn write(&self, text: &str) -> Result<(), PlaceError> {
        match self {
            Self::Stdout => io::stdout()
                .lock()
                .write_all(text.as_bytes())
                .map_err(PlaceError::Print),
            Self::File(path) => replace(path, text).map_err(|source| PlaceError::Write {
                path: path.clone(),
                source,
            }),
        }
    }
}

/// Writes beside the file and renames: a temporary file has mode 0600 from its first moment.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // The error's own words name the temporary file, which nobody knows.
    let mut file =
        NamedTempFile::new_in(folder_of(path)).map_err(|error| io::Error::from(error.kind()))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    const OURS: &str =
        "clusters: [{ name: gitlab, cluster: { extensions: [{ name: adit, extension: {} }] } }]";

    fn choose(output: Option<&str>, kubeconfig: Option<&str>) -> Result<Destination, PlaceError> {
        Destination::choose(output.map(Into::into), kubeconfig.map(Into::into))
    }

    #[test]
    fn flag_comes_before_the_variable() {
        assert_eq!(choose(Some("-"), Some("/a")).unwrap(), Destination::Stdout);
        assert_eq!(
            choose(Some("/b"), Some("/a")).unwrap(),
            Destination::File("/b".into())
        );
        assert_eq!(
            choose(None, Some("/a")).unwrap(),
            Destination::File("/a".into())
        );
        assert!(matches!(choose(None, Some("")), Err(PlaceError::Unsaid)));
        assert!(matches!(choose(None, None), Err(PlaceError::Unsaid)));
        assert!(matches!(
            choose(None, Some("/a:/b")),
            Err(PlaceError::Several)
        ));
    }

    #[test]
    fn file_is_replaced_when_it_is_ours_and_only_its_owner_reads_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, OURS).unwrap();
        let place = Destination::File(path.clone());
        place.check(false).unwrap();
        place.write("new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn folder_that_is_missing_is_named() {
        let folder = TempDir::new().unwrap();
        let missing = folder.path().join("missing");
        let place = Destination::File(missing.join("config"));
        let told = place.check(true).unwrap_err().to_string();
        let named = format!("there is no folder {}", missing.display());
        assert!(told.ends_with(&named), "{told}");
    }

    #[test]
    fn folder_is_no_place_even_if_forced() {
        let folder = TempDir::new().unwrap();
        let place = Destination::File(folder.path().to_owned());
        for force in [false, true] {
            let told = place.check(force).unwrap_err().to_string();
            assert!(told.contains("is a folder: name a file"), "{told}");
        }
    }

    #[test]
    fn foreign_file_stays_unless_forced() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config");
        for foreign in ["apiVersion: v1", "\u{7f}", "# Written by `adit kubeconfig`"] {
            fs::write(&path, foreign).unwrap();
            let place = Destination::File(path.clone());
            assert!(matches!(place.check(false), Err(PlaceError::Foreign(_))));
            place.check(true).unwrap();
        }
        let gitlabs =
            "clusters: [{ name: gitlab, cluster: {} }]\nusers: [{ name: 'agent:41', user: {} }]";
        fs::write(&path, gitlabs).unwrap();
        let place = Destination::File(path);
        let told = place.check(false).unwrap_err().to_string();
        assert!(told.contains("that GitLab gave this job"), "{told}");
        place.check(true).unwrap();
    }
}
