//! Decides by which token the job is known to the relay: an ID token, else what GitLab gives every job. Invariant: it comes from the
//! environment or a file, never from the command line, and is not in an error.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use secrecy::{ExposeSecret, SecretString};

/// A token, and where it was found.
#[derive(Debug)]
pub(crate) struct JobToken {
    pub(crate) token: SecretString,
    source: Source,
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Variable(&'static str),
}

impl JobToken {
    /// Of the file, else of the first variable that is set.
    pub(crate) fn find(file: Option<PathBuf>) -> Result<Self> {
        Self::among(file, |name| std::env::var(name).ok())
    }

    fn among(file: Option<PathBuf>, variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        if let Some(path) = file {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            return Self::of(&text, Source::File(path));
        }
        for name in [ID_TOKEN, JOB_TOKEN] {
            if let Some(text) = variable(name) {
                return Self::of(&text, Source::Variable(name));
            }
        }
        bail!(
            "no token: in a job of GitLab's there is {JOB_TOKEN}; for a relay that takes ID tokens set `id_tokens: {ID_TOKEN}: aud: <what the relay's config expects>` in the job"
        )
    }

    fn of(text: &str, source: Source) -> Result<Self> {
        let token = SecretString::from(text.trim().to_owned());
        if token.expose_secret().is_empty() {
            bail!("the token of {source} is empty");
        }
        Ok(Self { token, source })
    }
}

/// Where it was found.
impl fmt::Display for JobToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

const ID_TOKEN: &str = "ADIT_ID_TOKEN";
const JOB_TOKEN: &str = "CI_JOB_TOKEN";

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Result<(String, String)> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = JobToken::among(None, variable)?;
        Ok((found.to_string(), found.token.expose_secret().to_owned()))
    }

    #[test]
    fn id_token_comes_before_the_one_that_every_job_has() {
        let both = [("CI_JOB_TOKEN", "a"), ("ADIT_ID_TOKEN", " b\n")];
        assert_eq!(
            found(&both).unwrap(),
            ("ADIT_ID_TOKEN".to_owned(), "b".to_owned())
        );
        let (source, _) = found(&both[..1]).unwrap();
        assert_eq!(source, "CI_JOB_TOKEN");
    }

    #[test]
    fn missing_or_empty_token_is_told() {
        let error = found(&[]).unwrap_err().to_string();
        assert!(error.contains("ADIT_ID_TOKEN"), "{error}");
        // It is a mistake in the pipeline, not a wish for the other.
        let empty = found(&[("ADIT_ID_TOKEN", ""), ("CI_JOB_TOKEN", "a")]);
        let error = empty.unwrap_err().to_string();
        assert_eq!(error, "the token of ADIT_ID_TOKEN is empty");
    }
}
