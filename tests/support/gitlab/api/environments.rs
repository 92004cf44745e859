//! GitLab's environments API: the list of a project's, read by its own jobs.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Result, jobs};
use crate::gitlab::{
    State,
    call::{Answer, Call},
    world::{Environment, Role, World},
};

pub(super) fn list(call: &Call, state: &State) -> Result<Answer> {
    let world = state.world.lock();
    let job = jobs::of_token(call, &world)?;
    let segments = call.segments();
    // Those of other projects are not let in without more ado.
    let project = world
        .project_named(&segments[4])
        .filter(|project| project.id == job.project)
        .ok_or_else(|| Answer::not_found("Project"))?;
    let role = world.role_in_project(job.user, project.id);
    if role.is_none_or(|role| role < Role::Reporter) {
        return Err(Answer::error(StatusCode::FORBIDDEN, "403 Forbidden"));
    }
    let name = call.parameter("name");
    let listed: Vec<_> = world
        .environments_of(project.id)
        .filter(|environment| name.is_none_or(|name| name == environment.name))
        .map(|environment| described(&world, environment, job.user))
        .collect();
    Ok(Answer::json(StatusCode::OK, &json!(listed)))
}

fn described(world: &World, environment: &Environment, user: u64) -> Value {
    let mut described = json!({
        "id": environment.id,
        "name": environment.name,
        "slug": environment.slug,
        "external_url": null,
        "tier": environment.tier.as_str(),
        "state": "available",
    });
    let agent = environment.agent.map(|id| world.agent_of(id));
    // Who may not see the agent is not told of it.
    let seen = agent.filter(|agent| {
        let role = world.role_in_project(user, agent.project);
        role.is_some_and(|role| role >= Role::Developer)
    });
    if let Some(agent) = seen {
        described["cluster_agent"] = json!({
            "id": agent.id,
            "name": agent.name,
            "config_project": jobs::project_identity(world, agent.project),
            "created_at": "2026-01-01T00:00:00.000Z",
            "created_by_user_id": null,
        });
        described["kubernetes_namespace"] = Value::Null;
        described["flux_resource_path"] = Value::Null;
    }
    described
}
