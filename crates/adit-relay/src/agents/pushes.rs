//! Decides which pushes an agent is told of: those to projects that it follows, and may read. Served beside the agent's tunnel
//! (`proto/adit/pushes/v1/pushes.proto`), for as long as that takes streams.
//!
//! ```text
//! GitLab ── gitlab/pushes.rs ─▶ followed? ─▶ waiting, 10 projects at most ─▶ may the agent read it? ─▶ agent
//! ```
//!
//! Invariant: of its configuration's project an agent always hears; of any other only when GitLab has just said that it may read it, and
//! in doubt not. Nothing waits for an agent that does not read but those ten.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    time::Duration,
};

use adit_authority::{GitLabError, Token};
use adit_identity::FullPath;
use adit_process::metrics::Held;
use adit_proto::pushes::{
    FollowRequest, FollowResponse, Following, Push as Told, follow_response::Kind,
};
use adit_tunnel::{Call, CallError, Receiver, SendBuf, Sender, Tunnel};
use h2::{RecvStream, server::SendResponse};
use http::Request;
use parking_lot::Mutex;
use prost::Message;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::{
        Notify,
        broadcast::{self, error::RecvError},
    },
    time::timeout,
};

use super::{Admitted, Agents, Revoked};
use crate::{client::Client, gitlab::Push, metrics::Telling};

/// The gRPC method's path.
pub(super) const PATH: &str = "/adit.pushes.v1.Pushes/Follow";

/// Of a message of an agent's: a thousand projects with the longest paths that anybody uses.
const MAX_BYTES: usize = 256 << 10;
/// What one agent may follow. Past it a cluster has more repositories than a push should stir.
const MAX_PROJECTS: usize = 1000;
/// Projects with a push that wait for GitLab's word or for the agent to read. Filled by a burst of pushes while GitLab is slow; then the
/// rest is dropped, and Flux finds them by its own interval.
const MAX_WAITING: usize = 10;
/// How long an agent may take to say what it follows.
const FIRST: Duration = Duration::from_secs(10);

/// How a call ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the tunnel ends")]
    Tunnel,
    #[error("the agent has ended the call")]
    Left,
    #[error("{}", .0.message())]
    Revoked(Revoked),
    #[error("GitLab does not tell this relay of pushes")]
    NoPushes,
    #[error("the agent has no tunnel of that name here")]
    NoTunnel,
    #[error("the agent has not said in time what it follows")]
    Silent,
    #[error("what the agent sent cannot be used: {0}")]
    BadMessage(String),
}

impl End {
    /// The gRPC status code.
    const fn grpc_status(&self) -> u32 {
        match self {
            Self::Tunnel | Self::Left => 0,
            Self::BadMessage(_) => 3,
            Self::Silent => 4,
            Self::NoTunnel => 9,
            Self::NoPushes => 12,
            Self::Revoked(_) => 16,
        }
    }
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoMessage(why) => Self::BadMessage(why),
            CallError::Http2(_) | CallError::Ended { .. } => Self::Left,
        }
    }
}

impl Agents {
    /// Tells the agent of pushes until its tunnel, or the call, ends.
    pub(crate) async fn follow(
        &self,
        agent: Admitted,
        request: Request<RecvStream>,
        respond: SendResponse<SendBuf>,
        from: Client,
    ) {
        let Ok(token) = self.token(request.headers()).map(Token::expose) else {
            return;
        };
        let follower = Follower {
            agents: self,
            agent,
            token: SecretString::from(token),
            from,
        };
        // An agent that is gone needs no answer.
        let Ok(Call {
            mut send,
            mut receive,
        }) = Call::answer(request, respond, MAX_BYTES)
        else {
            return;
        };
        let Err(end) = follower.serve(&mut send, &mut receive).await;
        tracing::info!(agent.id = %follower.agent.id, client.addr = %from, end = %end, "no longer tells of pushes");
        Call { send, receive }.finish(end.grpc_status(), &end.to_string());
    }
}

