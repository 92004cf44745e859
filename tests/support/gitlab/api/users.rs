//! Who a browser's session or a personal access token belongs to, and whether they may reach an agent.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Result, agents::integer};
use crate::gitlab::{
    State,
    call::{Answer, Call},
    world::{Cookie, User, World},
};

pub(super) fn authorize_proxy_user(call: &Call, state: &State) -> Result<Answer> {
    let posted = call.json();
    let agent = integer(&posted, "agent_id")?;
    let kind = text(&posted, "access_type")?;
    let key = text(&posted, "access_key")?;
    let world = state.world.lock();
    let user = match kind {
        "session_cookie" => of_session(&world, key, text(&posted, "csrf_token")?)?,
        "personal_access_token" => of_token(&world, key)?,
        _ => {
            let what = "access_type does not have a valid value";
            return Err(Answer::bad_parameter(what));
        }
    };
    let agent = world
        .find_agent(agent)
        .ok_or_else(|| Answer::error(StatusCode::NOT_FOUND, "404 Not found"))?;
    let access_as = world
        .access_as(user, agent)
        .map_err(|denied| Answer::error(StatusCode::FORBIDDEN, denied.reason()))?;
    let answer = json!({
        "agent": { "id": agent.id, "config_project": { "id": agent.project } },
        "user": { "id": user.id, "username": user.login },
        "access_as": access_as,
    });
    Ok(Answer::json(StatusCode::CREATED, &answer))
}

fn of_session<'a>(world: &'a World, cookie: &str, csrf_token: &str) -> Result<&'a User> {
    match world.read_cookie(cookie) {
        Cookie::Unreadable => Err(bad("Invalid access_key")),
        Cookie::NoSession => Err(unauthorized("Invalid session")),
        Cookie::Session(_, session) if session.csrf_token != csrf_token => {
            Err(unauthorized("CSRF token does not match"))
        }
        Cookie::Session(user, _) if user.is_blocked => Err(unauthorized("Invalid user in session")),
        Cookie::Session(user, _) => Ok(user),
    }
}

fn of_token<'a>(world: &'a World, value: &str) -> Result<&'a User> {
    const SCOPES: [&str; 1] = ["k8s_proxy"];
    let (user, token) = world
        .user_by_token(value)
        .ok_or_else(Answer::unauthorized)?;
    if token.has_scope(&SCOPES) {
        Ok(user)
    } else {
        Err(Answer::insufficient_scope(&SCOPES))
    }
}

fn text<'a>(posted: &'a Value, name: &str) -> Result<&'a str> {
    match posted.get(name) {
        None | Some(Value::Null) => Err(Answer::bad_parameter(&format!("{name} is missing"))),
        Some(Value::String(text)) if text.is_empty() => {
            Err(Answer::bad_parameter(&format!("{name} is empty")))
        }
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Answer::bad_parameter(&format!("{name} is invalid"))),
    }
}

fn bad(reason: &str) -> Answer {
    Answer::error(
        StatusCode::BAD_REQUEST,
        &format!("400 Bad request - {reason}"),
    )
}

fn unauthorized(reason: &str) -> Answer {
    Answer::error(
        StatusCode::UNAUTHORIZED,
        &format!("401 Unauthorized - {reason}"),
    )
}
