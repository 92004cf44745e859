//! How agents' files are read, as a relay's config names it, and the check.

use std::{path::PathBuf, time::Duration};

use adit_identity::mistakes::{Key, Mistakes, Section};
use serde::Deserialize;

/// The section `agent_files` of `authorities.gitlab`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAgentFiles {
    /// What they are read from. Default: Gitaly where GitLab says where it is, and by the API if there is a token.
    pub source: Source,
    /// File with a token that may read the repositories of the agents' projects: scope `read_repository`, role Reporter. Default: none, and
    /// the API is not asked.
    pub token_file: Option<PathBuf>,
    /// How often each file is read. Default 5m, as GitLab's own agent server does.
    pub every: Option<String>,
    /// Whether GitLab's setting "Enable instance level authorization" is on. Default: no.
    pub instance_authorization: bool,
}

/// What agents' files are read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Whatever there is: Gitaly first.
    #[default]
    Auto,
    /// Gitaly alone.
    Gitaly,
    /// GitLab's repository files API alone.
    Api,
}

/// The checked section. Fields as in [`RawAgentFiles`].
#[derive(Clone, Debug)]
pub struct AgentFilesConfig {
    /// Whether Gitaly is asked.
    pub asks_gitaly: bool,
    /// Where the token is that the API is shown, if it is asked.
    pub token_file: Option<PathBuf>,
    /// How often each file is read.
    pub every: Duration,
    /// Whether other top-level groups can be let in.
    pub has_instance_authorization: bool,
}

impl AgentFilesConfig {
    /// `secret` is where the secret is that GitLab tells its agent server's business by.
    pub(in crate::gitlab) fn check(
        raw: RawAgentFiles,
        secret: Option<&PathBuf>,
        key: &Key,
        mistakes: &mut Mistakes,
    ) -> Self {
        let mut section = Section::at(key.clone(), mistakes);
        let every = section.duration("every", raw.every.as_deref(), EVERY, LEAST..=MOST);
        let has_token = raw.token_file.is_some();
        match raw.source {
            Source::Auto if secret.is_none() && !has_token => section.mistake(
                "token_file",
                "is missing: without api_secret_file there is nothing else to read files with",
            ),
            Source::Gitaly if secret.is_none() => section.mistake(
                "source",
                "needs api_secret_file: GitLab says where Gitaly is only to those who know its secret",
            ),
            Source::Gitaly if has_token => {
                section.mistake("token_file", "is shown to the API, which is not asked");
            }
            Source::Api if !has_token => section.mistake("token_file", "is what the API needs"),
            Source::Auto | Source::Gitaly | Source::Api => {}
        }
        Self {
            asks_gitaly: raw.source != Source::Api && secret.is_some(),
            token_file: raw.token_file,
            every,
            has_instance_authorization: raw.instance_authorization,
        }
    }
}

const EVERY: Duration = Duration::from_mins(5);
/// Less is a burden on GitLab; scenarios are in more of a hurry than anybody.
const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_hours(24);
