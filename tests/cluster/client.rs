//! Which kubectl, and how it carries exec and its like: the one of the cluster's version and another (see
//! [`xtask::tools::other_kubectl`]), by WebSocket and by SPDY.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
};

use crate::{installation::Upgrade, world::World};
use adit_identity::JobId;

/// A kind of client, whether this machine can have it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    is_ours: bool,
    carrier: Carrier,
}

/// How exec, attach and port-forward are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The default since kubectl 1.31.
    WebSocket,
    /// Before.
    Spdy,
}

/// A kubectl to call.
#[derive(Clone, Debug)]
pub struct Client {
    program: PathBuf,
    carrier: Carrier,
    /// Fit for a name in the cluster.
    pub name: &'static str,
    callers: Arc<Mutex<Vec<JobId>>>,
}

/// All of them.
pub const KINDS: [Kind; 4] = [
    Kind {
        is_ours: true,
        carrier: Carrier::WebSocket,
    },
    Kind {
        is_ours: true,
        carrier: Carrier::Spdy,
    },
    Kind {
        is_ours: false,
        carrier: Carrier::WebSocket,
    },
    Kind {
        is_ours: false,
        carrier: Carrier::Spdy,
    },
];

impl Kind {
    pub fn name(self) -> &'static str {
        match (self.is_ours, self.carrier) {
            (true, Carrier::WebSocket) => "ours-websocket",
            (true, Carrier::Spdy) => "ours-spdy",
            (false, Carrier::WebSocket) => "other-websocket",
            (false, Carrier::Spdy) => "other-spdy",
        }
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// This machine cannot have it; why.
    pub fn find(self, world: &World) -> Result<Client, &str> {
        let program = if self.is_ours {
            &world.cluster.kubectl
        } else {
            world.cluster.other_kubectl()?
        };
        Ok(Client {
            program: program.to_owned(),
            carrier: self.carrier,
            name: self.name(),
            callers: Arc::default(),
        })
    }
}

impl Carrier {
    /// What a connection for this kind of operation becomes with it.
    pub fn upgrade(self, kind: &str) -> Upgrade {
        let (to, protocol) = match (self, kind) {
            (Self::WebSocket, "exec") => ("websocket", "v5.channel.k8s.io"),
            (Self::WebSocket, "port_forward") => ("websocket", "SPDY/3.1+portforward.k8s.io"),
            (Self::Spdy, "exec") => ("SPDY/3.1", "v4.channel.k8s.io"),
            (Self::Spdy, "port_forward") => ("SPDY/3.1", "portforward.k8s.io"),
            (Self::WebSocket | Self::Spdy, _) => panic!("{kind} upgrades nothing"),
        };
        Upgrade {
            kind: kind.to_owned(),
            to: to.to_owned(),
            protocol: protocol.to_owned(),
        }
    }
}

impl Client {
    pub fn ours(world: &World) -> Self {
        KINDS[0]
            .find(world)
            .expect("the cluster comes with a kubectl")
    }

    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// This job is about to call it.
    pub fn is_called_by(&self, job: JobId) {
        self.callers.lock().unwrap().push(job);
    }

    /// Whatever its callers did was carried as it should be: kubectl goes back from WebSocket to SPDY without a word.
    ///
    /// # Panics
    ///
    /// When something was carried otherwise, or nothing at all.
    pub fn check_carrier(&self, world: &World) {
        let relay = &world.shared().relay;
        relay.until_recorded(world.any_job().identity.job);
        let callers = self.callers.lock().unwrap().clone();
        for upgrade in relay.upgrades(&callers) {
            assert_eq!(upgrade, self.carrier.upgrade(&upgrade.kind));
        }
    }

    /// A call without an environment of ours.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        if self.carrier == Carrier::Spdy {
            command
                .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
                .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
        }
        command
    }
}
