//! What the agent server asks and tells about agents.

use http::StatusCode;
use serde_json::{Value, json};

use super::Result;
use crate::gitlab::{
    State,
    call::{Answer, Call},
    gitaly::STORAGE,
    world::{Visibility, World},
};

pub(super) fn agent_info(call: &Call, state: &State) -> Result<Answer> {
    let mut world = state.world.lock();
    let agent = of_token(call, &mut world)?;
    let answer = json!({
        "project_id": agent.project,
        "agent_id": agent.id,
        "agent_name": agent.name,
    });
    Ok(with_repository(answer, agent.project, &world, state))
}

pub(super) fn project_info(call: &Call, state: &State) -> Result<Answer> {
    let mut world = state.world.lock();
    let project = readable(call, &mut world)?;
    Ok(with_repository(
        json!({ "project_id": project }),
        project,
        &world,
        state,
    ))
}

pub(super) fn verify_project_access(call: &Call, state: &State) -> Result<Answer> {
    readable(call, &mut state.world.lock())?;
    Ok(Answer::no_content())
}

pub(super) fn configuration(call: &Call, state: &State) -> Result<Answer> {
    let posted = call.json();
    let agent = integer(&posted, "agent_id")?;
    let configuration = &posted["agent_config"];
    if configuration.is_null() {
        return Err(Answer::bad_parameter("agent_config is missing"));
    }
    // As text in JSON, too.
    let from_text = configuration.as_str().map(serde_json::from_str);
    let from_text = from_text
        .transpose()
        .map_err(|_| Answer::bad_parameter("agent_config is invalid"))?;
    let configuration = from_text.unwrap_or_else(|| configuration.clone());
    let mut world = state.world.lock();
    if world.find_agent(agent).is_none() {
        return Err(Answer::error(StatusCode::NOT_FOUND, "404 Not found"));
    }
    world
        .configure(agent, &configuration)
        .map_err(|_| Answer::failure())?;
    Ok(Answer::no_content())
}

pub(super) fn usage_metrics(call: &Call, state: &State) -> Result<Answer> {
    let posted = call.json();
    for (name, count) in members(&posted["counters"]) {
        let count = as_integer(count);
        let count =
            count.ok_or_else(|| Answer::bad_parameter(&format!("counters[{name}] is invalid")))?;
        if count < 0 {
            return Err(Answer::error(
                StatusCode::BAD_REQUEST,
                &format!("400 Bad request - unprocessable value for {name}"),
            ));
        }
    }
    for (name, ids) in members(&posted["unique_counters"]) {
        let is_list = ids
            .as_array()
            .is_some_and(|ids| ids.iter().all(|id| as_integer(id).is_some()));
        if !is_list {
            let what = format!("unique_counters[{name}] is invalid");
            return Err(Answer::bad_parameter(&what));
        }
    }
    state.world.lock().telemetry.push(posted);
    Ok(Answer::no_content())
}

pub(super) fn events(call: &Call, state: &State) -> Result<Answer> {
    let posted = call.json();
    if let Some((name, _)) = members(&posted["events"]).find(|(_, list)| !list.is_array()) {
        return Err(Answer::bad_parameter(&format!("events[{name}] is invalid")));
    }
    state.world.lock().telemetry.push(posted);
    Ok(Answer::no_content())
}

/// The agent whose active token was sent along, in one of two headers.
fn of_token<'a>(call: &Call, world: &'a mut World) -> Result<&'a crate::gitlab::Agent> {
    call.bearer()
        .or_else(|| call.header("gitlab-agentk-api-request"))
        .and_then(|token| world.agent_by_token(token))
        .ok_or_else(Answer::unauthorized)
}

/// The project that is asked about, when the agent may read it: its own, or one that anybody may.
fn readable(call: &Call, world: &mut World) -> Result<u64> {
    let own = of_token(call, world)?.project;
    call.parameter("id")
        .and_then(|id| world.project_named(id))
        .filter(|project| project.id == own || project.visibility == Visibility::Public)
        .map(|project| project.id)
        .ok_or_else(|| Answer::not_found(""))
}

fn with_repository(mut answer: Value, project: u64, world: &World, state: &State) -> Answer {
    answer["gitaly_info"] = json!({
        "address": state.gitaly.address,
        "token": state.gitaly.token,
        "features": state.gitaly.features,
    });
    answer["gitaly_repository"] = json!({
        "storage_name": STORAGE,
        "relative_path": world.relative_path(project),
        "git_object_directory": "",
        "git_alternate_object_directories": [],
        "gl_repository": world.gl_repository(project),
        "gl_project_path": world.project_path(project),
    });
    answer["default_branch"] = json!(world.project_of(project).default_branch);
    Answer::json(StatusCode::OK, &answer)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A required parameter that is an id: a number, or one as text, as protobuf writes 64 bits in JSON.
pub(super) fn integer(posted: &Value, name: &str) -> Result<u64> {
    if posted.get(name).is_none_or(Value::is_null) {
        return Err(Answer::bad_parameter(&format!("{name} is missing")));
    }
    as_integer(&posted[name])
        .map(|id| u64::try_from(id).unwrap_or(0))
        .ok_or_else(|| Answer::bad_parameter(&format!("{name} is invalid")))
}

fn as_integer(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}
