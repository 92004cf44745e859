//! A file by GitLab's repository files API: of the default branch, with a token that may read it.

use bytes::Bytes;
use http::{HeaderName, Request, StatusCode};

use super::{AgentFilesWork, Found, Misnamed, ReadToken, rest, watched::Watched};
use crate::{
    Agent,
    gitlab::{
        AskError, AskGitLab,
        line::{Said, Snag},
    },
};

const TOKEN: HeaderName = HeaderName::from_static("private-token");
/// In GitLab's 404, when it has let us look: no such file, and nothing in the repository at all. Otherwise it does not know the project,
/// or us.
const NO_FILE: [&[u8]; 2] = [b"404 File Not Found", b"404 Commit Not Found"];

impl AgentFilesWork {
    /// Reads it, whatever was read before: the API does not say which commit it is of.
    pub(super) async fn find_by_api(
        &self,
        agent: &Watched,
        token: &ReadToken,
    ) -> Result<Found, Snag> {
        let answer = self.asker().await.ask(request(agent, token)).await?;
        let found = match answer.said {
            Said::Yes(text) => Found::File(text, None),
            Said::No(StatusCode::NOT_FOUND, words) if says_no_file(&words) => {
                Found::Absent(Misnamed::IsNot, None)
            }
            Said::No(status, _) => Found::Refused(status),
        };
        rest(answer.rest).await;
        Ok(found)
    }
}

impl ReadToken {
    /// Asks GitLab for the file of an agent that is configured as GitLab's: the status if it does not let us look for one.
    ///
    /// # Errors
    ///
    /// GitLab does not answer.
    pub async fn try_out(
        &self,
        agent: &Agent,
        gitlab: &dyn AskGitLab,
    ) -> Result<Option<StatusCode>, AskError> {
        let answer = gitlab
            .ask(request(&Watched::configured(agent), self))
            .await?;
        let status = answer.status();
        let lets_look = status == StatusCode::OK
            || (status == StatusCode::NOT_FOUND && says_no_file(answer.body()));
        Ok((!lets_look).then_some(status))
    }
}

fn request(agent: &Watched, token: &ReadToken) -> Request<Bytes> {
    let request = Request::get(&*agent.target).header(TOKEN, token.shown());
    let request = request.body(Bytes::new());
    request.expect("paths and labels have no character that a target has not")
}

fn says_no_file(words: &[u8]) -> bool {
    NO_FILE
        .iter()
        .any(|said| words.windows(said.len()).any(|window| window == *said))
}
