//! An identity as header fields. Called by [`super::Acting`] once per identity.
//! Invariant: what is written is all of the identity, or an error; nothing is changed on the way but the escaping that the API
//! server undoes.

use adit_identity::Impersonation;
use http::{HeaderName, HeaderValue};

use super::{GROUP, NotActing, USER};

/// The fields that say who it is.
///
/// # Errors
/// [`NotActing::Unwritable`].
pub(super) fn of(
    impersonation: &Impersonation,
) -> Result<Vec<(HeaderName, HeaderValue)>, NotActing> {
    let mut fields = vec![(USER, value(impersonation.user())?)];
    if let Some(uid) = impersonation.uid() {
        fields.push((UID, value(uid)?));
    }
    for group in impersonation.groups() {
        fields.push((GROUP, value(group)?));
    }
    for extra in impersonation.extra() {
        let name = extra_name(&extra.key)?;
        for text in &extra.values {
            fields.push((name.clone(), value(text)?));
        }
    }
    Ok(fields)
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

const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const EXTRA: &str = "impersonate-extra-";
