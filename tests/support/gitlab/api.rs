//! The answer to a request, by what this GitLab holds. Called after faults. Invariant: nothing here waits or calls anybody.

use http::{HeaderName, StatusCode, header};
use serde_json::json;

use super::{
    State,
    call::{Answer, Call},
    endpoint::Endpoint,
    jwt,
};

mod agents;
mod environments;
mod files;
mod git;
mod jobs;
mod users;

/// An answer, or another that comes instead of it.
type Result<T> = std::result::Result<T, Answer>;

pub(super) fn answer(call: &Call, endpoint: Endpoint, state: &State) -> Answer {
    if endpoint.is_internal() && !proves_itself(call, state) {
        return Answer::error(StatusCode::UNAUTHORIZED, "KAS JWT authentication invalid");
    }
    let answer = match endpoint {
        Endpoint::Job => jobs::job(call, state),
        Endpoint::AllowedAgents => jobs::allowed_agents(call, state),
        Endpoint::AgentInfo | Endpoint::OldAgentInfo => agents::agent_info(call, state),
        Endpoint::ProjectInfo => agents::project_info(call, state),
        Endpoint::VerifyProjectAccess => agents::verify_project_access(call, state),
        Endpoint::AgentConfiguration => agents::configuration(call, state),
        Endpoint::AuthorizeProxyUser => users::authorize_proxy_user(call, state),
        Endpoint::UsageMetrics => agents::usage_metrics(call, state),
        Endpoint::AgentEvents => agents::events(call, state),
        Endpoint::RawFile => files::raw(call, state),
        Endpoint::File => files::file(call, state),
        Endpoint::Environments => environments::list(call, state),
        Endpoint::Discovery => Ok(discovery(state)),
        Endpoint::Keys => Ok(keys(state)),
        Endpoint::Git => git::serve(call, state),
        Endpoint::Nowhere => Err(Answer::error(StatusCode::NOT_FOUND, "404 Not Found")),
    };
    let id = state.next_request_id();
    answer
        .unwrap_or_else(|instead| instead)
        .with(HeaderName::from_static("x-request-id"), &id)
}

fn proves_itself(call: &Call, state: &State) -> bool {
    call.header("gitlab-kas-api-request")
        .is_some_and(|jwt| jwt::is_from_agent_server(&state.secret, jwt, state.now()))
}

fn discovery(state: &State) -> Answer {
    let url = state.world.lock().settings.external_url.clone();
    Answer::json(
        StatusCode::OK,
        &json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/oauth/authorize"),
            "token_endpoint": format!("{url}/oauth/token"),
            "jwks_uri": format!("{}/oauth/discovery/keys", state.url),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }),
    )
}

fn keys(state: &State) -> Answer {
    Answer::new(StatusCode::OK, "application/json", state.issuer().jwks()).with(
        header::CACHE_CONTROL,
        "max-age=86400, public, must-revalidate",
    )
}
