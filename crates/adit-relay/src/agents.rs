//! Decides which agents may hold a tunnel here: checks the token of an agent's gRPC call, and its certificate where that is wanted
//! (`agents/shown.rs`), opens the session, registers it. Beside its tunnel an agent may ask to be told of pushes (`agents/pushes.rs`).
//!
//! Called by `front_door/http2.rs` for each stream that arrives. Invariant: an agent is whom its token says; a certificate is needed
//! beside it, never instead; what the agent tells of itself afterwards is for logs, nothing is decided by it.

use std::{future::pending, net::IpAddr, sync::Arc};

use adit_authority::{
    Agents as Configured, Credential, Ended, GitLab, GitLabAgent, GitLabError, Token,
    gitlab::AgentFiles, token::TokenHash,
};
use adit_identity::AgentId;
use adit_process::{
    Stop, chain,
    metrics::{Held, Label as _},
    tls::{ClientRoots, Unproved},
};
use adit_tunnel::{Cause, CloseReason, Driver, PATH, SendBuf, SessionError, Tunnel};
use h2::{RecvStream, server::SendResponse};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::{
    call::Connection,
    client::Client,
    gitlab::Pushes,
    metrics::{Metrics, NoTunnel},
    registry::{Registration, Registry},
    rules::Current,
    seldom::Seldom,
};

mod pushes;
mod shown;

pub(crate) use shown::Shown;

/// What a stream on an HTTP/2 connection turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A client's request.
    Exchange,
    /// A call of an agent whose token the configuration lists.
    Agent(Listed, Wish),
    /// A call of an agent that GitLab may know: [`Agents::ask_gitlab`].
    Unknown(Wish),
    /// A call of an agent that is not taken.
    Denied(Denied),
}

/// An agent, and its token, as the configuration lists both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    id: AgentId,
    token: TokenHash,
}

/// What an agent calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To hold a tunnel.
    Tunnel,
    /// To hear of pushes.
    Pushes,
}

/// Why a tunnel is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error(
        "the agent token is not accepted: it is missing, malformed, or not listed in this relay's configuration"
    )]
    Unauthenticated,
    #[error(
        "the agent token is not accepted: it is not listed in this relay's configuration, and GitLab does not know it, or it was revoked there"
    )]
    RefusedByGitLab,
    #[error("{0}")]
    Unproved(GitLabError),
    #[error(
        "GitLab knows the agent, and this relay's configuration has another one under its id: mark that as GitLab's, by `authorities` and `project_id`, or give it another id"
    )]
    OtherAgent,
    #[error("{}", without_proof(*.0))]
    Certificate(Unproved),
    #[error("the agent has as many tunnels as it may")]
    TooMany,
    #[error("this relay is stopping: connect to another one")]
    Draining,
}

impl Denied {
    /// The gRPC status code.
    const fn grpc_status(self) -> &'static str {
        match self {
            Self::Unauthenticated | Self::RefusedByGitLab => "16",
            Self::OtherAgent => "7",
            Self::TooMany => "8",
            // Of a tunnel's call it means this alone, and the agent tells its owner so.
            Self::Certificate(_) => "9",
            Self::Unproved(_) | Self::Draining => "14",
        }
    }

    const fn reason(self) -> NoTunnel {
        match self {
            Self::Unauthenticated | Self::RefusedByGitLab => NoTunnel::Unauthenticated,
            Self::Unproved(why) => unproved(why),
            Self::OtherAgent => NoTunnel::OtherAgent,
            Self::Certificate(why) => unbelieved(why),
            Self::TooMany => NoTunnel::TooMany,
            Self::Draining => NoTunnel::Draining,
        }
    }
}

impl From<GitLabError> for Denied {
    fn from(why: GitLabError) -> Self {
        match why {
            GitLabError::NotAccepted
            | GitLabError::Forbidden
            | GitLabError::OtherKind
            | GitLabError::UserNotAccepted
            | GitLabError::Ended
            | GitLabError::AgentToken => Self::RefusedByGitLab,
            GitLabError::BadAnswer(_)
            | GitLabError::Unavailable { .. }
            | GitLabError::Busy
            | GitLabError::TooManyBadTokens => Self::Unproved(why),
        }
    }
}

