//! Types generated from `proto/`, nothing else.
//!
//! The protocol is documented where it is defined, in the `.proto` files: who sends each message, when, and its limits.
//! `bytes` fields are [`bytes::Bytes`] and share the buffer that they were decoded from.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    clippy::use_self,
    clippy::unused_async,
    unused_qualifications,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls,
    reason = "generated code; its comments are those of the .proto files"
)]

/// `adit.tunnel.v1`: the frames of a session.
pub mod tunnel {
    tonic::include_proto!("adit.tunnel.v1");
}

/// `adit.exchange.v1`: one HTTP exchange inside a stream.
pub mod exchange {
    tonic::include_proto!("adit.exchange.v1");
}

/// `kubernetes.v1`: Kubernetes' own protobuf form of a `Status`.
pub mod kubernetes {
    tonic::include_proto!("kubernetes.v1");
}
