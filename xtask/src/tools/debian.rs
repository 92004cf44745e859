//! What a real node needs of the system, as Debian packages: installed when we are root and there is apt, else named.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{command, progress};

/// A program or file, and the package that has it.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    /// A program's name, or a file's whole path.
    pub what: &'static str,
    /// The Debian package.
    pub package: &'static str,
}

impl Needed {
    fn is_there(self) -> bool {
        if self.what.starts_with('/') {
            Path::new(self.what).exists()
        } else {
            command::find(self.what).is_some()
        }
    }
}

/// What a real node needs beside Kubernetes' own programs.
pub const NODE: &[Needed] = &[
    Needed {
        what: "containerd",
        package: "containerd",
    },
    Needed {
        what: "ctr",
        package: "containerd",
    },
    Needed {
        what: "runc",
        package: "runc",
    },
    Needed {
        what: "/usr/lib/cni/bridge",
        package: "containernetworking-plugins",
    },
    Needed {
        what: "/bin/busybox",
        package: "busybox-static",
    },
    Needed {
        what: "iptables",
        package: "iptables",
    },
    Needed {
        what: "ip",
        package: "iproute2",
    },
    Needed {
        what: "gcc",
        package: "gcc",
    },
    Needed {
        what: "ldd",
        package: "libc-bin",
    },
];

/// What a step of the demo needs.
pub const CURL: Needed = Needed {
    what: "curl",
    package: "curl",
};

/// The packages that are missing.
#[must_use]
pub fn missing(needed: &[Needed]) -> Vec<&'static str> {
    let mut packages: Vec<_> = needed
        .iter()
        .filter(|needed| !needed.is_there())
        .map(|needed| needed.package)
        .collect();
    packages.dedup();
    packages
}

/// Makes sure all of it is there.
///
/// # Errors
/// Something is missing, and we are not root or there is no apt; the text has the command to run.
pub fn ready(needed: &[Needed]) -> Result<()> {
    let packages = missing(needed);
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if !can_install() {
        bail!("the system lacks what a real node needs; as root: {by_hand}");
    }
    progress::step(&format!("installed {}", packages.join(" ")), || {
        install(&packages)
            .or_else(|_| {
                apt(&["update", "-qq"])?;
                install(&packages)
            })
            .with_context(|| format!("run it yourself to see why: {by_hand}"))
    })
}

/// Whether we are root, and apt is there.
#[must_use]
pub fn can_install() -> bool {
    rustix::process::geteuid().is_root() && command::find("apt-get").is_some()
}

fn install(packages: &[&str]) -> Result<()> {
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(packages);
    apt(&args)
}

fn apt(args: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    command::text_of(&mut apt, "", Duration::from_mins(10)).map(drop)
}