/// An agent that may hold a tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    id: AgentId,
    by: By,
    /// What its connection came with, if that matters here.
    shown: Option<Arc<Shown>>,
}

/// Why it may.
#[derive(Clone, Debug)]
enum By {
    /// The configuration lists its token.
    Configuration(TokenHash),
    /// GitLab's word on its token.
    GitLab(GitLabAgent),
}

/// Why it may not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Revoked {
    /// GitLab has taken its word back.
    Word(Ended),
    /// The configuration no longer lists its token.
    Unlisted,
    /// The configuration has another agent under the id by which GitLab knows it.
    OtherAgent,
    /// No CA that is believed has issued its certificate any more.
    UnknownCa,
}

impl Admitted {
    /// By the configuration.
    pub(crate) fn listed(Listed { id, token }: Listed, shown: Option<Arc<Shown>>) -> Self {
        Self {
            id,
            by: By::Configuration(token),
            shown,
        }
    }

    fn word(&self) -> Option<&GitLabAgent> {
        match &self.by {
            By::GitLab(word) => Some(word),
            By::Configuration(_) => None,
        }
    }

    fn is_among(&self, agents: &Configured) -> bool {
        match &self.by {
            By::Configuration(token) => agents.tokens().holder(token) == Some(self.id),
            By::GitLab(word) => agents.may_be_gitlabs(self.id, word.project()),
        }
    }
}

impl Revoked {
    /// For the agent's log, and for callers whose answers had not begun.
    const fn message(self) -> &'static str {
        match self {
            Self::Word(Ended::Over) => {
                "GitLab no longer accepts the agent's token: it was revoked, or the agent was removed"
            }
            Self::Word(Ended::Changed) => "GitLab says that the agent's token is another agent's",
            Self::Word(Ended::Unproved) => {
                "GitLab has not answered for too long: nobody knows whether the agent's token is still good"
            }
            Self::Unlisted => {
                "the relay's configuration was changed, and no longer lists the agent's token"
            }
            Self::OtherAgent => {
                "the relay's configuration was changed, and has another agent under the id of GitLab's"
            }
            Self::UnknownCa => {
                "the relay's CAs of agents were changed, and none of them has issued the agent's client certificate"
            }
        }
    }
}

/// Where tunnels begin.
#[derive(Debug)]
pub(crate) struct Agents {
    pub(crate) rules: Current,
    /// Who must have issued agents' certificates, if they need one.
    pub(crate) client_roots: Option<ClientRoots>,
    /// If it is asked about agents.
    pub(crate) gitlab: Option<Arc<GitLab>>,
    /// If those of agents are read there.
    pub(crate) files: Option<Arc<AgentFiles>>,
    /// If GitLab tells of them here.
    pub(crate) pushes: Option<Arc<Pushes>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) stop: Stop,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) denials: Seldom,
}

impl Agents {
    /// What `request` is, which came by `connection`. Looks for the token in the configuration when it is an agent's.
    pub(crate) fn sort<B>(&self, request: &Request<B>, connection: &Connection) -> Arrival {
        let Some(wish) = wish(request) else {
            return Arrival::Exchange;
        };
        let arrival = self.find(request.headers(), wish, connection);
        arrival.unwrap_or_else(Arrival::Denied)
    }

    /// The agent of a call that is [`Arrival::Unknown`], if it may have its wish. Cancel-safe; waits a bounded time.
    pub(crate) async fn ask_gitlab(
        &self,
        headers: &HeaderMap,
        wish: Wish,
        from: IpAddr,
        shown: Option<Arc<Shown>>,
    ) -> Result<Admitted, Denied> {
        let gitlab = self.gitlab.as_ref().ok_or(Denied::Unauthenticated)?;
        let word = gitlab.agent(self.token(headers)?, from).await?;
        let id = word.id();
        let agent = Admitted {
            id,
            by: By::GitLab(word),
            shown,
        };
        if !agent.is_among(self.rules.load().agents()) {
            return Err(Denied::OtherAgent);
        }
        self.find_room(id, wish)?;
        Ok(agent)
    }

