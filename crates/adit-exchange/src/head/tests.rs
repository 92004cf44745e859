//! Our codec against the generated types, in both directions; and against bytes that are neither's.

mod codec;
mod refused;
mod samples;

use adit_identity::{ActAs, Extra, Impersonation};
use adit_proto::exchange as proto;
use http::StatusCode;
use prost::Message;

use super::{
    request::{self, RequestHead},
    *,
};
use crate::answer::Asked;

const LIMITS: HeadLimits = HeadLimits {
    max_fields: 256,
    max_bytes: 64 << 10,
};

fn field(name: &HeaderName, value: &HeaderValue) -> proto::Field {
    let known = names::number(name.as_str()).map_or(0, u32::from);
    let name = if known == 0 {
        Bytes::copy_from_slice(name.as_str().as_bytes())
    } else {
        Bytes::new()
    };
    proto::Field {
        known,
        name,
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

fn fields(headers: &HeaderMap) -> Vec<proto::Field> {
    headers
        .iter()
        .map(|(name, value)| field(name, value))
        .collect()
}

fn identity(act_as: &ActAs) -> proto::Identity {
    use proto::identity::Kind;
    let kind = match act_as {
        ActAs::Agent => Kind::AsAgent(proto::AsAgent {}),
        ActAs::Impersonate(user) => Kind::Impersonation(proto::Impersonation {
            user: user.user().to_owned(),
            uid: user.uid().unwrap_or_default().to_owned(),
            groups: user.groups().to_vec(),
            extra: user
                .extra()
                .iter()
                .map(|Extra { key, values }| proto::Extra {
                    key: key.clone(),
                    values: values.clone(),
                })
                .collect(),
        }),
    };
    proto::Identity { kind: Some(kind) }
}
