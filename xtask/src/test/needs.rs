//! What tests need of the machine, had before they run: here a long build shows its progress, in a test nobody would see it.
//!
//! What cannot be had is told and kills nothing: the tests that need it look for themselves, and show as skipped.

use anyhow::Result;

use crate::cluster::Node;
use crate::progress::{Tone, line, paint};
use crate::tools::{self, CiLocal, Envoy, Module, Prometheus, Tools, debian};

pub(super) fn ready() {
    for get in [
        packages,
        node,
        programs,
        other_kubectl,
        pipelines,
        flux,
        prometheus,
        grafana,
        envoy,
    ] {
        if let Err(why) = get() {
            line(paint(Tone::Odd, format_args!("  {why:#}")));
        }
    }
}

fn packages() -> Result<()> {
    debian::ready(debian::TESTS)
}

fn node() -> Result<()> {
    Node::Real.missing()?;
    debian::ready(debian::NODE)
}

fn programs() -> Result<()> {
    Tools::ready(&[Module::Etcd, Module::Kubernetes, Module::Helm, Module::Kwok]).map(drop)
}

fn other_kubectl() -> Result<()> {
    tools::other_kubectl().map(drop)
}

fn pipelines() -> Result<()> {
    CiLocal::ready().map(drop)
}

fn flux() -> Result<()> {
    Tools::ready(&Module::FLUX).map(drop)
}

fn prometheus() -> Result<()> {
    Prometheus::ready().map(drop)
}

fn grafana() -> Result<()> {
    Tools::ready(&[Module::Grafana]).map(drop)
}

fn envoy() -> Result<()> {
    Envoy::ready().map(drop)
}
