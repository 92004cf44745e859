//! A real Kubernetes cluster without containers around it: etcd, API server, controller manager and scheduler as
//! processes on free ports, and if wanted a node.
//!
//! The demo and the tests call [`Cluster::start`]; ready takes 4 to 6 s. Everything lies in one temporary folder.
//! Invariant: each process and each change to the machine is noted in that folder before it can be forgotten (see
//! `record.rs`). Dropping the cluster undoes it all; if this process is killed instead, a guard of its own does.

mod access;
mod certificates;
mod control_plane;
mod daemon;
mod guard;
mod node;
mod observed;
mod processes;
mod record;
mod sweep;

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use self::access::Access;
pub use self::access::User;
pub use self::certificates::{Authority, Pair};
use self::control_plane::ControlPlane;
pub use self::daemon::Daemon;
use self::guard::Guard;
pub use self::guard::{clean_up_after, take_down};
use self::node::Running;
pub use self::observed::Observed;
pub use self::processes::Processes;
use self::record::Record;
use crate::tools::{Module, Tools};
use crate::wait::{self, Look};
use crate::{command, progress};

/// What kind of node a cluster gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Node {
    /// None: pods are never scheduled.
    #[default]
    None,
    /// A kubelet with containerd and runc: everything is real. Root on Linux; one per machine.
    Real,
    /// kwok: pods are simulated, `logs`, `exec`, `attach` and `port-forward` work after a fashion. Runs anywhere.
    Kwok,
}

/// How to start a cluster.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The node.
    pub node: Node,
    /// Users beside `admin`, who is in `system:masters`.
    pub users: Vec<User>,
    /// Who is told what the API server does: nobody, unless somebody is named.
    pub observed: Option<Observed>,
}

/// A running cluster. Dropped, it is gone without a trace.
#[derive(Debug)]
pub struct Cluster {
    // First: it ends the processes, whose handles then find them ended.
    guard: Guard,
    node: Running,
    control_plane: ControlPlane,
    access: Access,
    tools: Tools,
    record: Record,
}

impl Node {
    /// The kind to take where nobody chose: real where it runs, else simulated.
    #[must_use]
    pub fn best() -> Self {
        if Self::Real.missing().is_ok() {
            Self::Real
        } else {
            Self::Kwok
        }
    }

    /// The folder of a real node that was kept, beside which this machine can have no other.
    ///
    /// # Errors
    /// What this machine notes of it cannot be read.
    pub fn kept() -> Result<Option<PathBuf>> {
        node::kept()
    }

    /// Whether this machine can have such a node, once `start` has built and installed what it can.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn missing(self) -> Result<()> {
        crate::tools::available(&self.modules())?;
        if self == Self::Real {
            node::can_be_real()?;
        }
        Ok(())
    }

    fn modules(self) -> Vec<Module> {
        let mut modules = vec![Module::Etcd, Module::Kubernetes];
        if self == Self::Kwok {
            modules.push(Module::Kwok);
        }
        modules
    }
}

impl Cluster {
    /// Builds what is missing, starts everything, and waits until it can be used: pods can run, the service account
    /// of namespace `default` is there.
    ///
    /// # Errors
    /// Something is missing or does not start; the text has the end of its log. Nothing is left behind.
    pub fn start(options: Options) -> Result<Self> {
        let tools = Tools::ready(&options.node.modules())?;
        let address = options.node.address();
        let record = Record::create()?;
        let guard = Guard::start(record.clone())?;
        let network = node::Network::set_up(options.node, &record)?;
        let authority = Authority::new("adit cluster")?;
        let access = Access::prepare(&record, address, &authority, options.users)?;
        let mut control_plane =
            ControlPlane::prepare(&record, &tools, &access, &authority, options.observed)?;
        control_plane.start_store()?;
        let node = Running::start_runtime(network, &record, &tools)?;
        let mut cluster = Self {
            guard,
            node,
            control_plane,
            access,
            tools,
            record,
        };
        cluster.wait_for_api()?;
        cluster.control_plane.start_controllers()?;
        cluster
            .node
            .join(&cluster.record, &cluster.tools, &cluster.access, &authority)?;
        cluster.wait_for_node()?;
        Ok(cluster)
    }

    /// Where the API server listens, `https://address:port`: for this machine, and for the pods of a real node.
    #[must_use]
    pub fn server(&self) -> &str {
        self.access.server()
    }

