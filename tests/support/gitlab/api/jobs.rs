//! What a job may ask about itself.

use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use super::Result;
use crate::gitlab::{
    State,
    allowed::Allowed,
    call::{Answer, Call},
    world::{Job, World},
};

pub(super) fn job(call: &Call, state: &State) -> Result<Answer> {
    let world = state.world.lock();
    let job = of_token(call, &world)?;
    let user = world.user_of(job.user);
    let project = format!(
        "{}/{}",
        world.settings.external_url,
        world.project_path(job.project)
    );
    let answer = json!({
        "id": job.id,
        "status": job.status.word(),
        "stage": "deploy",
        "name": job.name,
        "ref": job.git_ref,
        "tag": job.is_tag,
        "user": { "id": user.id, "username": user.login },
        "pipeline": {
            "id": job.pipeline,
            "project_id": job.project,
            "ref": job.git_ref,
            "web_url": format!("{project}/-/pipelines/{}", job.pipeline),
        },
        "web_url": format!("{project}/-/jobs/{}", job.id),
        "project": { "ci_job_token_scope_enabled": false },
    });
    Ok(Answer::json(StatusCode::OK, &answer))
}

pub(super) fn allowed_agents(call: &Call, state: &State) -> Result<Answer> {
    let world = state.world.lock();
    let job = of_token(call, &world)?;
    let environment = world.job_environment(job);
    let allowed = world
        .allowed(job, environment.map(|stored| stored.name.as_str()))
        .map_err(|_| Answer::failure())?;
    let user = world.user_of(job.user);
    let mut groups = world.project_groups(job.project);
    groups.reverse();
    let roles = world
        .role_in_project(user.id, job.project)
        .map_or_else(Vec::new, |role| role.and_below());
    let agents: Vec<_> = allowed.iter().map(|one| agent(&world, one)).collect();
    let mut answer = json!({
        "allowed_agents": agents,
        "job": { "id": job.id },
        "pipeline": { "id": job.pipeline },
        "project": {
            "id": job.project,
            "groups": groups.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
        },
        "user": { "id": user.id, "username": user.login, "roles_in_project": roles },
    });
    if let Some(environment) = environment {
        answer["environment"] =
            json!({ "slug": environment.slug, "tier": environment.tier.as_str() });
    }
    let flags = HeaderName::from_static("gitlab-feature-flag");
    Ok(Answer::json(StatusCode::OK, &answer).with(flags, "kas_double=true,kas_other=false"))
}

fn agent(world: &World, allowed: &Allowed<'_>) -> Value {
    json!({
        "id": allowed.agent.id,
        "config_project": project_identity(world, allowed.agent.project),
        "configuration": allowed.configuration,
    })
}

/// A project as it is shown beside what belongs to it.
pub(super) fn project_identity(world: &World, id: u64) -> Value {
    let project = world.project_of(id);
    let path = world.project_path(id);
    json!({
        "id": id,
        "description": null,
        "name": project.path,
        "name_with_namespace": path.replace('/', " / "),
        "path": project.path,
        "path_with_namespace": path,
        "created_at": "2026-01-01T00:00:00.000Z",
    })
}

/// The running job that asks.
pub(super) fn of_token<'a>(call: &Call, world: &'a World) -> Result<&'a Job> {
    if let Some(token) = job_token(call) {
        let job = world.job_by_token(&token);
        let job = job.ok_or_else(Answer::unauthorized)?;
        if world.user_of(job.user).is_blocked {
            let message = "403 Forbidden - Your account has been blocked.";
            return Err(Answer::error(StatusCode::FORBIDDEN, message));
        }
        return Ok(job);
    }
    // Somebody else, who is welcome but has no job.
    let known = call.personal_token();
    match known.and_then(|token| world.user_by_token(token)) {
        Some(_) => Err(Answer::not_found("Job")),
        None => Err(Answer::unauthorized()),
    }
}

fn job_token(call: &Call) -> Option<String> {
    call.header("job-token")
        .or_else(|| call.parameter("job_token"))
        .map(str::to_owned)
        .or_else(|| {
            let (name, password) = call.basic()?;
            (name == "gitlab-ci-token").then_some(password)
        })
}
