//! Every reason with what it means and what to do. The operators' page says it, and the last column of the table in `docs/errors.md` is
//! written from here, which is why it is Markdown. Invariant: a reason, once published, keeps its name and its meaning.

/// Why the relay answered itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// As in answers, logs and metrics.
    pub name: &'static str,
    /// What it means, and what to do: Markdown, whose links go from `docs/`.
    pub meaning: &'static str,
}

/// All of them, in the order of the table in `docs/errors.md`: each is a metric's label before its first refusal. A test compares them with
/// those that refusals have.
pub const REASONS: [Reason; 69] = [
    reason(
        "unknown_path",
        "The path is none of the relay's. The server in the kubeconfig must end in `/k8s-proxy`.",
    ),
    reason(
        "bad_path",
        "A segment `.` or `..` (also encoded), or no number after `/k8s-proxy/agents/`. The relay neither decodes nor repairs paths.",
    ),
    reason(
        "bad_method",
        "CONNECT, or something other than GET, or POST for `/webhooks/gitlab`, on a route of the relay's own.",
    ),
    reason(
        "bad_websocket",
        "A request to `/adit/v1/tunnel`, also behind a prefix, that is not an agent's: no WebSocket over HTTP/1.1, another subprotocol than `adit-tunnel`, or a browser's. What stands before the relay may have dropped `Upgrade` and `Connection`: [networks](networks.md).",
    ),
    reason(
        "bad_request",
        "The request carries what must not reach the cluster: `Impersonate-*`, a token in `Sec-WebSocket-Protocol`, a `Connection` that lists identity headers, an upgrade with a body.",
    ),
    reason(
        "head_too_large",
        "Method, path and header fields together are past `limits.head_size`, or there are too many fields.",
    ),
    reason(
        "no_agent_named",
        "A bare token at a path without an agent. Use `ci:<agent id>:<token>` or `/k8s-proxy/agents/<agent id>/`.",
    ),
    reason(
        "agents_differ",
        "Path and credential name different agents.",
    ),
    reason(
        "body_lost",
        "The request's body broke off; usually the client is gone.",
    ),
    reason(
        "credential_missing",
        "No `Authorization` header. kubectl leaves it out on plain HTTP.",
    ),
    reason(
        "credential_repeated",
        "More than one `Authorization` header.",
    ),
    reason(
        "credential_too_long",
        "The header is past `limits.credential_size`.",
    ),
    reason("credential_scheme", "Not `Bearer`."),
    reason(
        "credential_empty",
        "`Bearer` without a token: a CI variable that is not set, most likely.",
    ),
    reason("credential_joined", "Two tokens in one header."),
    reason(
        "credential_character",
        "A character that stands in no token: a quote or line break, or the `$` of a variable that nobody has expanded.",
    ),
    reason(
        "credential_kind",
        "Something else than `ci:` or `pat:` before the agent's id; or `pat:`, and the relay does not ask GitLab about users (`authorities.gitlab.api_secret_file`).",
    ),
    reason(
        "credential_agent",
        "No agent id between `ci:` or `pat:` and the token.",
    ),
    reason(
        "foreign_origin",
        "A page asks whose origin is not in `authorities.gitlab.browsers.allowed_origins`. What shows a token in `Authorization` is a program, and may say any.",
    ),
    reason(
        "bad_session",
        "A browser shows GitLab's cookie without an agent's id or a CSRF token, or one of them twice.",
    ),
    reason(
        "token_malformed",
        "Not a signed JSON web token. `CI_JOB_TOKEN` is none: declare `id_tokens:` in the job, or have the relay ask GitLab (`authorities.gitlab`).",
    ),
    reason(
        "token_algorithm_refused",
        "`none`, a shared secret, or another algorithm that is not an asymmetric signature.",
    ),
    reason(
        "token_algorithm_mismatch",
        "The token names another algorithm than its key is for.",
    ),
    reason(
        "token_critical_header",
        "The token demands an extension that adit does not know.",
    ),
    reason(
        "token_no_key_id",
        "The token does not say which key signed it.",
    ),
    reason(
        "token_unknown_issuer",
        "The token's issuer is not in `authorities.oidc.issuers`, letter by letter.",
    ),
    reason(
        "token_unknown_key",
        "The issuer was asked after the token was made, and publishes no such key, or no longer.",
    ),
    reason(
        "token_keys_unavailable",
        "The issuer's keys cannot be fetched, and the token's is not held. `adit doctor relay` says why.",
    ),
    reason(
        "token_key_pending",
        "No such key is held, and the token is younger than the keys: it may be a new key. The issuer was asked less than `min_refresh_interval` ago, and is asked again after as many seconds as the answer says, 10 at most by default.",
    ),
    reason(
        "token_bad_signature",
        "The token was changed, or another key signed it.",
    ),
    reason(
        "token_missing_claim",
        "A claim that adit needs is missing: not an ID token of a GitLab job.",
    ),
    reason("token_bad_claim", "A claim has an unexpected form."),
    reason(
        "token_wrong_audience",
        "`aud` under `id_tokens:` is not one of the relay's `audiences`.",
    ),
    reason(
        "token_expired",
        "Past `exp`. ID tokens live as long as the job's timeout.",
    ),
    reason(
        "token_not_yet_valid",
        "Before `nbf`: clocks differ by more than `leeway`.",
    ),
    reason(
        "token_lifetime_too_long",
        "Valid for longer than `max_lifetime`.",
    ),
    reason(
        "gitlab_not_accepted",
        "GitLab does not accept the token: the job has ended or was cancelled, or this was never a job's token. In `after_script` of a cancelled job it is no longer good.",
    ),
    reason(
        "gitlab_other_kind",
        "GitLab accepts the token, and it is no job's. Send `CI_JOB_TOKEN`.",
    ),
    reason(
        "gitlab_forbidden",
        "GitLab forbids the job to ask which agents it may use.",
    ),
    reason(
        "gitlab_user_not_accepted",
        "GitLab does not let the user of the personal access token, or of the browser's session, use this agent: the token is over or has not the scope `k8s_proxy`, or the browser is not logged in, or its CSRF token is wrong, or `user_access` of the agent's configuration names no project or group in which the user is a developer, or there is no such agent. Also while something runs.",
    ),
    reason(
        "gitlab_agent_token",
        "A token that `adit token new` made for an agent, in place of a job's. It was shown to nobody.",
    ),
    reason(
        "gitlab_bad_answer",
        "GitLab answered, and what it said of the token is missing a part or malformed. The message and the relay's log name the part.",
    ),
    reason(
        "gitlab_unavailable",
        "GitLab did not answer, or not with a yes or a no, and has not vouched for the token within `max_stale`. The message says what happened instead. `Retry-After` is longer when GitLab asked for it, or while it is left alone.",
    ),
    reason(
        "gitlab_busy",
        "More new tokens wait for GitLab's word than may (`calls_per_second`, `max_tokens`).",
    ),
    reason(
        "too_many_bad_tokens",
        "From this address came more tokens that GitLab does not know than `bad_tokens_per_second`.",
    ),
    reason(
        "job_ended",
        "The job ended while the request waited for its answer, or GitLab has just said that it is over.",
    ),
    reason(
        "access_changed",
        "While the request waited, GitLab took the agent away from the job, or lets it act as somebody else. The next attempt is decided anew.",
    ),
    reason(
        "event_secret",
        "To GitLab's webhook: its secret token is missing, or none of those in `authorities.gitlab.webhook_secret_file`.",
    ),
    reason(
        "bad_event",
        "To GitLab's webhook: what it brought is no event of GitLab's, came too slowly, or is longer than 256 KiB.",
    ),
    reason(
        "permit_ended",
        "The token expired while the request waited for its answer.",
    ),
    reason(
        "access_withdrawn",
        "The relay's configuration was changed while the request waited, and no longer lets the job use the agent, or not as whom it did. The next attempt is decided anew. Whether the request was carried out is not known.",
    ),
    reason(
        "not_permitted",
        "The agent's `ci_access` does not cover the job, or its filters keep it out, or there is no such agent. For a job of GitLab's the same: GitLab does not list the agent for it, or lists it with an `access_as` that adit does not know, or has it in another project than `project_id` of the agent in the relay's configuration says. A job is told which filter of the entry that covers its project keeps it out; for a job of GitLab's the relay must [read the agent's file](gitlab.md#agents-files) for that. The log and the audit log say which it is, in [`detail`](audit.md); the caller is told the same for all agents it has nothing to do with.",
    ),
    reason(
        "job_streams",
        "The job has `limits.streams_per_job` requests running.",
    ),
    reason(
        "job_rate",
        "The job begins more than `limits.opens_per_second` requests in a second.",
    ),
    reason(
        "audit_full",
        "The relay cannot write its audit log, and lets nothing through meanwhile that changes something: see its log, the disk of `audit.file`, or who reads its standard output.",
    ),
    reason(
        "draining",
        "This relay is stopping. Told on connections that are open; new ones are refused.",
    ),
    reason("agent_offline", "The agent has no tunnel. Look at its pod."),
    reason(
        "agent_never_connected",
        "The agent has not connected since the relay started: not installed, wrong address, wrong token, no way out of the cluster; or it stands in the relay's configuration under another `id` than GitLab's. Right after a restart of the relay it may only be on its way, for ten seconds at most by default: see `route.wait`.",
    ),
    reason(
        "agent_lost",
        "The tunnel ended before the answer. Whether the request was carried out is not known; requests that only read are tried on another replica first.",
    ),
    reason(
        "cut_by_operator",
        "An operator of the relay cut the tunnel that the request waited on ([status](status.md#cutting)). Whether the request was carried out is not known; requests that only read are tried on another replica first. The agent connects again by itself.",
    ),
    reason(
        "agent_refused",
        "The agent did not take the request: it is stopping, or at a limit of its own. Nothing was carried out.",
    ),
    reason(
        "beyond_ceiling",
        "The agent's `ceiling` does not cover whom the relay asked it to act as, or what to do, or where; the message names the key, and the user, group, namespace, verb or subresource ([the agent](agent.md#what-a-ceiling-limits)). Nothing was carried out.",
    ),
    reason(
        "agent_failed",
        "The agent gave up for a reason that the message and its log tell.",
    ),
    reason(
        "tunnel_full",
        "Every tunnel of the agent has `limits.streams_per_tunnel` requests, or as many as the agent takes. More replicas help.",
    ),
    reason(
        "overloaded",
        "A bound was reached: on memory (`tunnel.max_buffered`, `tunnel.max_buffered_in_all`, the agent's `limits.max_buffered_bytes`), and this request held most of it; or on what the agent runs at once (`limits.max_streams`, `kubernetes.max_connections`, `kubernetes.max_upgrades`).",
    ),
    reason(
        "too_many_cancels",
        "Callers of this agent, of whatever job, cancelled so many requests before their answer that the agent would take more for a flood and end the tunnel. Nothing was carried out. Answered requests, and time, make room again; another replica is tried first.",
    ),
    reason(
        "api_server_unreachable",
        "The agent cannot connect to its API server. Nothing was carried out.",
    ),
    reason(
        "api_server_lost",
        "The API server's connection broke before the answer. Whether the request was carried out is not known.",
    ),
    reason("timed_out", "A deadline of the agent passed."),
];

const fn reason(name: &'static str, meaning: &'static str) -> Reason {
    Reason { name, meaning }
}
