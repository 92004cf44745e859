//! Hands a file to GitLab, as its agent server does it, but whether or not the agent is connected.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use serde_json::json;

use super::{AgentFilesWork, rest, seen::Seen, watched::Watched};
use crate::gitlab::{
    ApiSecret,
    line::{Said, Snag},
};

const TARGET: &str = "/api/v4/internal/kubernetes/agent_configuration";

impl AgentFilesWork {
    /// Hands over what GitLab has not, if there is something.
    pub(super) async fn post(&self, agent: &Watched, secret: &Arc<ApiSecret>) -> Result<(), Snag> {
        let due = self.files.of(agent.id, |seen| seen.due());
        let Some(configuration) = due else {
            return Ok(());
        };
        let body = json!({ "agent_id": agent.id.0, "agent_config": configuration });
        let request = Request::post(TARGET).header(CONTENT_TYPE, "application/json");
        let request = request
            .body(Bytes::from(body.to_string()))
            .expect("a constant target");
        let asker = self.asker().await;
        let answer = secret.ask(&asker, request).await?;
        match answer.said {
            Said::Yes(_) => tracing::info!(
                agent.id = %agent.id, agent.name = %agent.name,
                "GitLab has been handed an agent's file"
            ),
            Said::No(status, _) => tracing::warn!(
                agent.id = %agent.id, agent.name = %agent.name, http.status = status.as_u16(),
                "GitLab does not take an agent's file: it has no agent with this id, which must be GitLab's where the agent stands in this relay's configuration"
            ),
        }
        // A refusal stays one, however often it is asked for.
        self.files.of(agent.id, Seen::forget_what_is_due);
        rest(answer.rest).await;
        Ok(())
    }
}
