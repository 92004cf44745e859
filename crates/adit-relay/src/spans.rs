//! Decides what a trace tells of a request at the relay: what is asked for, by which job, at which agent. `handle.rs` begins it, the
//! entry of the audit log holds it and tells how it ended. Invariant: a name has few values, and nothing is told that is not in the
//! audit log, too.

use adit_authority::{Caller, Who};
use adit_identity::operation::{self, Object};
use adit_otlp::Traces;
use http::Request;

use crate::{audit::Entry, call::Call, target::Target};

/// Begins the span of a request whose caller is known since this moment, if it is to be traced.
pub(crate) fn begin<B>(
    traces: &Traces,
    request: &Request<B>,
    target: &Target,
    caller: &Caller,
    call: &Call<'_>,
    entry: &mut Entry,
) {
    let sent_on = target.for_api_server();
    let asked = operation::Target::new(&sent_on);
    let operation = asked.operation(request.method().as_str());
    let begun = traces.request(request.headers(), call.began, || operation.to_string());
    let Some(mut span) = begun else { return };
    span.tell("http.request.method", request.method().as_str().to_owned());
    span.tell("adit.request.id", call.id.as_str().to_owned());
    if let Object::Resource(resource) = &operation.object
        && !resource.namespace.is_empty()
    {
        span.tell("k8s.namespace.name", resource.namespace.to_owned());
    }
    if let Who::Job(job) = caller.who() {
        // Their names are those of https://opentelemetry.io/docs/specs/semconv/registry/attributes/cicd/.
        span.tell("cicd.pipeline.run.id", job.pipeline.0.to_string());
        span.tell("cicd.pipeline.task.run.id", job.job.0.to_string());
    }
    span.enter_since("authenticate", call.began);
    span.leave();
    entry.traced(span);
}
