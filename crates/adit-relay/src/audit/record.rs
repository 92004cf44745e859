//! The fields of a record, in the order in which they stand there; `docs/audit.md` explains each.
//! Invariant: of a request's target nothing after `?` is written, and of its headers nothing but names to impersonate.

use adit_authority::{Caller, Permit, Who};
use adit_identity::{
    ActAs, AgentId, Impersonation, JobIdentity, UserIdentity,
    operation::{Object as Subject, Operation},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::json::Object;

/// What a request asks for.
pub(super) fn operation(record: &mut Object<'_>, method: &str, operation: &Operation<'_>) {
    record.object("operation", |fields| {
        fields.text("method", method);
        fields.text("verb", operation.verb.as_str());
        match &operation.object {
            Subject::Path(path) => fields.text("path", path),
            Subject::Resource(resource) => {
                fields.some_text("group", resource.group);
                fields.text("version", resource.version);
                fields.text("resource", resource.resource);
                fields.some_text("subresource", resource.subresource);
                fields.some_text("namespace", resource.namespace);
                fields.some_text("name", &resource.name);
            }
        }
        fields.text("kind", operation.kind.as_str());
    });
}

/// What a request asks for that goes to no API server.
pub(super) fn path(record: &mut Object<'_>, method: &str, path: &str) {
    record.object("operation", |fields| {
        fields.text("method", method);
        fields.text("path", path);
    });
}

/// Who asks, for an agent that it was not let to.
pub(super) fn caller(record: &mut Object<'_>, caller: &Caller, agent: Option<AgentId>) {
    who(record, caller.who());
    if let Some(agent) = agent {
        record.object("agent", |fields| fields.number("id", agent.0));
    }
}

/// Who asks, where, and as whom.
pub(super) fn permit(record: &mut Object<'_>, permit: &Permit) {
    who(record, permit.who());
    record.object("agent", |fields| {
        fields.number("id", permit.agent().0);
        fields.text("name", permit.context());
    });
    if let ActAs::Impersonate(user) = permit.act_as() {
        record.object("act_as", |fields| impersonation(fields, user));
    }
}

/// As whom a caller acts that may act as the agent itself: as the agent, or as those it names (`kubectl --as`).
pub(super) fn agent_itself(record: &mut Object<'_>, headers: &HeaderMap) {
    record.object("act_as", |fields| {
        fields.boolean("agent", true);
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        if let Some(user) = headers.get(USER) {
            fields.text("user", &text(user));
        }
        let groups: Vec<_> = headers.get_all(GROUP).iter().map(text).collect();
        if !groups.is_empty() {
            fields.texts("groups", groups.iter().map(String::as_str));
        }
    });
}

/// What a connection becomes, as the head of the 101 has it, and what is spoken over that.
pub(super) fn upgrade(record: &mut Object<'_>, headers: &HeaderMap) {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let spoken = [header::SEC_WEBSOCKET_PROTOCOL, STREAMS];
    record.object("upgrade", |fields| {
        fields.some_text("to", text(header::UPGRADE).unwrap_or_default());
        fields.some_text(
            "protocol",
            spoken.into_iter().find_map(text).unwrap_or_default(),
        );
    });
}

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
/// SPDY's word for what a WebSocket calls its protocol.
const STREAMS: HeaderName = HeaderName::from_static("x-stream-protocol-version");

fn who(record: &mut Object<'_>, who: &Who) {
    match who {
        Who::Job(of) => job(record, of),
        Who::User(of) => user(record, of),
    }
}

fn user(record: &mut Object<'_>, user: &UserIdentity) {
    record.object("user", |fields| {
        fields.text("authority", &user.issuer);
        fields.number("id", user.user.id.0);
        fields.text("login", &user.user.login);
        fields.text("access_type", user.access_type.as_str());
    });
}

fn job(record: &mut Object<'_>, job: &JobIdentity) {
    record.object("job", |fields| {
        fields.text("authority", &job.issuer);
        fields.number("id", job.job.0);
        fields.number("pipeline", job.pipeline.0);
        fields.number("project", job.project.id.0);
        if let Some(path) = &job.project.path {
            fields.text("project_path", path.as_str());
        }
        fields.number("user", job.user.id.0);
        fields.text("login", &job.user.login);
        if let Some(environment) = &job.environment {
            fields.text(
                "environment",
                environment.name().unwrap_or_else(|| environment.slug()),
            );
        }
    });
}

fn impersonation(fields: &mut Object<'_>, user: &Impersonation) {
    fields.text("user", user.user());
    fields.texts("groups", user.groups().iter().map(String::as_str));
}
