//! GitLab's answer to `GET /job/allowed_agents`, read and checked: who the job is. Called once for each answer.
//! Invariant: a part that an identity is made of is of the expected form, or the answer is refused and its part named. What
//! is in it is never shown.

use std::num::NonZeroU64;

use adit_identity::{
    Environment, GroupId, JobId, JobIdentity, Label, PipelineId, Project, ProjectId, User, UserId,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    GitLabError,
    granted::{CiUser, Granted, RawAllowed},
};

/// A number above 0, and no text, fraction or exponent.
pub(super) type Id = NonZeroU64;

/// The parts; what else there is, GitLab may add at will.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    allowed_agents: Option<&'a RawValue>,
    #[serde(borrow)]
    job: Option<&'a RawValue>,
    #[serde(borrow)]
    pipeline: Option<&'a RawValue>,
    #[serde(borrow)]
    project: Option<&'a RawValue>,
    #[serde(borrow)]
    user: Option<&'a RawValue>,
    #[serde(borrow)]
    environment: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Numbered {
    id: Id,
}

#[derive(Deserialize)]
struct RawProject {
    id: Id,
    #[serde(default)]
    groups: Vec<Numbered>,
}

#[derive(Deserialize)]
struct RawUser {
    id: Id,
    username: String,
    #[serde(default)]
    roles_in_project: Vec<Box<str>>,
}

#[derive(Deserialize)]
struct RawEnvironment {
    slug: String,
    tier: String,
}

/// The job, and the agents that it may use.
pub(super) fn read(
    body: &[u8],
    issuer: &str,
    ci_user: CiUser,
) -> Result<(JobIdentity, Granted), GitLabError> {
    let parts: Parts<'_> = serde_json::from_slice(body).map_err(|_| bad("body"))?;
    let project: RawProject = part(parts.project, "project")?;
    let user: RawUser = part(parts.user, "user")?;
    let roles = roles(user.roles_in_project)?;
    let job = JobIdentity {
        issuer: issuer.into(),
        job: JobId(part::<Numbered>(parts.job, "job")?.id.get()),
        pipeline: PipelineId(part::<Numbered>(parts.pipeline, "pipeline")?.id.get()),
        source: None,
        groups: project
            .groups
            .iter()
            .map(|group| GroupId(group.id.get()))
            .collect(),
        project: Project {
            id: ProjectId(project.id.get()),
            path: None,
        },
        namespace: None,
        user: User {
            id: UserId(user.id.get()),
            login: login(user.username)?,
        },
        git_ref: None,
        environment: environment(parts.environment)?,
    };
    let entries: Vec<RawAllowed<'_>> = part(parts.allowed_agents, "allowed_agents")?;
    Ok((job, Granted::new(entries, roles, ci_user)))
}

pub(super) fn part<'a, T: Deserialize<'a>>(
    raw: Option<&'a RawValue>,
    name: &'static str,
) -> Result<T, GitLabError> {
    let raw = raw.ok_or_else(|| bad(name))?;
    serde_json::from_str(raw.get()).map_err(|_| bad(name))
}

/// It ends in a header: what a header would change is no name.
pub(super) fn login(name: String) -> Result<Box<str>, GitLabError> {
    let is_odd = |c: char| c.is_control() || c.is_whitespace();
    if name.is_empty() || name.contains(is_odd) {
        return Err(bad("user"));
    }
    Ok(name.into())
}

/// They end in names of groups, after a colon.
pub(super) fn roles(names: Vec<Box<str>>) -> Result<Box<[Box<str>]>, GitLabError> {
    let is_role = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    if names.iter().all(|name| is_role(name)) {
        Ok(names.into())
    } else {
        Err(bad("user"))
    }
}

/// GitLab leaves the part out for a job without environment.
fn environment(raw: Option<&RawValue>) -> Result<Option<Environment>, GitLabError> {
    if raw.is_none() {
        return Ok(None);
    }
    let raw: RawEnvironment = part(raw, "environment")?;
    let slug: Label = raw.slug.parse().map_err(|_| bad("environment"))?;
    let tier = raw.tier.parse().map_err(|_| bad("environment"))?;
    Ok(Some(Environment::with_slug(&slug, tier)))
}

const fn bad(part: &'static str) -> GitLabError {
    GitLabError::BadAnswer(part)
}

#[cfg(test)]
mod tests;