    /// The address of this machine that pods reach, too. Loopback where there is no real node.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.access.address()
    }

    /// PEM file of the CA that signed the API server's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.access.ca()
    }

    /// A file that makes kubectl this user: `admin`, or one of [`Options::users`].
    ///
    /// # Errors
    /// There is no such user.
    pub fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        self.access.kubeconfig(user)
    }

    /// This user's bearer token.
    ///
    /// # Errors
    /// There is no such user.
    pub fn token(&self, user: &str) -> Result<&str> {
        self.access.token(user)
    }

    /// What the API server writes down of requests, a JSON object per line, if it was told to ([`Options::observed`]).
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        observed::audit_log(&self.record)
    }

    /// The programs it was started from.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// A folder that goes with the cluster.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.record.folder()
    }

    /// kubectl as `admin`.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.kubectl_by(&self.access)
    }

    /// Applies manifests (YAML) as `admin`.
    ///
    /// # Errors
    /// kubectl's.
    pub fn apply(&self, manifests: &str) -> Result<()> {
        let mut kubectl = self.kubectl();
        kubectl.args(["apply", "--filename", "-"]);
        command::text_of(&mut kubectl, manifests, Duration::from_mins(1)).map(drop)
    }

    /// Gives the real node an image that lies in a tar; pods use it with `imagePullPolicy: Never`.
    ///
    /// # Errors
    /// There is no real node, or containerd refuses the image.
    pub fn import_image(&self, image: &Path) -> Result<()> {
        self.node.import_image(image)
    }

    /// Stops the API server, and leaves it down.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop_api_server(&mut self) -> Result<()> {
        self.control_plane.stop_api_server()
    }

    /// Starts the API server after [`Self::stop_api_server`]; returns when it is ready.
    ///
    /// # Errors
    /// It does not come back.
    pub fn start_api_server(&mut self) -> Result<()> {
        self.control_plane.start_api_server()?;
        self.wait_for_api()
    }

    /// Starts one more API server, for as long as the cluster: it behaves as one of that version of Kubernetes (such as `1.35`, as far as
    /// the program still can), knows the same users and none of the objects, and nothing works for it, no node and no controller. Gives
    /// the file that makes kubectl `admin` there.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_api_server_as_of(&mut self, version: &str) -> Result<PathBuf> {
        let access = self.access.beside(version)?;
        self.control_plane.start_as_of(version, &access)?;
        let mut kubectl = self.kubectl_by(&access);
        self.wait_for_answer(kubectl.args(READYZ))?;
        Ok(access.admin_kubeconfig())
    }

    /// Fails when anything that should run does not.
    ///
    /// # Errors
    /// Which process ended, and the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.control_plane.check()?;
        self.node.check()
    }

    /// Leaves everything running when this process ends.
    ///
    /// # Errors
    /// That cannot be noted; it then goes with the cluster.
    pub fn leave_running(mut self) -> Result<()> {
        self.guard.leave_running()
    }

    fn wait_for_api(&mut self) -> Result<()> {
        let mut kubectl = self.kubectl();
        self.wait_for_answer(kubectl.args(READYZ))
    }

    fn wait_for_answer(&mut self, kubectl: &mut Command) -> Result<()> {
        wait::until(START_WITHIN, "the API server to be ready", || {
            self.check()?;
            Ok(Look::from(command::text(kubectl).map(drop)))
        })
    }

    fn kubectl_by(&self, access: &Access) -> Command {
        let mut kubectl = Command::new(self.tools.kubectl());
        kubectl.arg("--kubeconfig").arg(access.admin_kubeconfig());
        kubectl
    }

    fn wait_for_node(&mut self) -> Result<()> {
        wait::until(START_WITHIN, "the cluster to be ready", || {
            self.check()?;
            let account = self.looks(
                &["get", "serviceaccount", "default", "--output=name"],
                "default",
            );
            let node = match self.node.name() {
                Some(name) => self.looks(&["get", "node", name, READY], "True"),
                None => Ok(()),
            };
            Ok(Look::from(account.and(node)))
        })
    }

    fn looks(&self, args: &[&str], expected: &str) -> Result<()> {
        let said = command::text(self.kubectl().args(args))?;
        anyhow::ensure!(
            said.contains(expected),
            "`kubectl {}`: {said}",
            args.join(" ")
        );
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            keep_logs(&self.record);
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no node",
            Self::Real => "a real node",
            Self::Kwok => "a simulated node",
        })
    }
}

impl Node {
    fn address(self) -> IpAddr {
        match self {
            Self::None | Self::Kwok => Ipv4Addr::LOCALHOST.into(),
            Self::Real => node::ADDRESS.into(),
        }
    }
}

/// A failed test is explained by logs that would go with the folder.
fn keep_logs(record: &Record) {
    let to = crate::workspace::root().join("target/cluster-logs");
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(record.logs())? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    if copy().is_ok() {
        progress::line(format_args!(
            "the cluster's logs are kept in {}",
            to.display()
        ));
    }
}

const READYZ: [&str; 3] = ["get", "--raw", "/readyz"];
const READY: &str = r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
const START_WITHIN: Duration = Duration::from_mins(1);
