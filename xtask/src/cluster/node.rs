//! The cluster's node, if it has one, in the steps in which it comes: network, container runtime, kubelet.

mod bridge;
mod cgroup;
mod containerd;
mod kubelet;
mod kwok;
mod leftovers;
mod machine;

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, bail};

pub(super) use self::bridge::ADDRESS;
use self::containerd::Containerd;
pub(super) use self::leftovers::sweep;
pub(super) use self::machine::{MachineLock, can_be_real, kept};
use super::Node;
use super::access::Access;
use super::certificates::Authority;
use super::daemon::Daemon;
use super::record::Record;
use crate::tools::Tools;

/// The first step: what must be there before the API server can bind.
#[derive(Debug)]
pub(super) enum Network {
    None,
    Simulated,
    Bridge(MachineLock),
}

impl Network {
    pub(super) fn set_up(node: Node, record: &Record) -> Result<Self> {
        Ok(match node {
            Node::None => Self::None,
            Node::Kwok => Self::Simulated,
            Node::Real => {
                let lock = machine::prepare(record)?;
                cgroup::set_up()?;
                bridge::set_up()?;
                Self::Bridge(lock)
            }
        })
    }
}

/// The node from its second step on.
#[derive(Debug)]
pub(super) enum Running {
    None,
    Kwok {
        kwok: Option<Daemon>,
    },
    Real {
        containerd: Containerd,
        kubelet: Option<Daemon>,
        _lock: MachineLock,
    },
}

impl Running {
    /// Starts containerd and gives it its first images, while the API server starts.
    pub(super) fn start_runtime(network: Network, record: &Record, tools: &Tools) -> Result<Self> {
        Ok(match network {
            Network::None => Self::None,
            Network::Simulated => Self::Kwok { kwok: None },
            Network::Bridge(lock) => Self::Real {
                containerd: Containerd::start(record, tools)?,
                kubelet: None,
                _lock: lock,
            },
        })
    }

    /// Makes it a node of the cluster.
    pub(super) fn join(
        &mut self,
        record: &Record,
        tools: &Tools,
        access: &Access,
        authority: &Authority,
    ) -> Result<()> {
        match self {
            Self::None => {}
            Self::Kwok { kwok } => *kwok = Some(kwok::start(record, tools, access, authority)?),
            Self::Real {
                containerd,
                kubelet,
                ..
            } => {
                *kubelet = Some(kubelet::start(
                    record, tools, access, authority, containerd,
                )?);
            }
        }
        Ok(())
    }

    /// The node's name in the cluster.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Kwok { .. } | Self::Real { .. } => Some(NAME),
        }
    }

    pub(super) fn check(&mut self) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Kwok { kwok } => kwok.iter_mut().try_for_each(Daemon::check),
            Self::Real {
                containerd,
                kubelet,
                ..
            } => {
                containerd.check()?;
                kubelet.iter_mut().try_for_each(Daemon::check)
            }
        }
    }

    pub(super) fn import_image(&self, image: &Path) -> Result<()> {
        match self {
            Self::Real { containerd, .. } => containerd.import(image),
            Self::None | Self::Kwok { .. } => {
                bail!("the cluster has no real node to give images to")
            }
        }
    }
}

const NAME: &str = "adit-node";
/// Where the pods of a simulated node seem to be.
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
