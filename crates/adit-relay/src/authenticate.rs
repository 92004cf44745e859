//! Decides who is calling: reads the credential and has an authority vouch for its token.
//!
//! The first stage of `handle.rs`. A connection remembers the last credential that was verified on it, so that a client's
//! next request costs a comparison of bytes. Invariant: what is remembered is believed for [`BELIEVED_FOR`] at most, and never past the
//! token's end, so that a key taken out by its issuer counts here too; GitLab's word that a job is over, and a change of the
//! configuration, count at once.

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use adit_authority::{
    Caller, Credential, CredentialError, Form, GitLab, Token, TokenError, gitlab::JobPlace,
};
use adit_identity::AgentId;
use http::{HeaderMap, HeaderValue, Uri, header::AUTHORIZATION};
use tokio::time::Instant;

use crate::{
    call::Call,
    jobs::{JobUse, Jobs},
    metrics::{Metrics, Stage},
    refusal::Refusal,
    rules::{Current, Rules},
};

mod fetch;
mod session;

pub(crate) use fetch::Fetch;
pub(crate) use session::{AGENT_ID, CSRF_PARAMETER, CSRF_TOKEN};

use session::Session;

/// How long a connection goes on with a verified token without asking the authority again.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// The stage between a request and a caller.
#[derive(Debug)]
pub(crate) struct Authenticate {
    rules: Current,
    authorities: Authorities,
    jobs: Arc<Jobs>,
    metrics: Arc<Metrics>,
}

/// Who vouches for callers, beside the issuers that the rules name.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    pub(crate) gitlab: Option<Arc<GitLab>>,
    /// Whether browsers are let in that are logged in to GitLab.
    pub(crate) takes_sessions: bool,
}

/// A verified credential and what hangs on it.
pub(crate) struct Bearer {
    /// To know it again.
    shown: Shown,
    believed_until: Instant,
    /// Who it is.
    pub(crate) caller: Caller,
    /// The agent that the credential names.
    pub(crate) agent: Option<AgentId>,
    /// When everything that runs under the token is cut, if its authority has said so.
    pub(crate) ends: Option<Instant>,
    /// What the job uses.
    pub(crate) job_use: Arc<JobUse>,
    /// By which it was verified, and is decided about.
    pub(crate) rules: Arc<Rules>,
}

/// What a request shows for itself.
enum Shown {
    /// The header.
    Authorization(HeaderValue),
    /// What a browser shows instead.
    Session(Session),
}

