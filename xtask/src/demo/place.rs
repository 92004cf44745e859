//! The cluster of the demo: one of its own, or one that exists. Told apart here and nowhere else.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xtask::cluster::{Cluster, Node, Options};
use xtask::command;
use xtask::progress::step;
use xtask::tools::{Module, Tools};

/// Where everything happens.
#[derive(Debug)]
pub(super) struct Place {
    kubeconfig: PathBuf,
    /// None: the kubeconfig's current one.
    context: Option<String>,
    tools: Tools,
    kind: Kind,
    images: Vec<String>,
    applied: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    Own { cluster: Box<Cluster>, node: Node },
    Existing,
}

impl Place {
    /// A cluster of its own.
    pub(super) fn own(node: Node) -> Result<Self> {
        let tools = Tools::ready(MODULES)?;
        let options = Options {
            node,
            ..Options::default()
        };
        let cluster = step(&format!("cluster ready, with {node}"), || {
            Cluster::start(options)
        })?;
        Ok(Self {
            kubeconfig: cluster.kubeconfig("admin")?,
            context: None,
            tools,
            kind: Kind::Own {
                cluster: Box::new(cluster),
                node,
            },
            images: OWN_IMAGES.map(str::to_owned).into(),
            applied: Vec::new(),
        })
    }

    /// The cluster of a kubeconfig, which stays; it can have these images.
    pub(super) fn existing(kubeconfig: &Path, images: Vec<String>) -> Result<Self> {
        let file = kubeconfig
            .canonicalize()
            .with_context(|| format!("there is no {}", kubeconfig.display()))?;
        let mut place = Self {
            kubeconfig: file,
            context: None,
            tools: Tools::ready(MODULES)?,
            kind: Kind::Existing,
            images,
            applied: Vec::new(),
        };
        // Its owner may go to another cluster while this runs, or is kept.
        let context = command::text(place.kubectl().args(["config", "current-context"]))?;
        place.context = Some(context.trim_end().to_owned());
        let mut get = place.kubectl();
        get.args(["get", "--ignore-not-found", "--output=name", "namespace"]);
        let taken = command::text(get.args(["shop", "adit-agent"]))?;
        ensure!(
            taken.is_empty(),
            "the cluster has these already, and the demo would take them away: {}",
            taken.split_whitespace().collect::<Vec<_>>().join(", ")
        );
        Ok(place)
    }