    /// Holds the tunnel until it ends. What this needs only to begin the future does not keep room for: it is as many times in memory as
    /// there are agents.
    pub(crate) fn serve(
        self: Arc<Self>,
        agent: Admitted,
        request: Request<RecvStream>,
        respond: SendResponse<SendBuf>,
        from: Client,
    ) -> impl Future<Output = ()> + Send {
        let mut options = self.rules.load().options.clone();
        options.about.agent = self.name(&agent);
        let (mut opening, mut driver) = adit_tunnel::serve(request, respond, options);
        async move {
            let opened = tokio::select! {
                biased;
                over = &mut driver => Err(over),
                opened = &mut opening => opened,
            };
            drop(opening);
            let tunnel = match opened {
                Ok(tunnel) => tunnel,
                Err(error) => {
                    self.metrics.tunnel_refused(NoTunnel::Handshake);
                    tracing::warn!(agent.id = %agent.id, client.addr = %from, error = %chain(&*error), "tunnel did not open");
                    return;
                }
            };
            let _live = LiveTunnel {
                agent: agent.id,
                tunnel: tunnel.clone(),
                metrics: &self.metrics,
                _counted: self.metrics.tunnel(),
                _registration: self.register(&agent, &tunnel, from),
            };
            let span = tracing::debug_span!("tunnel", agent.id = %agent.id, tunnel.id = tunnel.peer().session);
            self.drive(driver, &tunnel, &agent).instrument(span).await;
        }
    }

    /// Until the tunnel ends.
    async fn drive(&self, mut driver: Driver, tunnel: &Tunnel, agent: &Admitted) {
        tokio::select! {
            biased;
            _ = &mut driver => {}
            why = self.revoked(agent) => {
                tunnel.close(CloseReason::Revoked, why.message());
                driver.await;
            }
            // The callers have read everything: the agent, which asked to go, may.
            () = tunnel.drained() => {
                tunnel.close(CloseReason::Done, "drained");
                driver.await;
            }
        }
    }

    /// Waits until the agent is admitted no longer, by the rules of now or those after them. Cancel-safe.
    async fn revoked(&self, agent: &Admitted) -> Revoked {
        let word_ended = async {
            match &agent.by {
                By::GitLab(word) => Revoked::Word(word.ended().await),
                By::Configuration(_) => pending().await,
            }
        };
        tokio::select! {
            biased;
            why = word_ended => why,
            () = self.rules.until(|rules| !agent.is_among(rules.agents())) => match &agent.by {
                By::GitLab(_) => Revoked::OtherAgent,
                By::Configuration(_) => Revoked::Unlisted,
            },
            () = self.until_dropped(agent.shown.as_ref()) => Revoked::UnknownCa,
        }
    }

    fn find(
        &self,
        headers: &HeaderMap,
        wish: Wish,
        connection: &Connection,
    ) -> Result<Arrival, Denied> {
        let token = TokenHash::of(self.token(headers)?.expose());
        let agent = self.rules.load().agents().tokens().holder(&token);
        if agent.is_none() && self.gitlab.is_none() {
            return Err(Denied::Unauthenticated);
        }
        if self.stop.is_draining() {
            return Err(Denied::Draining);
        }
        // Before GitLab is asked: that costs more.
        self.check_certificate(connection.shown.as_ref())?;
        let Some(id) = agent else {
            return Ok(Arrival::Unknown(wish));
        };
        self.find_room(id, wish)?;
        Ok(Arrival::Agent(Listed { id, token }, wish))
    }