impl Authenticate {
    pub(crate) fn new(
        rules: Current,
        authorities: Authorities,
        jobs: Arc<Jobs>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            rules,
            authorities,
            jobs,
            metrics,
        }
    }

    /// The caller of a request. Cancel-safe; waits only when an issuer's keys must be fetched, or GitLab asked.
    pub(crate) async fn bearer(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        call: &Call<'_>,
    ) -> Result<Arc<Bearer>, Refusal> {
        let session = self.session(headers, uri)?;
        if let Some(known) = call.connection.bearer.lock().as_ref()
            && known.is_still(headers, session.as_ref(), call.began)
            && self.rules.are(&known.rules)
        {
            return Ok(Arc::clone(known));
        }
        let verified = match session {
            Some(session) => self.verify_session(session, call).await,
            None => self.verify(headers, call).await,
        };
        // Whoever shows nothing to check has nothing checked.
        if !matches!(verified, Err(Refusal::BadCredential(_))) {
            let took = call.began.elapsed();
            call.took.authenticate.set(took);
            self.metrics.stage(Stage::Authenticate).observe(took);
        }
        let bearer = Arc::new(verified?);
        *call.connection.bearer.lock() = Some(Arc::clone(&bearer));
        Ok(bearer)
    }

    /// Where the job of a bearer is, if GitLab says it. Cancel-safe; waits only when GitLab must be asked.
    pub(crate) async fn place(&self, bearer: &Bearer, call: &Call<'_>) -> Option<JobPlace> {
        let Shown::Authorization(shown) = &bearer.shown else {
            return None;
        };
        let gitlab = self.authorities.gitlab.as_ref()?;
        let most = bearer.rules.limits.credential_bytes;
        let credential = Credential::parse([shown.as_bytes()], most).ok()?;
        gitlab.place(credential.token(), call.client.ip).await
    }

    /// What a browser shows. `Authorization` comes first: where it is bad, nothing else is tried.
    fn session(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<Session>, Refusal> {
        if !self.authorities.takes_sessions || headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        Session::of(headers, uri)
    }

    async fn verify_session(&self, session: Session, call: &Call<'_>) -> Result<Bearer, Refusal> {
        let rules = self.rules.get();
        let caller = self.authorities.session(&session, call.client.ip).await?;
        Ok(Bearer {
            rules,
            believed_until: call.began + BELIEVED_FOR,
            agent: Some(session.agent),
            ends: None,
            job_use: self.jobs.of(&caller),
            shown: Shown::Session(session),
            caller,
        })
    }

    async fn verify(&self, headers: &HeaderMap, call: &Call<'_>) -> Result<Bearer, Refusal> {
        let (began, from) = (call.began, call.client.ip);
        let rules = self.rules.get();
        let values = headers.get_all(AUTHORIZATION);
        let credential = Credential::parse(
            values.iter().map(HeaderValue::as_bytes),
            rules.limits.credential_bytes,
        )
        .map_err(Refusal::BadCredential)?;
        // In this order, so that what the token permits is not cut before the token has ended by the clock that says so.
        let now = SystemTime::now();
        let seen = Instant::now();
        let token = credential.token();
        let caller = match credential.form() {
            Form::Bare | Form::Job(_) => self.authorities.job(&rules, token, from, now).await?,
            Form::Personal(agent) => self.authorities.user(agent, token, from).await?,
        };
        let ends = match caller.expires_at() {
            Some(end) => {
                let left = end.duration_since(now);
                Some(seen + left.map_err(|_| Refusal::TokenRefused(TokenError::Expired))?)
            }
            None => None,
        };
        let believed_until = began + BELIEVED_FOR;
        let mut authorization = headers
            .get(AUTHORIZATION)
            .cloned()
            .unwrap_or_else(|| HeaderValue::from_static(""));
        authorization.set_sensitive(true);
        Ok(Bearer {
            shown: Shown::Authorization(authorization),
            believed_until: ends.map_or(believed_until, |ends| ends.min(believed_until)),
            agent: credential.agent(),
            ends,
            job_use: self.jobs.of(&caller),
            caller,
            rules,
        })
    }
}

impl Authorities {
    /// One of them is asked, never a second: a token that says to be of an issuer we know is for its keys to check, any other for
    /// GitLab, if there is one.
    async fn job(
        &self,
        rules: &Rules,
        token: Token<'_>,
        from: IpAddr,
        now: SystemTime,
    ) -> Result<Caller, Refusal> {
        match &self.gitlab {
            Some(gitlab) if !rules.oidc.is_meant(token) => {
                gitlab.job(token, from).await.map_err(Refusal::GitLab)
            }
            Some(_) | None => {
                let verified = rules.oidc.verify(token, now).await;
                verified.map_err(Refusal::TokenRefused)
            }
        }
    }

    /// For GitLab alone, if it is asked about users.
    async fn user(
        &self,
        agent: AgentId,
        token: Token<'_>,
        from: IpAddr,
    ) -> Result<Caller, Refusal> {
        let gitlab = self.gitlab.as_ref().filter(|gitlab| gitlab.has_secret());
        let gitlab = gitlab.ok_or(Refusal::BadCredential(CredentialError::Kind))?;
        let user = gitlab.user(agent, token, from).await;
        user.map_err(Refusal::GitLab)
    }

    async fn session(&self, session: &Session, from: IpAddr) -> Result<Caller, Refusal> {
        let gitlab = self.gitlab.as_ref();
        let gitlab = gitlab.ok_or(Refusal::BadCredential(CredentialError::Missing))?;
        let (cookie, proof) = (&session.cookie, &session.csrf_token);
        let user = gitlab.session(session.agent, cookie, proof, from).await;
        user.map_err(Refusal::GitLab)
    }
}

impl Bearer {
    /// Whether it came from a browser, which sends it to whoever asks for it.
    pub(crate) fn is_of_browser(&self) -> bool {
        matches!(self.shown, Shown::Session(_))
    }

    fn is_still(&self, headers: &HeaderMap, session: Option<&Session>, now: Instant) -> bool {
        let is_same = match (&self.shown, session) {
            (Shown::Session(own), Some(session)) => own.is(session),
            (Shown::Authorization(own), None) => {
                let mut values = headers.get_all(AUTHORIZATION).iter();
                values.next() == Some(own) && values.next().is_none()
            }
            (Shown::Session(_), None) | (Shown::Authorization(_), Some(_)) => false,
        };
        is_same && now < self.believed_until && self.caller.ended().is_none()
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("who", self.caller.who())
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
