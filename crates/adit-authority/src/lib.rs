//! Who vouches for a caller, and what the caller may do.
//!
//! A request passes through here in three steps, each taking what the last one proved:
//!  1. [`Credential::parse`]: the `Authorization` header holds exactly one bearer token, perhaps with an agent's id.
//!  2. [`Oidc::verify`]: an issuer whose keys we hold vouches for the token; or [`GitLab::job`] and [`GitLab::user`]: GitLab does when
//!     it is asked. The result is a [`Caller`].
//!  3. [`Authoriser::permit`]: that caller may reach that agent, and as whom there; the result is a [`Permit`].
//!
//! Agents come in through [`AgentTokens::holder`] instead, or [`GitLab::agent`] when GitLab knows them.
//!
//! Invariants:
//!  - Neither [`Caller`] nor [`Permit`] can be made outside this crate: who holds one has passed the checks.
//!  - A token is never logged or put into an error; caches know it by its keyed hash, config files by its SHA-256. The text of a
//!    token is kept only where GitLab has to be asked about it again, and wiped afterwards.
//!  - This crate opens no socket: keys are fetched through [`FetchKeys`], GitLab is asked through [`AskGitLab`]; the relay implements
//!    both.
//!  - What a filter or a claim leaves in doubt is refused.

pub mod agent_file;
mod agents;
mod authorise;
mod caller;
pub mod ci_access;
mod credential;
mod ended;
#[cfg(test)]
mod examples;
pub mod gitlab;
pub mod issuer;
pub mod oidc;
mod permit;
mod secrets;
mod tag;
pub mod token;
mod url;

pub use agent_file::{AgentFile, Home};
pub use agents::{Agent, AgentTokens, Agents, Authorities, RawAgent, RawAuthority};
pub use authorise::{
    Admitted, Authoriser, Explanation, KeptOut, Licence, NotAllowed, Question, Reachable, Rule,
    Unlisted, Verdict,
};
pub use caller::{Caller, Who};
pub use ci_access::AccessAs;
pub use credential::{Credential, CredentialError, DEFAULT_MAX_CREDENTIAL_BYTES, Form, Token};
pub use ended::{Affected, Ended, Running};
pub use gitlab::{
    AskGitLab, GitLab, GitLabAgent, GitLabConfig, GitLabError, GitLabWork, RawGitLab, Trouble,
    Unusable,
};
pub use oidc::{FetchError, FetchKeys, KeyRefresh, Oidc, OidcConfig, RawOidc, TokenError};
pub use permit::Permit;
pub use secrets::{BadSecrets, Secrets};
