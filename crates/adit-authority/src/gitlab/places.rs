//! Where a job is that GitLab vouches for: the path of its project, which entries of agents' files go by, and its ref. GitLab's answer
//! about its agents says neither; `GET /job` says both, to the job's own token. Asked only when a job is to be told why it is kept out.
//! Invariant: an answer is about one job's token; nothing runs by it, so there is nothing to end.

use std::future::Future;

use adit_identity::FullPath;
use http::Uri;
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    GitLabError, Question,
    answer::Id,
    book::Proof,
    jobs::{self, JOB},
    line::{Answer, Asker, Snag},
    vouch::Kind,
};
use crate::{Ended, tag::TokenTag};

/// The kind.
#[derive(Debug)]
pub(super) struct Places {
    /// The path of a relative installation, or nothing.
    root: Box<str>,
}

/// Where a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPlace {
    pub(crate) project: FullPath,
    pub(crate) git_ref: Box<str>,
}

/// What of the answer is read.
#[derive(Deserialize)]
struct RawJob {
    id: Id,
    #[serde(rename = "ref")]
    git_ref: String,
    /// `https://gitlab.example.com/group/app/-/jobs/9001`
    web_url: String,
}

impl JobPlace {
    /// The path of the job's project.
    #[must_use]
    pub fn project(&self) -> &FullPath {
        &self.project
    }
}

impl Proof for JobPlace {
    /// So that GitLab is asked when a job is kept out, and not on a schedule.
    fn is_held(&self) -> bool {
        false
    }
}

impl Places {
    /// Of the instance with this URL.
    pub(super) fn new(url: &str) -> Self {
        let url = url.parse::<Uri>().ok();
        let root = url.as_ref().map_or("", Uri::path).trim_end_matches('/');
        Self { root: root.into() }
    }

    /// The path that the page of a job stands below.
    fn project(&self, raw: &RawJob) -> Option<FullPath> {
        let page: Uri = raw.web_url.parse().ok()?;
        let page = page.path().strip_prefix(&*self.root)?;
        let (project, job) = page.strip_prefix('/')?.split_once("/-/jobs/")?;
        project.parse().ok().filter(|_| *job == raw.id.to_string())
    }
}

impl Kind for Places {
    type Said = JobPlace;
    type Proof = JobPlace;

    const QUESTION: Question = Question::Place;

    fn ask(
        &self,
        asker: &Asker<'_>,
        token: &SecretString,
    ) -> impl Future<Output = Result<Answer, Snag>> + Send {
        let asker = *asker;
        let request = jobs::request(JOB, token);
        async move { asker.ask(request).await }
    }

    fn read(&self, _: &SecretString, body: &[u8]) -> Result<JobPlace, GitLabError> {
        let raw: RawJob =
            serde_json::from_slice(body).map_err(|_| GitLabError::BadAnswer("job"))?;
        let project = self.project(&raw);
        Ok(JobPlace {
            project: project.ok_or(GitLabError::BadAnswer("web_url"))?,
            git_ref: raw.git_ref.into(),
        })
    }

    fn first(&self, _: TokenTag, said: JobPlace) -> JobPlace {
        said
    }

    fn next(&self, old: &JobPlace, said: JobPlace) -> Option<JobPlace> {
        (*old != said).then_some(said)
    }

    fn changed(&self, _: &JobPlace, _: &JobPlace) {}

    fn end(&self, _: &JobPlace, _: Ended) {}

    fn has_ended(&self, _: &JobPlace) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(url: &str, web_url: &str) -> Result<JobPlace, GitLabError> {
        let answer = json!({ "id": 9001, "ref": "main", "tag": false, "web_url": web_url });
        let token = SecretString::from("glcbt-64_opaque");
        Places::new(url).read(&token, answer.to_string().as_bytes())
    }

    #[test]
    fn project_is_where_the_page_of_the_job_stands() {
        let (plain, relative) = ("https://gitlab.test", "http://10.0.0.7:8080/git/");
        let cases = [
            (plain, "https://gitlab.test/group/app/-/jobs/9001"),
            // The address within is another than that without; the path is the same.
            (relative, "https://example.com/git/group/app/-/jobs/9001"),
        ];
        for (url, web_url) in cases {
            let place = place(url, web_url).unwrap();
            assert_eq!(place.project().as_str(), "group/app", "{web_url}");
            assert_eq!(&*place.git_ref, "main");
        }
        let nowhere = [
            (plain, "https://gitlab.test/group/app/-/jobs/9002"),
            (plain, "https://gitlab.test/group/app/jobs/9001"),
            (plain, "https://gitlab.test/-/jobs/9001"),
            (plain, "group/app/-/jobs/9001"),
            (relative, "https://example.com/group/app/-/jobs/9001"),
        ];
        for (url, web_url) in nowhere {
            let refused = place(url, web_url);
            assert_eq!(refused, Err(GitLabError::BadAnswer("web_url")), "{web_url}");
        }
    }
}