    /// That of its owner.
    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub(super) fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The folder of its own cluster.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Own { cluster, .. } => Some(cluster.folder()),
            Kind::Existing => None,
        }
    }

    /// Where the relay listens: where the agent reaches it.
    pub(super) fn address(&self) -> IpAddr {
        match &self.kind {
            Kind::Own { cluster, .. } => cluster.address(),
            Kind::Existing => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// The cluster whose node runs the agent, if it can.
    pub(super) fn real_node(&self) -> Option<&Cluster> {
        match &self.kind {
            Kind::Own {
                cluster,
                node: Node::Real,
            } => Some(cluster),
            Kind::Own {
                node: Node::Kwok | Node::None,
                ..
            }
            | Kind::Existing => None,
        }
    }

    /// Whether what runs in a pod really runs.
    pub(super) fn has_real_pods(&self) -> bool {
        match &self.kind {
            Kind::Own { node, .. } => *node == Node::Real,
            Kind::Existing => true,
        }
    }

    /// What the agent's step is called.
    pub(super) fn agent_runs(&self) -> &'static str {
        if self.real_node().is_some() {
            "agent started in the cluster"
        } else {
            "agent started beside the cluster"
        }
    }

    /// Two images with busybox, to deploy one and then the other.
    pub(super) fn images(&self) -> [&str; 2] {
        let [image, next] = self.images.as_slice() else {
            return OWN_IMAGES;
        };
        [image, next]
    }

    /// What the cluster's owner writes.
    pub(super) fn apply_rbac(&mut self) -> Result<()> {
        // A cluster with a real Flux has these already, and keeps them.
        let flux = [
            "get",
            "crd",
            "gitrepositories.source.toolkit.fluxcd.io",
            "--ignore-not-found",
            "--output=name",
        ];
        if command::text(self.kubectl().args(flux))?.is_empty() {
            self.apply(super::read("flux.yaml")?)?;
        }
        self.apply(super::read("rbac.yaml")?)
    }

    /// Applies manifests, and remembers to take away what was not there before. In a cluster that stays, what is there already stays
    /// as it is.
    pub(super) fn apply(&mut self, manifests: String) -> Result<()> {
        let manifests = match self.kind {
            Kind::Own { .. } => manifests,
            Kind::Existing => self.missing(&manifests)?,
        };
        if manifests.is_empty() {
            return Ok(());
        }
        let applied = self.with_input(&["apply", "--filename", "-"], &manifests);
        // Ctrl-C may have come in the middle of it.
        self.applied.push(manifests);
        applied.map(drop)
    }

    /// Those objects that are not in the cluster.
    fn missing(&self, manifests: &str) -> Result<String> {
        let parse = [
            "create",
            "--dry-run=client",
            "--output=json",
            "--filename",
            "-",
        ];
        let objects = self.with_input(&parse, manifests)?;
        let get = [
            "get",
            "--ignore-not-found",
            "--output=name",
            "--filename",
            "-",
        ];
        let mut missing = String::new();
        for object in serde_json::Deserializer::from_str(&objects).into_iter::<Value>() {
            let object = object?.to_string();
            if self.with_input(&get, &object)?.is_empty() {
                missing.push_str(&object);
                missing.push('\n');
            }
        }
        Ok(missing)
    }

    /// The same for a folder with a kustomization.
    pub(super) fn apply_folder(&mut self, folder: &Path) -> Result<()> {
        let manifests = command::text(self.kubectl().arg("kustomize").arg(folder))?;
        self.apply(manifests)
    }

    /// Whether the API server knows constrained impersonation, which came to stay with Kubernetes 1.36.
    pub(super) fn constrains_impersonation(&self) -> Result<bool> {
        let version = command::text(self.kubectl().args(["get", "--raw", "/version"]))?;
        let version: Value = serde_json::from_str(&version)?;
        let number = |name| {
            // Some say `36+`.
            let digits = version.get(name)?.as_str()?.trim_end_matches('+');
            digits.parse::<u32>().ok()
        };
        let version = number("major")
            .zip(number("minor"))
            .context("the API server does not say its version")?;
        Ok(version >= (1, 36))
    }

    pub(super) fn with_input(&self, args: &[&str], input: &str) -> Result<String> {
        command::text_of(self.kubectl().args(args), input, Duration::from_mins(2))
    }

    /// kubectl as whoever owns the cluster.
    pub(super) fn kubectl(&self) -> Command {
        let mut kubectl = Command::new(self.tools.kubectl());
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig);
        if let Some(context) = &self.context {
            kubectl.arg("--context").arg(context);
        }
        kubectl
    }

    /// How the API server is reached, as the part `cluster` of a kubeconfig.
    pub(super) fn api_server(&self) -> Result<Value> {
        let view = [
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "--output=json",
        ];
        let config: Value = serde_json::from_str(&command::text(self.kubectl().args(view))?)?;
        config
            .pointer("/clusters/0/cluster")
            .cloned()
            .context("the kubeconfig has no current cluster")
    }

    /// Takes away what it put into a cluster that stays.
    pub(super) fn tidy(&mut self) -> Result<()> {
        if let Kind::Own { .. } = self.kind {
            return Ok(());
        }
        let mut outcome = Ok(());
        while let Some(manifests) = self.applied.pop() {
            let mut delete = self.kubectl();
            delete.args(["delete", "--ignore-not-found", "--filename", "-"]);
            // What cannot be taken away must not keep the rest.
            let taken = command::insist(&mut delete, &manifests, TAKEN_AWAY_WITHIN);
            outcome = outcome.and(taken);
        }
        outcome
    }

    /// Leaves it all, and notes in a folder what [`Self::tidy_kept`] is to take away.
    pub(super) fn leave_running(mut self, folder: &Path) -> Result<()> {
        match std::mem::replace(&mut self.kind, Kind::Existing) {
            Kind::Own { cluster, .. } => {
                self.applied.clear();
                cluster.leave_running()
            }
            Kind::Existing => {
                let kept = serde_json::to_string(&Kept {
                    kubeconfig: self.kubeconfig.clone(),
                    context: self.context.clone(),
                    applied: self.applied.clone(),
                })?;
                fs::write(folder.join(Kept::FILE), kept)
                    .context("what is to be taken away later cannot be noted")?;
                self.applied.clear();
                Ok(())
            }
        }
    }

    /// Takes away what a demo that was kept put into a cluster that stays, if it noted such in its folder.
    pub(super) fn tidy_kept(folder: &Path) -> Result<()> {
        let file = folder.join(Kept::FILE);
        if !file.exists() {
            return Ok(());
        }
        let tidy = || {
            let kept: Kept = serde_json::from_str(&fs::read_to_string(&file)?)?;
            let mut place = Self {
                kubeconfig: kept.kubeconfig,
                context: kept.context,
                tools: Tools::ready(MODULES)?,
                kind: Kind::Existing,
                images: Vec::new(),
                applied: kept.applied,
            };
            place.tidy()
        };
        tidy().with_context(|| {
            format!(
                "not everything was taken out of the cluster, so {} stays: try again, or if there is no such cluster any more, remove {}",
                folder.display(),
                file.display()
            )
        })
    }
}

/// A demo that was kept has this machine's real node, and whoever runs another would wait for it in vain.
pub(super) fn none_is_kept() -> Result<()> {
    if let Some(folder) = Node::kept()? {
        bail!(
            "this machine has a real node, which was kept; take it down with `cargo xtask down {}`, or say --node kwok",
            folder.display()
        );
    }
    Ok(())
}

/// What a demo that is kept leaves in a cluster that stays, as its folder has it.
#[derive(Debug, Deserialize, Serialize)]
struct Kept {
    kubeconfig: PathBuf,
    context: Option<String>,
    applied: Vec<String>,
}

impl Kept {
    const FILE: &str = "applied.json";
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.tidy() {
            xtask::progress::line(format_args!(
                "not everything was taken out of the cluster: {error:#}"
            ));
        }
    }
}

/// A namespace with pods in it takes its time.
const TAKEN_AWAY_WITHIN: Duration = Duration::from_mins(2);
const MODULES: &[Module] = &[Module::Kubernetes, Module::Helm];
/// Every real node of ours has them.
const OWN_IMAGES: [&str; 2] = ["adit.local/app:1", "adit.local/app:2"];
/// What any other can pull.
pub(super) const PUBLIC_IMAGES: [&str; 2] = [
    "docker.io/library/busybox:1.36",
    "docker.io/library/busybox:1.37",
];
