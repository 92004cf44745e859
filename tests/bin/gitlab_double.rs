//! The double of GitLab as a program: for demos, and for pipelines that run outside a test's process.
//!
//! Starts with the world of a file, prints one line of JSON with what others need to know (its URL, the files of its secret and
//! CA, agents' tokens, jobs with their tokens and kubeconfigs), and runs until it is ended.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "what it prints is for another program, and has the members that are set here"
)]

use std::{path::PathBuf, sync::Arc};

use adit_tests::{
    gitlab,
    gitlab::{K8S_PROXY_URL, Seed, control},
    pki,
};
use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
};

/// A double of GitLab.
#[derive(Debug, Parser)]
struct Arguments {
    /// What it holds: YAML or JSON.
    #[arg(long)]
    world: PathBuf,
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Without TLS.
    #[arg(long)]
    plain: bool,
    /// The URL that tokens and pages name, such as `https://gitlab.test`. Where it listens, by default.
    #[arg(long)]
    external_url: Option<String>,
    /// Where jobs find the Kubernetes API.
    #[arg(long, default_value = K8S_PROXY_URL)]
    k8s_proxy_url: String,
    /// Takes orders here: loopback only, it asks nobody who they are.
    #[arg(long)]
    control: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let seed = Seed::read(&arguments.world)?;
    let mut builder = gitlab()
        .listening(&arguments.listen)
        .k8s_proxy_at(&arguments.k8s_proxy_url);
    if arguments.plain {
        builder = builder.plain();
    }
    if let Some(url) = &arguments.external_url {
        builder = builder.at(url);
    }
    let gitlab = Arc::new(builder.start().await);
    let mut facts = gitlab.seed(&seed)?;
    let folder = tempfile::tempdir()?;
    facts["ca_file"] = json!(pki::shared().write_ca(folder.path()));
    let control_at = match &arguments.control {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))?,
        ),
        None => None,
    };
    if let Some(listener) = &control_at {
        facts["control"] = json!(format!("http://{}", listener.local_addr()?));
    }
    println!("{facts}");
    let obeying = async {
        match control_at {
            Some(listener) => control(listener, gitlab).await,
            None => std::future::pending().await,
        }
    };
    // What it keeps in folders goes with it.
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        () = obeying => {}
        _ = terminated.recv() => {}
        _ = ctrl_c() => {}
    }
    Ok(())
}