/// What a call that was taken goes on with.
struct Begun {
    tunnel: Tunnel,
    heard: broadcast::Receiver<Push>,
    followed: HashSet<FullPath>,
}

/// An agent that wants to hear of pushes.
struct Follower<'a> {
    agents: &'a Agents,
    agent: Admitted,
    token: SecretString,
    from: Client,
}

impl Follower<'_> {
    /// Never in vain: it ends with why.
    async fn serve(&self, send: &mut Sender, receive: &mut Receiver) -> Result<Infallible, End> {
        let Begun {
            tunnel,
            heard,
            followed,
        } = self.begin(send, receive).await?;
        let _counted = Held::one(&self.agents.metrics.push_followers);
        let waiting = Waiting::default();
        tokio::select! {
            biased;
            () = tunnel.draining() => Err(End::Tunnel),
            why = self.agents.revoked(&self.agent) => Err(End::Revoked(why)),
            end = self.hear(receive, heard, followed, &waiting) => end,
            end = self.pass_on(send, &waiting) => end,
        }
    }

    async fn begin(&self, send: &mut Sender, receive: &mut Receiver) -> Result<Begun, End> {
        let pushes = self.agents.pushes.as_ref().ok_or(End::NoPushes)?;
        let first = timeout(FIRST, receive.next()).await;
        let first = first.map_err(|_| End::Silent)??.ok_or(End::Left)?;
        let first = FollowRequest::decode(first).map_err(bad)?;
        let tunnel = self.agents.registry.tunnel(self.agent.id, &first.tunnel);
        let begun = Begun {
            tunnel: tunnel.ok_or(End::NoTunnel)?,
            heard: pushes.subscribe(),
            followed: projects(first)?,
        };
        let agent_id = self.agent.id.0;
        self.send(send, Kind::Following(Following { agent_id }))
            .await?;
        tracing::info!(
            agent.id = %self.agent.id,
            client.addr = %self.from,
            tunnel.id = %begun.tunnel.peer().session,
            projects = begun.followed.len(),
            "tells of pushes"
        );
        Ok(begun)
    }

    /// Takes in what GitLab and the agent say.
    async fn hear(
        &self,
        receive: &mut Receiver,
        mut heard: broadcast::Receiver<Push>,
        mut followed: HashSet<FullPath>,
        waiting: &Waiting,
    ) -> Result<Infallible, End> {
        let counted =
            |followed: &HashSet<_>| Held::some(&self.agents.metrics.push_projects, followed.len());
        let mut _counted = counted(&followed);
        loop {
            tokio::select! {
                biased;
                message = receive.next() => {
                    let message = message?.ok_or(End::Left)?;
                    followed = projects(FollowRequest::decode(message).map_err(bad)?)?;
                    _counted = counted(&followed);
                }
                push = heard.recv() => match push {
                    Ok(push) if followed.contains(&push.path) => {
                        if !waiting.add(push) {
                            self.count(Telling::Dropped, 1);
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => self.count(Telling::Dropped, missed),
                    Err(RecvError::Closed) => return Err(End::NoPushes),
                }
            }
        }
    }

    /// Tells the agent of what waits, if it may hear of it.
    async fn pass_on(&self, send: &mut Sender, waiting: &Waiting) -> Result<Infallible, End> {
        loop {
            let push = waiting.next().await;
            if self.may_hear_of(&push).await {
                let project = push.path.to_string();
                self.send(send, Kind::Push(Told { project })).await?;
                self.count(Telling::Told, 1);
            }
        }
    }

    async fn may_hear_of(&self, push: &Push) -> bool {
        let told = match self.may_read(push).await {
            Ok(true) => return true,
            Ok(false) => Telling::Refused,
            Err(error) => {
                tracing::debug!(%error, "GitLab does not say whether an agent may read a project");
                Telling::Unproved
            }
        };
        tracing::info!(
            agent.id = %self.agent.id,
            project.id = %push.project,
            "an agent is not told of a push: GitLab does not let it read the project"
        );
        self.count(told, 1);
        false
    }

    async fn may_read(&self, push: &Push) -> Result<bool, GitLabError> {
        let Some(word) = self.agent.word() else {
            // Its token is none of GitLab's, who cannot be asked by it.
            let rules = self.agents.rules.load();
            let configured = rules.agents().agent(self.agent.id);
            return Ok(configured.is_some_and(|own| own.belongs_to(push.project, &push.path)));
        };
        if word.project() == push.project {
            return Ok(true);
        }
        let token = Token::parse(self.token.expose_secret());
        let (Some(gitlab), Ok(token)) = (&self.agents.gitlab, token) else {
            return Ok(false);
        };
        gitlab.may_read(&push.path, token, self.from.ip).await
    }

    async fn send(&self, send: &mut Sender, kind: Kind) -> Result<(), End> {
        let message = FollowResponse { kind: Some(kind) }.encode_to_vec();
        send.send(&message).await.map_err(|_| End::Left)
    }

    fn count(&self, what: Telling, count: u64) {
        self.agents.metrics.telling(what, count);
    }
}

/// What an agent follows.
fn projects(request: FollowRequest) -> Result<HashSet<FullPath>, End> {
    if request.projects.len() > MAX_PROJECTS {
        return Err(bad(format!("more than {MAX_PROJECTS} projects")));
    }
    let paths = request.projects.iter().map(|path| path.parse());
    paths.collect::<Result<_, _>>().map_err(bad)
}

fn bad(why: impl ToString) -> End {
    End::BadMessage(why.to_string())
}

/// Pushes of which an agent is not told yet, one for each project.
#[derive(Debug, Default)]
struct Waiting {
    pushes: Mutex<VecDeque<Push>>,
    added: Notify,
}

impl Waiting {
    /// Whether there was room, or it was waiting already.
    fn add(&self, push: Push) -> bool {
        let mut pushes = self.pushes.lock();
        let is_known = pushes.iter().any(|one| one.project == push.project);
        let has_room = pushes.len() < MAX_WAITING;
        if !is_known && has_room {
            pushes.push_back(push);
            drop(pushes);
            self.added.notify_one();
        }
        is_known || has_room
    }

    /// The one that has waited longest. Cancel-safe.
    async fn next(&self) -> Push {
        loop {
            let next = self.pushes.lock().pop_front();
            match next {
                Some(push) => return push,
                None => self.added.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_identity::ProjectId;

    use super::*;

    fn push(project: u64) -> Push {
        let path = format!("group/{project}").parse().unwrap();
        let project = ProjectId(project);
        Push { project, path }
    }

    #[tokio::test]
    async fn so_many_projects_wait_and_each_once() {
        let waiting = Waiting::default();
        for id in 0..MAX_WAITING as u64 {
            assert!(waiting.add(push(id)));
        }
        assert!(!waiting.add(push(99)), "there is no room");
        assert!(waiting.add(push(3)), "it waits already");
        assert_eq!(waiting.next().await.project, ProjectId(0));
        assert!(waiting.add(push(99)));
        assert_eq!(waiting.pushes.lock().len(), MAX_WAITING);
    }

    #[test]
    fn what_no_agent_follows_is_refused() {
        let follow = |projects| FollowRequest {
            tunnel: String::new(),
            projects,
        };
        let upper: FullPath = "GROUP/App".parse().unwrap();
        let followed = projects(follow(vec!["group/app".into()])).unwrap();
        assert!(followed.contains(&upper));
        for odd in [vec!["/group".into()], vec!["a/b".into(); MAX_PROJECTS + 1]] {
            assert_eq!(projects(follow(odd)).unwrap_err().grpc_status(), 3);
        }
    }
}