    fn token<'a>(&self, headers: &'a HeaderMap) -> Result<Token<'a>, Denied> {
        let values = headers
            .get_all(AUTHORIZATION)
            .iter()
            .map(HeaderValue::as_bytes);
        let most = self.rules.load().limits.credential_bytes;
        let credential = Credential::parse(values, most).map_err(|_| Denied::Unauthenticated)?;
        // `ci:<agent id>:<token>` is a caller's form.
        if credential.agent().is_some() {
            return Err(Denied::Unauthenticated);
        }
        Ok(credential.token())
    }

    fn find_room(&self, agent: AgentId, wish: Wish) -> Result<(), Denied> {
        let most = self.rules.load().limits.tunnels_per_agent;
        if wish == Wish::Tunnel && self.registry.is_full(agent, most) {
            return Err(Denied::TooMany);
        }
        Ok(())
    }

    /// As people know the agent.
    fn name(&self, agent: &Admitted) -> String {
        let rules = self.rules.load();
        match (rules.agents().agent(agent.id), agent.word()) {
            (Some(configured), _) => configured.context().to_owned(),
            (None, Some(word)) => word.context(),
            (None, None) => String::new(),
        }
    }

    fn register(&self, agent: &Admitted, tunnel: &Tunnel, from: Client) -> Option<Registration> {
        let peer = tunnel.peer();
        let most = self.rules.load().limits.tunnels_per_agent;
        match self
            .registry
            .register(agent.id, &peer.session, tunnel.clone(), most)
        {
            Ok(registration) => {
                tracing::info!(
                    agent.id = %agent.id,
                    agent.name = self.name(agent),
                    authority = if agent.word().is_some() { "gitlab" } else { "config" },
                    replica.id = peer.replica,
                    tunnel.id = %peer.session,
                    client.addr = %from,
                    version = peer.version,
                    kubernetes.version = peer.kubernetes_version,
                    "tunnel opened"
                );
                if let (Some(files), Some(_)) = (&self.files, agent.word()) {
                    files.connected(agent.id);
                }
                Some(registration)
            }
            Err(too_many) => {
                self.metrics.tunnel_refused(Denied::TooMany.reason());
                tunnel.close(CloseReason::Stopping, &too_many.to_string());
                None
            }
        }
    }

    /// Says why there is no tunnel: a gRPC answer that is all trailers.
    pub(crate) fn deny(&self, denied: Denied, from: Client, mut respond: SendResponse<SendBuf>) {
        self.metrics.tunnel_refused(denied.reason());
        if let Some(unlogged) = self.denials.told(Instant::now()) {
            tracing::warn!(client.addr = %from, refusal = denied.reason().as_str(), unlogged, "tunnel refused");
        }
        let mut answer = Response::new(());
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(
            "grpc-status",
            HeaderValue::from_static(denied.grpc_status()),
        );
        if let Ok(message) = HeaderValue::try_from(denied.to_string()) {
            headers.insert("grpc-message", message);
        }
        // An agent that is gone needs no answer.
        let _ = respond.send_response(answer, true);
    }
}

/// A tunnel as long as it lives. Its end is told when this is dropped, which it is unasked when the connection breaks.
struct LiveTunnel<'a> {
    agent: AgentId,
    tunnel: Tunnel,
    metrics: &'a Metrics,
    _counted: Held,
    _registration: Option<Registration>,
}

impl Drop for LiveTunnel<'_> {
    fn drop(&mut self) {
        let (over, session) = (self.tunnel.end(), self.tunnel.peer().session);
        let cause = over.as_deref().map_or(Cause::Lost, SessionError::cause);
        self.metrics.tunnel_ended(cause.into());
        let error = over.map_or_else(|| "the connection broke".to_owned(), |over| chain(&*over));
        tracing::info!(agent.id = %self.agent, tunnel.id = session, error, "tunnel ended");
    }
}

