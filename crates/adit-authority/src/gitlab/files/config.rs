//! How agents' files are read, as a relay's config names it, and the check.

use std::{path::PathBuf, time::Duration};

use adit_identity::mistakes::{Key, Mistakes, Section};
use serde::Deserialize;

/// The section `agent_files` of `authorities.gitlab`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAgentFiles {
    /// What files are read from. `gitaly`: from Gitaly, of which GitLab says where it is when an agent connects with GitLab's token; needs
    /// `api_secret_file`. `api`: by GitLab's repository files API, with `token_file`. `auto`: whatever of the two there is, from Gitaly
    /// first, and by the API where GitLab has not said where Gitaly is or that does not answer. Default: `auto`.
    pub source: Source,
    /// File with a token that may read the repositories of the agents' projects: of a project, a group or a user, with the role Reporter
    /// and the scope `read_repository`. Read again when it changes. Needed without `api_secret_file`.
    pub token_file: Option<PathBuf>,
    /// How often each file is read, up to a fifth earlier by chance; what GitLab's own agent server does.
    pub every: Option<String>,
    /// Whether GitLab's setting "Enable instance level authorization" is on: then grants outside an agent's top-level group count, too.
    /// Default: `false`.
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
