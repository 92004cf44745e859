//! Ids that nobody can know beforehand. The rules want numbers, so each unknown id is one that GitLab, whose ids end at 2^63, does not
//! give; what is printed says instead what it is the id of.

use adit_identity::{
    AgentId, FullPath, GroupId, JobId, JobIdentity, PipelineId, ProjectId, UserId,
};

pub(super) const AGENT: AgentId = AgentId(u64::MAX);
pub(super) const CONFIG_PROJECT: ProjectId = ProjectId(u64::MAX - 1);
pub(super) const PROJECT: ProjectId = ProjectId(u64::MAX - 2);
pub(super) const PIPELINE: PipelineId = PipelineId(u64::MAX - 3);
pub(super) const JOB: JobId = JobId(u64::MAX - 4);
pub(super) const USER: UserId = UserId(u64::MAX - 5);
pub(super) const LOGIN: &str = "<username>";

/// Of the groups that a project is in, outermost first.
pub(super) fn groups(project: &FullPath) -> Vec<GroupId> {
    let ids = (0..).map(|at| GroupId(OUTERMOST_GROUP - at));
    ids.take(project.ancestors().count()).collect()
}

/// The text with names in place of these ids.
pub(super) fn named(text: &str, job: &JobIdentity) -> String {
    let mut names = vec![
        (AGENT.0, "<agent id>".to_owned()),
        (CONFIG_PROJECT.0, "<config project id>".to_owned()),
        (PROJECT.0, "<project id>".to_owned()),
        (PIPELINE.0, "<pipeline id>".to_owned()),
        (JOB.0, "<job id>".to_owned()),
    ];
    if let Some(project) = &job.project.path {
        let outermost_first = job.groups.iter().rev();
        let groups = outermost_first.zip(project.ancestors());
        names.extend(groups.map(|(id, path)| (id.0, format!("<id of {path}>"))));
    }
    names.iter().fold(text.to_owned(), |text, (id, name)| {
        text.replace(&id.to_string(), name)
    })
}

const OUTERMOST_GROUP: u64 = u64::MAX - 6;