/// What an agent's owner is told.
const fn without_proof(why: Unproved) -> &'static str {
    match why {
        Unproved::NoCertificate => {
            "this relay wants a client certificate of its agents, and the agent has shown none"
        }
        Unproved::UnknownCa => {
            "none of the CAs that this relay believes has issued the agent's client certificate"
        }
        Unproved::Expired => "the agent's client certificate has expired",
        Unproved::NotYet => "the agent's client certificate does not hold yet",
        Unproved::OtherUse => {
            "the agent's client certificate is not for client authentication: its extended key usage lacks clientAuth"
        }
        Unproved::Unusable => "the agent's client certificate cannot be used",
    }
}

/// As what that counts.
const fn unbelieved(why: Unproved) -> NoTunnel {
    match why {
        Unproved::NoCertificate => NoTunnel::NoCertificate,
        Unproved::UnknownCa => NoTunnel::UnknownCa,
        Unproved::Expired => NoTunnel::CertificateExpired,
        Unproved::NotYet | Unproved::OtherUse | Unproved::Unusable => NoTunnel::BadCertificate,
    }
}

/// As what it counts that GitLab's word was not to be had.
const fn unproved(why: GitLabError) -> NoTunnel {
    match why {
        GitLabError::BadAnswer(_) => NoTunnel::GitLabBadAnswer,
        GitLabError::Unavailable { .. } => NoTunnel::GitLabUnavailable,
        GitLabError::Busy => NoTunnel::GitLabBusy,
        GitLabError::TooManyBadTokens => NoTunnel::TooManyBadTokens,
        GitLabError::NotAccepted
        | GitLabError::Forbidden
        | GitLabError::OtherKind
        | GitLabError::UserNotAccepted
        | GitLabError::Ended
        | GitLabError::AgentToken => NoTunnel::Unauthenticated,
    }
}

fn wish<B>(request: &Request<B>) -> Option<Wish> {
    let wish = match request.uri().path() {
        PATH => Wish::Tunnel,
        pushes::PATH => Wish::Pushes,
        _ => return None,
    };
    let is_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    let is_call = request.method() == Method::POST
        && request.headers().get(CONTENT_TYPE).is_some_and(is_grpc);
    is_call.then_some(wish)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use adit_authority::gitlab::Trouble;
    use adit_process::metrics::Label as _;

    use super::*;

    #[test]
    fn tunnel_that_is_refused_is_counted_under_its_reasons_name() {
        let away = GitLabError::Unavailable {
            why: Trouble::TimedOut,
            retry_after: Duration::ZERO,
        };
        let of_gitlab = [
            (GitLabError::NotAccepted, "unauthenticated"),
            (GitLabError::Forbidden, "unauthenticated"),
            (GitLabError::OtherKind, "unauthenticated"),
            (GitLabError::UserNotAccepted, "unauthenticated"),
            (GitLabError::Ended, "unauthenticated"),
            (GitLabError::AgentToken, "unauthenticated"),
            (GitLabError::BadAnswer("body"), "gitlab_bad_answer"),
            (away, "gitlab_unavailable"),
            (GitLabError::Busy, "gitlab_busy"),
            (GitLabError::TooManyBadTokens, "too_many_bad_tokens"),
        ];
        let of_certificate = [
            (Unproved::NoCertificate, "no_certificate"),
            (Unproved::UnknownCa, "unknown_ca"),
            (Unproved::Expired, "certificate_expired"),
            (Unproved::NotYet, "bad_certificate"),
            (Unproved::OtherUse, "bad_certificate"),
            (Unproved::Unusable, "bad_certificate"),
        ];
        let of_relay = [
            (Denied::Unauthenticated, "unauthenticated"),
            (Denied::OtherAgent, "other_agent"),
            (Denied::TooMany, "too_many"),
            (Denied::Draining, "draining"),
        ];
        let all = of_gitlab
            .map(|(why, label)| (Denied::from(why), label))
            .into_iter()
            .chain(of_certificate.map(|(why, label)| (Denied::Certificate(why), label)))
            .chain(of_relay);
        for (why, label) in all {
            assert_eq!(why.reason().as_str(), label, "{why:?}");
        }
    }
}
