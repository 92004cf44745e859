//! [`ActAs`] to and from its wire form. `head` calls it. Invariant: what comes in is held to the same rules as what is made
//! here, and what is absent, doubled or unknown is refused: an agent never guesses as whom it acts.

use adit_identity::{ActAs, BadImpersonation, Extra, Impersonation};
use adit_proto::exchange as proto;
use bytes::BytesMut;
use prost::Message;

use crate::wire::{
    Malformed, Reader, bytes_key, bytes_len, bytes_len_unless_empty, put_bytes,
    put_bytes_unless_empty, put_len,
};

/// Writes an `Identity` as the field `key`.
pub(crate) fn put(out: &mut BytesMut, key: u8, act_as: &ActAs) {
    match act_as {
        ActAs::Agent => {
            put_len(out, key, bytes_len(0));
            put_len(out, AS_AGENT, 0);
        }
        ActAs::Impersonate(impersonation) => {
            let len = impersonation_len(impersonation);
            put_len(out, key, bytes_len(len));
            put_len(out, IMPERSONATION, len);
            put_impersonation(out, impersonation);
        }
    }
}

/// How many bytes [`put`] takes.
pub(crate) fn encoded_len(act_as: &ActAs) -> usize {
    bytes_len(bytes_len(match act_as {
        ActAs::Agent => 0,
        ActAs::Impersonate(impersonation) => impersonation_len(impersonation),
    }))
}

/// Reads an `Identity`.
///
/// # Errors
/// It is not one to act as. The same bytes are always read alike.
pub fn read(identity: &[u8]) -> Result<ActAs, BadIdentity> {
    let mut found = None;
    let mut reader = Reader::new(identity);
    while let Some((number, value)) = reader.field()? {
        let act_as = match number {
            1 => value.bytes().map(|_| ActAs::Agent)?,
            2 => ActAs::Impersonate(read_impersonation(value.bytes()?)?),
            _ => continue,
        };
        if found.replace(act_as).is_some() {
            return Err(BadIdentity::Ambiguous);
        }
    }
    found.ok_or(BadIdentity::Absent)
}

/// Why an identity is not one to act as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// It is not said as whom to act, or only in a way this version does not know.
    #[error("it names nobody")]
    Absent,
    /// Two of them.
    #[error("it names more than one")]
    Ambiguous,
    /// Not the encoding of an identity.
    #[error("it is malformed")]
    Malformed,
    /// A user that no header can carry unchanged.
    #[error("it cannot be impersonated")]
    Impersonation(#[from] BadImpersonation),
}

impl From<Malformed> for BadIdentity {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

fn put_impersonation(out: &mut BytesMut, impersonation: &Impersonation) {
    put_bytes(out, USER, impersonation.user().as_bytes());
    put_bytes_unless_empty(out, UID, impersonation.uid().unwrap_or_default().as_bytes());
    for group in impersonation.groups() {
        put_bytes(out, GROUP, group.as_bytes());
    }
    for extra in impersonation.extra() {
        put_len(out, EXTRA, extra_len(extra));
        put_bytes_unless_empty(out, EXTRA_KEY, extra.key.as_bytes());
        for value in &extra.values {
            put_bytes(out, EXTRA_VALUE, value.as_bytes());
        }
    }
}

fn impersonation_len(impersonation: &Impersonation) -> usize {
    bytes_len(impersonation.user().len())
        + bytes_len_unless_empty(impersonation.uid().unwrap_or_default().len())
        + impersonation
            .groups()
            .iter()
            .map(|group| bytes_len(group.len()))
            .sum::<usize>()
        + impersonation
            .extra()
            .iter()
            .map(|extra| bytes_len(extra_len(extra)))
            .sum::<usize>()
}

fn extra_len(extra: &Extra) -> usize {
    bytes_len_unless_empty(extra.key.len())
        + extra
            .values
            .iter()
            .map(|value| bytes_len(value.len()))
            .sum::<usize>()
}

fn read_impersonation(message: &[u8]) -> Result<Impersonation, BadIdentity> {
    let message = proto::Impersonation::decode(message).map_err(|_| BadIdentity::Malformed)?;
    let uid = Some(message.uid).filter(|uid| !uid.is_empty());
    let extra = message
        .extra
        .into_iter()
        .map(|proto::Extra { key, values }| Extra { key, values })
        .collect();
    Ok(Impersonation::new(
        message.user,
        uid,
        message.groups,
        extra,
    )?)
}

const AS_AGENT: u8 = bytes_key(1);
const IMPERSONATION: u8 = bytes_key(2);
const USER: u8 = bytes_key(1);
const UID: u8 = bytes_key(2);
const GROUP: u8 = bytes_key(3);
const EXTRA: u8 = bytes_key(4);
const EXTRA_KEY: u8 = bytes_key(1);
const EXTRA_VALUE: u8 = bytes_key(2);

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    fn round(act_as: &ActAs) -> ActAs {
        let mut out = BytesMut::new();
        put(&mut out, bytes_key(4), act_as);
        assert_eq!(out.len(), encoded_len(act_as));
        let (_, value) = Reader::new(&out).field().unwrap().unwrap();
        read(value.bytes().unwrap()).unwrap()
    }

    #[test]
    fn identities_survive() {
        let extra = vec![
            Extra {
                key: "agent.gitlab.com/id".into(),
                values: vec!["7".into(), "8".into()],
            },
            Extra {
                key: "k".into(),
                values: vec!["ü".into()],
            },
        ];
        let user = Impersonation::new(
            "gitlab:ci_job:1".into(),
            Some("u".into()),
            vec!["a".into(), "a".into()],
            extra,
        )
        .unwrap();
        let plain = Impersonation::new("x".into(), None, vec![], vec![]).unwrap();
        for act_as in [
            ActAs::Agent,
            ActAs::Impersonate(user),
            ActAs::Impersonate(plain),
        ] {
            assert_eq!(round(&act_as), act_as);
        }
    }

    #[test]
    fn an_identity_that_names_nobody_is_refused() {
        assert_eq!(read(&[]), Err(BadIdentity::Absent));
        // A kind from the future.
        assert_eq!(read(&[bytes_key(3), 0]), Err(BadIdentity::Absent));
        assert!(matches!(
            read(&[IMPERSONATION, 0]),
            Err(BadIdentity::Impersonation(_))
        ));
    }

    #[test]
    fn an_identity_that_names_two_is_refused() {
        assert_eq!(
            read(&[AS_AGENT, 0, AS_AGENT, 0]),
            Err(BadIdentity::Ambiguous)
        );
        let mut both = BytesMut::new();
        put(
            &mut both,
            bytes_key(4),
            &ActAs::Impersonate(Impersonation::new("x".into(), None, vec![], vec![]).unwrap()),
        );
        both.advance(2);
        put_len(&mut both, AS_AGENT, 0);
        assert_eq!(read(&both), Err(BadIdentity::Ambiguous));
    }
}
