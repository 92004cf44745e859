//! A file from Gitaly, as GitLab's own agent server reads it: of the commit that the default branch is at, and only when that is another
//! one than before.

use std::sync::Arc;

use super::{AgentFilesWork, Found, Misnamed, watched::Watched};
use crate::gitlab::gitaly::{Gitaly, GitalyError, Repository};

impl AgentFilesWork {
    /// Reads it, if Gitaly is a source here and GitLab has said where it is. None too if Gitaly does not answer, which is told.
    pub(super) async fn find_in_gitaly(&self, agent: &Watched) -> Option<Found> {
        let gitaly = self.sources.gitaly.as_ref()?;
        let found = match agent.repository.as_ref()? {
            Ok(repository) => self.ask_gitaly(gitaly, agent, repository).await,
            Err(bad) => Err(GitalyError::BadAddress(*bad)),
        };
        let error = found.as_ref().err();
        self.files
            .of(agent.id, |seen| seen.note_gitaly(agent, error));
        found.ok()
    }

    async fn ask_gitaly(
        &self,
        gitaly: &Gitaly,
        agent: &Watched,
        repository: &Arc<Repository>,
    ) -> Result<Found, GitalyError> {
        let Some(commit) = gitaly.head(repository).await? else {
            return Ok(Found::Absent(Misnamed::IsNot, None));
        };
        if self.files.of(agent.id, |seen| seen.is_of(&commit)) {
            return Ok(Found::Same);
        }
        match gitaly.file(repository, &commit, &agent.file).await {
            Ok(Some(text)) => Ok(Found::File(text, Some(commit))),
            Ok(None) => {
                let folder = agent.folder();
                let there = gitaly.files_below(repository, commit.as_str(), folder);
                let misnamed = Misnamed::among(&there.await?, folder);
                Ok(Found::Absent(misnamed, Some(commit)))
            }
            Err(unfit @ (GitalyError::TooLarge | GitalyError::NotAFile)) => {
                Ok(Found::Unfit(unfit.to_string(), commit))
            }
            Err(error) => Err(error),
        }
    }
}

impl Misnamed {
    fn among(paths: &[Box<str>], folder: &str) -> Self {
        let is_one = |path: &str| path.strip_prefix(folder) == Some("/config.yml");
        if paths.iter().any(|path| is_one(path)) {
            Self::Is
        } else {
            Self::IsNot
        }
    }
}
