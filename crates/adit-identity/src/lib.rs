//! Who a caller is and as whom an agent acts: ids, identities of jobs and users, impersonations. Parsed, checked and printed here;
//! nothing in this crate reads a file, a socket or a clock, and nothing in it holds a token. How config files are checked
//! ([`mistakes`]) is here, too, below all crates that have some, and which addresses are one caller's ([`site()`]).
//!
//! Invariants that the rest of adit builds on:
//!  - An [`Impersonation`] can be sent as `Impersonate-*` headers and arrives as it was: it has a user, and none of its
//!    values is empty, padded or holds a control character.
//!  - [`JobIdentity::impersonation`], [`JobIdentity::user_impersonation`] and [`UserIdentity::impersonation`] are the only places that
//!    know GitLab's names for users, groups and extras.
//!  - A [`FullPath`] is compared by whole segments and without regard to case, never as a string prefix.

mod ci_job;
mod ci_user;
mod environment;
mod ids;
mod impersonation;
mod job;
mod label;
pub mod mistakes;
pub mod operation;
mod path;
mod site;
mod slug;
mod user;

pub use environment::{BadEnvironment, Environment, Tier, UnknownTier};
pub use ids::{AgentId, BadId, GroupId, JobId, PipelineId, ProjectId, UserId};
pub use impersonation::{ActAs, BadImpersonation, Extra, Impersonation, Part};
pub use job::{GitRef, JobIdentity, Namespace, Project, RefKind, User};
pub use label::{BadLabel, Label};
pub use path::{BadPath, FullPath};
pub use site::site;
pub use slug::environment_slug;
pub use user::{AccessType, RoleNames, UserIdentity, UserRoles};
