//! Decides which `Impersonate-*` fields a request carries to the API server. Called by [`crate::serve`] once per request,
//! after everything else was stripped or added, so that nothing can change the identity afterwards.
//! Invariant: a request that leaves here on behalf of somebody carries exactly one `Impersonate-User`, and nothing of the
//! kind that a caller wrote. One that acts as the agent itself carries what the caller wrote (`kubectl --as`), as GitLab
//! has it for `access_as: agent`: then the ceiling holds for those names.

mod ceiling;

use adit_identity::{ActAs, Impersonation};
use http::{HeaderMap, HeaderName, HeaderValue, header};

pub(crate) use self::ceiling::{Beyond, Ceiling, Pattern};

/// Why the agent does not act on a request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotActing {
    /// The relay let a field through that it must never forward: it is broken, or somebody else.
    #[error("the request came with the field `{0}`, which only the agent may set")]
    Smuggled(HeaderName),
    /// The identity is above what this agent's owner allows.
    #[error(transparent)]
    Beyond(#[from] Beyond),
    /// A part of the identity cannot stand in a field. Never so for a checked [`Impersonation`].
    #[error("the identity is not text that a header field can hold")]
    Unwritable,
}

/// Writes the identity into `headers`, last.
///
/// # Errors
/// A field of the caller's is in the way, or the identity is not one this agent acts as. `headers` must not be sent then.
pub(crate) fn apply(
    headers: &mut HeaderMap,
    act_as: &ActAs,
    ceiling: &Ceiling,
) -> Result<(), NotActing> {
    refuse(headers, is_credential)?;
    match act_as {
        ActAs::Agent => {
            ceiling.check_agent()?;
            check_own(headers, ceiling)
        }
        ActAs::Impersonate(impersonation) => {
            refuse(headers, is_impersonation)?;
            ceiling.check(impersonation)?;
            write(headers, impersonation)?;
            assert_one_user(headers)
        }
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

fn write(headers: &mut HeaderMap, impersonation: &Impersonation) -> Result<(), NotActing> {
    headers.insert(USER, value(impersonation.user())?);
    if let Some(uid) = impersonation.uid() {
        headers.insert(UID, value(uid)?);
    }
    for group in impersonation.groups() {
        headers.append(GROUP, value(group)?);
    }
    for extra in impersonation.extra() {
        let name = extra_name(&extra.key)?;
        for text in &extra.values {
            headers.append(&name, value(text)?);
        }
    }
    Ok(())
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

/// Names of users and groups may be any UTF-8, and the API server reads them as such.
fn value(text: &str) -> Result<HeaderValue, NotActing> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| NotActing::Unwritable)
}

/// The API server unescapes the key, so that keys may hold what a field's name may not, such as a slash.
/// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation>
fn extra_name(key: &str) -> Result<HeaderName, NotActing> {
    let mut name = String::with_capacity(EXTRA.len() + key.len() + 8);
    name.push_str(EXTRA);
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push('%');
            for digit in [byte >> 4, byte & 15] {
                name.extend(char::from_digit(digit.into(), 16));
            }
        }
    }
    HeaderName::try_from(name).map_err(|_| NotActing::Unwritable)
}

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const EXTRA: &str = "impersonate-extra-";

#[cfg(test)]
mod tests;
