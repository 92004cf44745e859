//! How agents' files are read, as a relay's config names it, and the check.

use std::{path::PathBuf, time::Duration};

use adit_identity::mistakes::{Key, Mistakes, Section};
use serde::Deserialize;

/// The section `agent_files` of `authorities.gitlab`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAgentFiles {
    /// File with a token that may read the repositories of the agents' projects: scope `read_repository`, role Reporter.
    pub token_file: PathBuf,
    /// How often each file is read. Default 5m, as GitLab's own agent server does.
    pub every: Option<String>,
    /// Whether GitLab's setting "Enable instance level authorization" is on. Default: no.
    #[serde(default)]
    pub instance_authorization: bool,
}

/// The checked section. Fields as in [`RawAgentFiles`].
#[derive(Clone, Debug)]
pub struct AgentFilesConfig {
    /// Where the token is.
    pub token_file: PathBuf,
    /// How often each file is read.
    pub every: Duration,
    /// Whether other top-level groups can be let in.
    pub has_instance_authorization: bool,
}

impl AgentFilesConfig {
    pub(in crate::gitlab) fn check(raw: RawAgentFiles, key: &Key, mistakes: &mut Mistakes) -> Self {
        let mut section = Section::at(key.clone(), mistakes);
        let every = section.duration("every", raw.every.as_deref(), EVERY, LEAST..=MOST);
        Self {
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
