//! What GitLab tells: somebody has pushed to a project. It waits for the answer, and tells once.

use adit_identity::{FullPath, ProjectId};
use adit_proto::gitlab::notifications::rpc::{
    GitPushEventRequest, GitPushEventResponse, notifications_server::Notifications,
};
use tonic::{Request, Response, Status};

use super::Calls;
use crate::gitlab::Push;

#[tonic::async_trait]
impl Notifications for Calls {
    async fn git_push_event(
        &self,
        request: Request<GitPushEventRequest>,
    ) -> Result<Response<GitPushEventResponse>, Status> {
        let push = push(request.into_inner()).map_err(Status::invalid_argument)?;
        tracing::debug!(project = %push.path, project.id = %push.project, "GitLab tells of a push");
        self.pushes.tell(push);
        Ok(Response::new(GitPushEventResponse {}))
    }
}

fn push(request: GitPushEventRequest) -> Result<Push, &'static str> {
    let event = request.event.ok_or("event is missing")?;
    let project = event.project.ok_or("event.project is missing")?;
    let id = u64::try_from(project.id).ok().filter(|id| *id > 0);
    let path = project.full_path.parse::<FullPath>();
    Ok(Push {
        project: ProjectId(id.ok_or("event.project.id is not above 0")?),
        path: path.map_err(|_| "event.project.full_path is no project's path")?,
    })
}

#[cfg(test)]
mod tests {
    use adit_proto::gitlab::event::{GitPushEvent, Project};

    use super::*;

    fn told(id: i64, path: &str) -> Result<Push, &'static str> {
        let project = Some(Project {
            id,
            full_path: path.to_owned(),
        });
        let event = Some(GitPushEvent { project });
        push(GitPushEventRequest { event })
    }

    #[test]
    fn a_push_names_its_project() {
        let push = told(150, "group/sub/app").unwrap();
        assert_eq!(push.project, ProjectId(150));
        assert_eq!(push.path.as_str(), "group/sub/app");
    }

    #[test]
    fn what_lacks_a_field_names_it() {
        let without = |event| push(GitPushEventRequest { event }).unwrap_err();
        assert_eq!(without(None), "event is missing");
        let no_project = Some(GitPushEvent { project: None });
        assert_eq!(without(no_project), "event.project is missing");
        for id in [0, -1] {
            let why = told(id, "group/app").unwrap_err();
            assert_eq!(why, "event.project.id is not above 0");
        }
        for path in ["", "/", "group/../app"] {
            let why = told(1, path).unwrap_err();
            assert_eq!(
                why, "event.project.full_path is no project's path",
                "{path}"
            );
        }
    }
}
