//! What we need of the system, as Debian packages: installed when we are root and there is apt, else named. And what we need of a
//! package alone: unpacked, which changes nothing of the machine and starts no service.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

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
        what: "mount",
        package: "mount",
    },
    Needed {
        what: "gcc",
        package: "gcc",
    },
    Needed {
        what: "/usr/include/stdlib.h",
        package: "libc6-dev",
    },
    Needed {
        what: "ldd",
        package: "libc-bin",
    },
];

/// What tests need beside that.
pub const TESTS: &[Needed] = &[
    CPP,
    CURL,
    Needed {
        what: "git",
        package: "git",
    },
    Needed {
        what: "systemd-analyze",
        package: "systemd",
    },
    Needed {
        what: "nginx",
        package: "nginx",
    },
    Needed {
        what: "haproxy",
        package: "haproxy",
    },
    Needed {
        what: "tinyproxy",
        package: "tinyproxy-bin",
    },
    Needed {
        what: "h2load",
        package: "nghttp2-client",
    },
    Needed {
        what: "valgrind",
        package: "valgrind",
    },
    Needed {
        what: "chromium",
        package: "chromium",
    },
    Needed {
        what: "chromedriver",
        package: "chromium-driver",
    },
    Needed {
        what: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        package: "fonts-dejavu-core",
    },
];

/// libFuzzer is C++.
pub const CPP: Needed = Needed {
    what: "g++",
    package: "g++",
};

/// What a step of the demo needs.
pub const CURL: Needed = Needed {
    what: "curl",
    package: "curl",
};

/// Whether all of it is there, or [`ready`] could install it.
///
/// # Errors
/// Something is missing, and we are not root or there is no apt; the text has the command to run.
pub fn available(needed: &[Needed]) -> Result<()> {
    let missing = missing(needed);
    if missing.is_empty() || can_install() {
        return Ok(());
    }
    let lacking: Vec<_> = missing.iter().map(|needed| needed.what).collect();
    bail!(
        "this machine lacks {}; on Debian, as root: {}",
        lacking.join(", "),
        by_hand(&packages(&missing))
    );
}

/// Makes sure all of it is there.
///
/// # Errors
/// As [`available`], or it cannot be installed.
pub fn ready(needed: &[Needed]) -> Result<()> {
    available(needed)?;
    let packages = packages(&missing(needed));
    if packages.is_empty() {
        return Ok(());
    }
    progress::step(&format!("installed {}", packages.join(" ")), || {
        install(&packages)
            .or_else(|_| {
                apt(&["update", "-qq"])?;
                install(&packages)
            })
            .with_context(|| format!("run it yourself to see why: {}", by_hand(&packages)))
    })
}

fn missing(needed: &[Needed]) -> Vec<Needed> {
    let missing = needed.iter().filter(|needed| !needed.is_there());
    missing.copied().collect()
}

fn packages(missing: &[Needed]) -> Vec<&'static str> {
    let mut packages: Vec<_> = missing.iter().map(|needed| needed.package).collect();
    packages.dedup();
    packages
}

fn by_hand(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Whether [`unpack`] could work.
pub(super) fn can_unpack(package: &str) -> Result<()> {
    let programs = ["apt-get", "dpkg-deb"];
    ensure!(
        programs.map(command::find).iter().all(Option::is_some),
        "this machine lacks {package}, and is no Debian that could fetch it"
    );
    Ok(())
}

/// Fetches a package, which apt holds to its lists' checksums, and unpacks it here.
pub(super) fn unpack(package: &str, into: &Path) -> Result<()> {
    fs::create_dir_all(into)?;
    let fetch = || {
        let mut apt = Command::new("apt-get");
        apt.args(["download", "-qq", package]).current_dir(into);
        command::text_of(&mut apt, "", Duration::from_mins(10)).map(drop)
    };
    fetch().or_else(|error| {
        if !can_install() {
            return Err(error);
        }
        apt(&["update", "-qq"])?;
        fetch()
    })?;
    let archive = fs::read_dir(into)?
        .next()
        .context("apt fetched nothing")??;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").args([archive.path(), into.into()]);
    command::text(&mut unpack)?;
    Ok(fs::remove_file(archive.path())?)
}

/// Whether we are root, and apt is there.
fn can_install() -> bool {
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
