//! Decides which `Impersonate-*` fields a request carries to the API server, and whether it goes there. [`crate::serve`] has each request's identity read by
//! [`Identities`], and calls [`Acting::apply`] after everything else was stripped or added, so that nothing can change the identity
//! afterwards.
//! Invariant: a request that leaves here on behalf of somebody carries exactly one `Impersonate-User`, and nothing of the
//! kind that a caller wrote. One that acts as the agent itself carries what the caller wrote (`kubectl --as`), as GitLab
//! has it for `access_as: agent`: then the ceiling holds for those names.

mod ceiling;
mod deed;
mod fields;
mod identities;

use std::borrow::Borrow;
use std::sync::Arc;

use adit_identity::ActAs;
use http::{HeaderMap, HeaderName, HeaderValue, header};

pub(crate) use self::ceiling::{BadPattern, Beyond, Ceiling, Pattern, cover_all};
pub(crate) use self::deed::Deed;
pub(crate) use self::identities::Identities;

/// Why the agent does not act on a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotActing {
    /// The relay let a field through that it must never forward: it is broken, or somebody else.
    #[error("the request came with the field `{0}`, which only the agent may set")]
    Smuggled(HeaderName),
    /// The identity, or what is done for it, is above what this agent's owner allows.
    #[error(transparent)]
    Beyond(#[from] Beyond),
    /// A part of the identity cannot stand in a field. Never so for a checked [`Impersonation`].
    #[error("the identity is not text that a header field can hold")]
    Unwritable,
}

/// An identity and what it means here, found out once for all requests that carry it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Acting(Arc<Known>);

#[derive(Debug)]
struct Known {
    act_as: ActAs,
    ceiling: Arc<Ceiling>,
    /// What to write; nothing for the agent itself.
    fields: Result<Vec<(HeaderName, HeaderValue)>, NotActing>,
}

impl Acting {
    pub(crate) fn new(act_as: ActAs, ceiling: Arc<Ceiling>) -> Self {
        let fields = match &act_as {
            ActAs::Agent => ceiling
                .check_agent()
                .map(|()| Vec::new())
                .map_err(NotActing::from),
            ActAs::Impersonate(impersonation) => ceiling
                .check(impersonation)
                .map_err(NotActing::from)
                .and_then(|()| fields::of(impersonation)),
        };
        Self(Arc::new(Known {
            act_as,
            ceiling,
            fields,
        }))
    }

    /// Whom a caller names in these fields, if it acts as the agent itself and may therefore name somebody.
    pub(crate) fn named(&self, headers: &HeaderMap) -> HeaderMap {
        let mut named = HeaderMap::new();
        if self.0.act_as == ActAs::Agent {
            for (name, value) in headers.iter().filter(|(name, _)| is_impersonation(name)) {
                named.append(name.clone(), value.clone());
            }
        }
        named
    }

    /// Whether another ceiling covers the identity, whom a caller named beside it, and what is done.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn covered_by(
        &self,
        ceiling: &Arc<Ceiling>,
        named: &HeaderMap,
        deed: &Deed,
    ) -> Result<(), NotActing> {
        let acting = Self::new(self.0.act_as.clone(), Arc::clone(ceiling));
        acting.apply(&mut named.clone(), deed)
    }

    /// Whether it is that ceiling by which it was judged.
    fn is_under(&self, ceiling: &Arc<Ceiling>) -> bool {
        Arc::ptr_eq(&self.0.ceiling, ceiling)
    }

    /// Writes the identity into `headers`, last. `deed` is what the request with these headers does.
    ///
    /// # Errors
    /// A field of the caller's is in the way, or the identity is not one this agent acts as, or does that for. `headers` must not be sent
    /// then.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, deed: &Deed) -> Result<(), NotActing> {
        refuse(headers, is_credential)?;
        let known = &*self.0;
        known.ceiling.check_deed(deed)?;
        match known.act_as {
            ActAs::Agent => {
                known.fields.as_ref().map_err(NotActing::clone)?;
                check_own(headers, &known.ceiling)
            }
            ActAs::Impersonate(_) => {
                refuse(headers, is_impersonation)?;
                let fields = known.fields.as_ref().map_err(NotActing::clone)?;
                headers.reserve(fields.len());
                for (name, value) in fields {
                    headers.append(name, value.clone());
                }
                assert_one_user(headers)
            }
        }
    }
}

impl Borrow<ActAs> for Acting {
    fn borrow(&self) -> &ActAs {
        &self.0.act_as
    }
}

fn refuse(headers: &HeaderMap, is_refused: impl Fn(&HeaderName) -> bool) -> Result<(), NotActing> {
    match headers.keys().find(|name| is_refused(name)) {
        Some(name) => Err(NotActing::Smuggled(name.clone())),
        None => Ok(()),
    }
}

fn is_credential(name: &HeaderName) -> bool {
    *name == header::AUTHORIZATION || *name == header::PROXY_AUTHORIZATION
}

fn is_impersonation(name: &HeaderName) -> bool {
    name.as_str().starts_with("impersonate-")
}

/// A caller who acts as the agent may ask to act as others in turn; a relay that says so gets past the ceiling no more
/// than one that names them itself.
fn check_own(headers: &HeaderMap, ceiling: &Ceiling) -> Result<(), NotActing> {
    for user in headers.get_all(USER) {
        ceiling.check_user(text(user)?)?;
    }
    for group in headers.get_all(GROUP) {
        ceiling.check_group(text(group)?)?;
    }
    Ok(())
}

fn text(value: &HeaderValue) -> Result<&str, NotActing> {
    std::str::from_utf8(value.as_bytes())
        .map(str::trim)
        .map_err(|_| NotActing::Unwritable)
}

/// The last look before a request may leave: an API server that is not told whom to impersonate would act with all the
/// agent's own rights (CVE-2021-31999 was that).
fn assert_one_user(headers: &HeaderMap) -> Result<(), NotActing> {
    let mut users = headers.get_all(USER).iter();
    match (users.next(), users.next()) {
        (Some(user), None) if !user.is_empty() => Ok(()),
        _ => Err(NotActing::Unwritable),
    }
}

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");

#[cfg(test)]
mod tests;
