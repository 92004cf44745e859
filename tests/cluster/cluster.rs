//! The cluster that `xtask` starts, as far as these tests need it, and what they lack where it cannot be had: without Go or
//! the programs built with it there is no control plane, without root on Linux pods are only simulated.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use anyhow::Result;
use serde_json::Value;
use xtask::{
    cluster::{Cluster as Running, Node as Kind, Observed, Options, User},
    image::{self, Image, Packing, Sbom},
    tools::{self, Module, Tools},
    workspace,
};

use crate::{traces::Traces, until::until};

pub struct Cluster {
    running: Mutex<Running>,
    /// The API server's, `https://address:port`.
    pub server: String,
    pub kubeconfig: PathBuf,
    pub kubectl: PathBuf,
    pub helm: PathBuf,
    other_kubectl: Result<PathBuf, String>,
    /// Why its node is not real, if it is not.
    missing: Result<(), String>,
    image: OnceLock<()>,
    unconstrained: OnceLock<PathBuf>,
    /// Where the API server's spans go, and may go whoever's else.
    pub traces: Traces,
    audit_log: PathBuf,
}

/// Why this machine cannot have a control plane, and how it could.
///
/// # Errors
///
/// It cannot.
pub fn available() -> Result<()> {
    Kind::best().missing()?;
    tools::available(&[Module::Helm])
}

impl Cluster {
    /// Starts it, with a real node where the machine can have one, else with a simulated one.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start() -> Result<Self> {
        let missing = Kind::Real.missing();
        let traces = Traces::start();
        let running = Running::start(Options {
            node: Kind::best(),
            users: vec![User::new(MONITORED, &[MONITORING])],
            observed: Some(Observed {
                audited: vec![AGENTS.to_owned(), MONITORING.to_owned()],
                collector: traces.address(),
            }),
        })?;
        Ok(Self {
            server: running.server().to_owned(),
            kubeconfig: running.kubeconfig("admin")?,
            kubectl: running.tools().kubectl(),
            helm: Tools::ready(&[Module::Helm])?.helm(),
            other_kubectl: tools::other_kubectl().map_err(|why| format!("{why:#}")),
            missing: missing.map_err(|why| format!("{why:#}")),
            image: OnceLock::new(),
            unconstrained: OnceLock::new(),
            traces,
            audit_log: running.audit_log(),
            running: Mutex::new(running),
        })
    }

    /// Whether what runs in a pod really runs.
    ///
    /// # Errors
    ///
    /// Pods are simulated; why, and how that can be changed.
    pub fn has_real_pods(&self) -> Result<(), &str> {
        match &self.missing {
            Ok(()) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// A kubectl that is not of the cluster's version.
    ///
    /// # Errors
    ///
    /// It cannot be had; why.
    pub fn other_kubectl(&self) -> Result<&Path, &str> {
        match &self.other_kubectl {
            Ok(program) => Ok(program),
            Err(why) => Err(why),
        }
    }

    /// The API server's address and port.
    ///
    /// # Panics
    ///
    /// When its URL has none.
    pub fn address(&self) -> SocketAddr {
        self.server.trim_start_matches("https://").parse().unwrap()
    }

    /// This user's bearer token.
    ///
    /// # Panics
    ///
    /// When there is no such user.
    pub fn token(&self, user: &str) -> String {
        self.running().token(user).unwrap().to_owned()
    }

    /// Waits for what the API server has written down of the request that it calls so.
    pub fn audited(&self, id: &str) -> Value {
        let mark = format!("\"auditID\":\"{id}\"");
        until("the API server has written the request down", || {
            let log = fs::read_to_string(&self.audit_log).unwrap_or_default();
            // The last line may be on its way.
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let line = whole.lines().find(|line| line.contains(&mark))?;
            Some(serde_json::from_str(line).unwrap())
        })
    }

    /// # Panics
    ///
    /// When it does not end.
    pub fn stop_api_server(&self) {
        self.running().stop_api_server().unwrap();
    }

    /// # Panics
    ///
    /// When it does not come back.
    pub fn start_api_server(&self) {
        self.running().start_api_server().unwrap();
    }

    /// An API server as it was before constrained impersonation, started once: the file that makes kubectl its administrator. It is empty, and
    /// nothing works for it.
    pub fn unconstrained(&self) -> &Path {
        let start = || self.running().start_api_server_as_of("1.35").unwrap();
        self.unconstrained.get_or_init(start)
    }

    /// Gives the node the image of `adit`, once, under the tags [`VERSION`] and [`NEXT_VERSION`]: what `cargo xtask image` writes, but
    /// around a binary that was not built for hours. Gives its name without a tag.
    pub fn image(&self) -> &'static str {
        self.image.get_or_init(|| {
            let adit = workspace::static_adit().unwrap();
            let image = image::released(&adit, Sbom::new().unwrap().text()).unwrap();
            let running = self.running();
            let file = running.folder().join("adit.tar");
            let give = |image: &Image, tag: &str| {
                let name = format!("{IMAGE}:{tag}");
                image.write(&file, &name, Packing::Plain).unwrap();
                running.import_image(&file).unwrap();
            };
            give(&image, VERSION);
            // Another digest, as another version has.
            give(&image.environment("ADIT_TEST_VERSION=next"), NEXT_VERSION);
        });
        IMAGE
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small system with busybox, whose variable `TAG` is the tag; 1 and 2.
pub fn app_image(tag: u32) -> String {
    format!("adit.local/app:{tag}")
}

/// A user in whose traces the API server goes on, if it has been given an agent's rights.
pub const MONITORED: &str = "agent-in-system-monitoring";
const MONITORING: &str = "system:monitoring";
/// Of the service account that the tests' agents have.
const AGENTS: &str = "system:serviceaccounts:adit-agent";
/// What the charts and manifests have for their version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The same thing once more, as if it were released after it.
pub const NEXT_VERSION: &str = "99.0.0";
const IMAGE: &str = "adit.local/adit";
