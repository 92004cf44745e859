//! Generates the types from `proto/` without a protoc binary.

use std::{error::Error, path::PathBuf};

const ROOT: &str = "../../proto";
const FILES: [&str; 10] = [
    "adit/tunnel/v1/tunnel.proto",
    "adit/exchange/v1/exchange.proto",
    "adit/pushes/v1/pushes.proto",
    "gitaly/gitaly.proto",
    "gitlab/agent/agent_tracker/rpc/agent_tracker.proto",
    "gitlab/agent/configuration_project/rpc/configuration_project.proto",
    "gitlab/agent/notifications/rpc/notifications.proto",
    "gitlab/agent/server_info/rpc/server_info.proto",
    "google/rpc/status.proto",
    "kubernetes/v1/status.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let root = PathBuf::from(ROOT);
    let descriptors = protox::compile(FILES.iter().map(|file| root.join(file)), [&root])?;
    tonic_prost_build::configure()
        .bytes(".")
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
