//! The container runtime: the system's containerd with root, state and socket in the cluster's folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::super::daemon::Daemon;
use super::super::record::Record;
use super::bridge;
use crate::image::{self, Packing};
use crate::tools::Tools;
use crate::wait::{self, Look};
use crate::{command, image::Image};

/// A running containerd.
#[derive(Debug)]
pub(in super::super) struct Containerd {
    daemon: Daemon,
    socket: PathBuf,
}

impl Containerd {
    /// Starts it, and gives it the images that every cluster has.
    pub(super) fn start(record: &Record, tools: &Tools) -> Result<Self> {
        let socket = socket(record);
        fs::create_dir_all(record.path("cni"))?;
        fs::write(
            record.path("cni/10-pods.conflist"),
            bridge::cni_config(record),
        )?;
        let version = command::text(Command::new("containerd").arg("--version"))?;
        let config = record.path("containerd.toml");
        fs::write(&config, configuration(record, is_old(&version)))?;
        let mut run = Command::new("containerd");
        run.arg("--config").arg(&config);
        let daemon = Daemon::start(record, "containerd", run)?;
        let mut containerd = Self { daemon, socket };
        wait::until(Duration::from_secs(30), "containerd to answer", || {
            containerd.check()?;
            Ok(Look::from(command::text(containerd.ctr().arg("version"))))
        })?;
        containerd.import_own(record, tools)?;
        Ok(containerd)
    }

    fn import_own(&self, record: &Record, tools: &Tools) -> Result<()> {
        let add = |name: &str, image: Image| {
            let file = record.path("image.tar");
            image.write(&file, name, Packing::Plain)?;
            self.import(&file)
        };
        add(PAUSE, image::pause(tools, record.folder())?)?;
        for tag in ["1", "2"] {
            add(&format!("adit.local/app:{tag}"), image::app(tag)?)?;
        }
        Ok(())
    }

    pub(super) fn import(&self, image: &Path) -> Result<()> {
        let mut ctr = self.ctr();
        ctr.args(["images", "import"]).arg(image);
        command::text(&mut ctr)
            .context("containerd does not take the image")
            .map(drop)
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn check(&mut self) -> Result<()> {
        self.daemon.check()
    }

    fn ctr(&self) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address")
            .arg(&self.socket)
            .args(["--namespace", "k8s.io"]);
        ctr
    }
}

pub(super) fn socket(record: &Record) -> PathBuf {
    record.path("containerd.sock")
}

/// Before 2.0 the configuration had another layout. `containerd github.com/... 1.6.20~ds1 ...`, `... v2.0.1 ...`
fn is_old(version: &str) -> bool {
    version
        .split_whitespace()
        .any(|word| word.trim_start_matches('v').starts_with("1."))
}

/// `restrict_oom_score_adj`: a root without `CAP_SYS_RESOURCE` may not lower the score, and no sandbox would start.
fn configuration(record: &Record, is_old: bool) -> String {
    let folder = record.folder().display();
    let storage = snapshotter(record);
    let head = format!(
        r#"root = "{folder}/containerd"
state = "{folder}/run"
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"#
    );
    let runtime = |plugin: &str, bin: &str, sandbox: &str, storage: &str| {
        format!(
            r#"[plugins."{plugin}"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  {sandbox}
  [plugins."{plugin}".cni]
    {bin}
    conf_dir = "{folder}/cni"
  [plugins."{plugin}".containerd]
    {storage}
    default_runtime_name = "runc"
    [plugins."{plugin}".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."{plugin}".containerd.runtimes.runc.options]
        Root = "{folder}/runc"
        SystemdCgroup = false
"#
        )
    };
    if is_old {
        let rest = runtime(
            "io.containerd.grpc.v1.cri",
            &format!("bin_dir = \"{CNI_PLUGINS}\""),
            &format!("sandbox_image = \"{PAUSE}\""),
            &format!("snapshotter = \"{storage}\""),
        );
        return format!("version = 2\n{head}{rest}");
    }
    let images = format!(
        r#"[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{storage}"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE}"
"#
    );
    let plugins = format!("bin_dirs = [\"{CNI_PLUGINS}\"]");
    let rest = runtime("io.containerd.cri.v1.runtime", &plugins, "", "");
    format!("version = 3\n{head}{images}{rest}")
}

/// An overlay cannot lie on an overlay, which is what a container's own file system often is.
fn snapshotter(record: &Record) -> &'static str {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let below = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(at, _)| record.folder().starts_with(at))
        .max_by_key(|(at, _)| at.len());
    match below {
        Some((_, "overlay")) => "native",
        Some(_) | None => "overlayfs",
    }
}

/// The image of the program that holds a pod's namespaces.
const PAUSE: &str = "adit.local/pause:1";
const CNI_PLUGINS: &str = "/usr/lib/cni";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_of_the_configuration_are_told_apart() {
        assert!(is_old(
            "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1"
        ));
        assert!(is_old(
            "containerd github.com/containerd/containerd v1.7.2 0cae"
        ));
        assert!(!is_old(
            "containerd github.com/containerd/containerd/v2 v2.1.4 75cb"
        ));
    }
}
