//! Decides who is calling: reads the credential and has an authority vouch for its token.
//!
//! The first stage of `handle.rs`. A connection remembers the last credential that was verified on it, so that a client's
//! next request costs a comparison of bytes. Invariant: what is remembered is believed for [`BELIEVED_FOR`] at most, and
//! never past the token's end, so that a key taken out by its issuer counts here too.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use adit_authority::{Caller, Credential, Oidc, TokenError};
use adit_identity::AgentId;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use tokio::time::Instant;

use crate::{
    call::Call,
    jobs::{JobUse, Jobs},
    metrics::Metrics,
    refusal::Refusal,
};

mod fetch;

pub(crate) use fetch::Fetch;

/// How long a connection goes on with a verified token without asking the authority again.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// The stage between a request and a caller.
#[derive(Debug)]
pub(crate) struct Authenticate {
    oidc: Arc<Oidc>,
    jobs: Jobs,
    max_credential_bytes: usize,
    metrics: Arc<Metrics>,
}

/// A verified credential and what hangs on it.
pub(crate) struct Bearer {
    /// The header it was read from, to know it again.
    authorization: HeaderValue,
    believed_until: Instant,
    /// Who it is.
    pub(crate) caller: Caller,
    /// The agent that the credential names.
    pub(crate) agent: Option<AgentId>,
    /// When everything that runs under the token is cut, if its authority has said so.
    pub(crate) ends: Option<Instant>,
    /// What the job uses.
    pub(crate) job_use: Arc<JobUse>,
}

impl Authenticate {
    pub(crate) fn new(
        oidc: Arc<Oidc>,
        jobs: Jobs,
        max_credential_bytes: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            oidc,
            jobs,
            max_credential_bytes,
            metrics,
        }
    }

    /// The caller of a request. Cancel-safe; waits only when an issuer's keys must be fetched.
    pub(crate) async fn bearer(
        &self,
        headers: &HeaderMap,
        call: &Call<'_>,
    ) -> Result<Arc<Bearer>, Refusal> {
        if let Some(known) = call.connection.bearer.lock().as_ref()
            && known.is_still(headers, call.began)
        {
            return Ok(Arc::clone(known));
        }
        let bearer = Arc::new(self.verify(headers, call.began).await?);
        let took = call.began.elapsed();
        call.took.authenticate.set(took);
        self.metrics.stages.authenticate.observe(took.as_secs_f64());
        *call.connection.bearer.lock() = Some(Arc::clone(&bearer));
        Ok(bearer)
    }

    async fn verify(&self, headers: &HeaderMap, began: Instant) -> Result<Bearer, Refusal> {
        let values = headers.get_all(AUTHORIZATION);
        let credential = Credential::parse(
            values.iter().map(HeaderValue::as_bytes),
            self.max_credential_bytes,
        )
        .map_err(Refusal::BadCredential)?;
        let now = SystemTime::now();
        let caller = self
            .oidc
            .verify(credential.token(), now)
            .await
            .map_err(Refusal::TokenRefused)?;
        let ends = match caller.expires_at() {
            Some(end) => {
                let left = end.duration_since(now);
                Some(began + left.map_err(|_| Refusal::TokenRefused(TokenError::Expired))?)
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
            authorization,
            believed_until: ends.map_or(believed_until, |ends| ends.min(believed_until)),
            agent: credential.agent(),
            ends,
            job_use: self.jobs.of(&caller),
            caller,
        })
    }
}

impl Bearer {
    fn is_still(&self, headers: &HeaderMap, now: Instant) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let is_same = values.next() == Some(&self.authorization) && values.next().is_none();
        is_same && now < self.believed_until
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer")
            .field("job", &self.caller.job().job)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}
