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

/// `adit.pushes.v1`: what agents are told of pushes.
pub mod pushes {
    tonic::include_proto!("adit.pushes.v1");
}

/// `kubernetes.v1`: Kubernetes' own protobuf form of a `Status`.
pub mod kubernetes {
    tonic::include_proto!("kubernetes.v1");
}

/// `gitaly`: what Gitaly answers about a repository.
pub mod gitaly {
    tonic::include_proto!("gitaly");
}

/// `google.rpc`: the details of a gRPC error.
pub mod google_rpc {
    tonic::include_proto!("google.rpc");
}

/// `gitlab.agent`: what GitLab asks a relay. Nested as its packages are: generated code refers to its neighbours by that.
pub mod gitlab {
    /// `gitlab.agent.entity`: what several calls speak of.
    pub mod entity {
        tonic::include_proto!("gitlab.agent.entity");
    }

    /// `gitlab.agent.event`: what happened in GitLab.
    pub mod event {
        tonic::include_proto!("gitlab.agent.event");
    }

    /// `gitlab.agent.notifications`: GitLab tells what happened.
    pub mod notifications {
        /// `gitlab.agent.notifications.rpc`.
        pub mod rpc {
            tonic::include_proto!("gitlab.agent.notifications.rpc");
        }
    }

    /// `gitlab.agent.agent_tracker`: GitLab asks which agents are connected.
    pub mod agent_tracker {
        tonic::include_proto!("gitlab.agent.agent_tracker");

        /// `gitlab.agent.agent_tracker.rpc`.
        pub mod rpc {
            tonic::include_proto!("gitlab.agent.agent_tracker.rpc");
        }
    }

    /// `gitlab.agent.configuration_project`: GitLab asks which agents have a configuration file.
    pub mod configuration_project {
        /// `gitlab.agent.configuration_project.rpc`.
        pub mod rpc {
            tonic::include_proto!("gitlab.agent.configuration_project.rpc");
        }
    }

    /// `gitlab.agent.server_info`: GitLab asks what a relay is.
    pub mod server_info {
        tonic::include_proto!("gitlab.agent.server_info");

        /// `gitlab.agent.server_info.rpc`.
        pub mod rpc {
            tonic::include_proto!("gitlab.agent.server_info.rpc");
        }
    }
}
