//! Decides by which token the job is known to the relay: an ID token, else what GitLab gives every job. Invariant: it comes from the
//! environment or a file, never from the command line, and is not in an error.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use adit_authority::token::{GITLAB_PREFIX, PREFIX};
use adit_authority::{CredentialError, Token};
use secrecy::{ExposeSecret, SecretString};

/// A token, and where it was found.
#[derive(Debug)]
pub(crate) struct JobToken {
    pub(crate) token: SecretString,
    source: Source,
}

/// Where a token can be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    Variable(&'static str),
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoToken {
    #[error("no token: neither {ID_TOKEN} nor {JOB_TOKEN} is set")]
    Unset,
    #[error("the token of {0} is empty")]
    Empty(Source),
    #[error("the token of {0} holds a character that no token has")]
    Character(Source),
    #[error("the token of {0} is an agent's, by which no job is known")]
    Agents(Source),
    #[error("cannot read {}", path.display())]
    Unread { path: PathBuf, source: io::Error },
}

impl NoToken {
    /// What to do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Unset => {
                "run it in a job of GitLab's, which has CI_JOB_TOKEN; for a relay that takes ID tokens declare `id_tokens: ADIT_ID_TOKEN: aud: <what the relay's config expects>` in the job"
            }
            Self::Empty(Source::Variable(JOB_TOKEN)) => {
                "GitLab sets it in each job: see whether the job, or a variable of the project, sets it to something else, and whether it is handed on into the container or the shell that this runs in"
            }
            Self::Empty(Source::Variable(_)) => {
                "declare it under `id_tokens:` of this job, with the relay's audience, and under no other keyword; or take it away for CI_JOB_TOKEN to count"
            }
            Self::Character(_) => {
                "set it to the token alone: `$CI_JOB_TOKEN` is a variable that nobody has expanded, and `[MASKED]` what a job's log shows in a token's place"
            }
            Self::Agents(_) => {
                "declare `id_tokens: ADIT_ID_TOKEN: aud: <what the relay's config expects>` in the job, or take it away for CI_JOB_TOKEN to count; keep the agent's token out of CI, as whoever has it can pass for the agent"
            }
            Self::Empty(Source::File(_)) | Self::Unread { .. } => {
                "check --id-token-file (ADIT_ID_TOKEN_FILE), and that the job has written the token there"
            }
        }
    }
}

impl JobToken {
    /// Of the file, else of the first variable that is set.
    pub(crate) fn find(file: Option<PathBuf>) -> Result<Self, NoToken> {
        Self::among(file, |name| std::env::var(name).ok())
    }

    /// Refuses an agent's, of which the doctor tells by a check of its own.
    pub(crate) fn not_an_agents(self) -> Result<Self, NoToken> {
        let token = self.token.expose_secret();
        if [PREFIX, GITLAB_PREFIX]
            .iter()
            .any(|of| token.starts_with(of))
        {
            return Err(NoToken::Agents(self.source));
        }
        Ok(self)
    }

    fn among(
        file: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, NoToken> {
        if let Some(path) = file {
            return match fs::read_to_string(&path) {
                Ok(text) => Self::of(&text, Source::File(path)),
                Err(source) => Err(NoToken::Unread { path, source }),
            };
        }
        for name in [ID_TOKEN, JOB_TOKEN] {
            if let Some(text) = variable(name) {
                return Self::of(&text, Source::Variable(name));
            }
        }
        Err(NoToken::Unset)
    }

    fn of(text: &str, source: Source) -> Result<Self, NoToken> {
        match Token::parse(text.trim()) {
            Ok(token) => Ok(Self {
                token: SecretString::from(token.expose()),
                source,
            }),
            Err(CredentialError::Empty) => Err(NoToken::Empty(source)),
            Err(_) => Err(NoToken::Character(source)),
        }
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

    fn found(variables: &[(&str, &str)]) -> Result<(String, String), NoToken> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = JobToken::among(None, variable)?.not_an_agents()?;
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
    fn what_is_no_token_is_told_with_what_to_do() {
        // The first is a mistake in the pipeline, not a wish for the other.
        let id_token = [("ADIT_ID_TOKEN", ""), ("CI_JOB_TOKEN", "a")];
        let job_token = [("CI_JOB_TOKEN", "\n")];
        let named = [("CI_JOB_TOKEN", "$CI_JOB_TOKEN")];
        let agents = [("ADIT_ID_TOKEN", "adit-agent-abc")];
        let cases: [(&[_], _, _); 5] = [
            (&[], "neither ADIT_ID_TOKEN nor CI_JOB_TOKEN", "in a job"),
            (&id_token, "of ADIT_ID_TOKEN is empty", "`id_tokens:`"),
            (&job_token, "of CI_JOB_TOKEN is empty", "in each job"),
            (&agents, "of ADIT_ID_TOKEN is an agent's", "`id_tokens:"),
            (&named, "of CI_JOB_TOKEN holds a character", "expanded"),
        ];
        for (variables, what, advice) in cases {
            let error = found(variables).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert!(error.advice().contains(advice), "{}", error.advice());
        }
    }
}
