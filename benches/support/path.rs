//! One way from the load generator to the backend: its processes, and where to knock.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{
    caller::Caller, course::Course, job::FIRST_JOB, load::Target, process::Process, rig::Rig,
};

pub mod adit;
pub mod haproxy;
pub mod kas;
pub mod nghttpx;
pub mod rathole;
pub mod remotedialer;

/// The peer that most ratios refer to.
pub const NGHTTPX: &str = "nghttpx pair";
pub const HAPROXY: &str = "HAProxy pair";
pub const RATHOLE: &str = "rathole";
pub const REMOTEDIALER: &str = "remotedialer";
pub const KAS: &str = "kas and agentk";
pub const ADIT: &str = "adit";

/// A path that is up.
#[derive(Debug)]
pub struct Path {
    /// What is measured: the one that clients talk to first.
    pub hops: Vec<Process>,
    front: Front,
    /// What one of them needs and nobody measures.
    _aside: Option<Process>,
}

/// Where clients knock.
#[derive(Clone, Debug)]
struct Front {
    scheme: &'static str,
    port: u16,
    /// Before the path of every request.
    prefix: String,
    /// `Authorization: ...`
    authorization: String,
}

impl Front {
    /// Of who looks at neither paths nor tokens.
    fn bare(rig: &Rig, port: u16) -> Result<Self> {
        Ok(Self {
            scheme: "https",
            port,
            prefix: String::new(),
            authorization: rig.jobs.authorization(FIRST_JOB)?,
        })
    }
}

impl Path {
    #[must_use]
    pub fn target(&self, file: &str) -> Target {
        let Front {
            scheme,
            port,
            prefix,
            authorization,
        } = &self.front;
        Target {
            url: format!("{scheme}://127.0.0.1:{port}{prefix}/{file}"),
            headers: vec![authorization.clone()],
        }
    }

    /// The job of that id, as a client of its own.
    pub fn caller(&self, job: u64, rig: &Rig) -> Result<Caller> {
        Caller::new(rig, self.front.port, &self.front.prefix, job)
    }

    /// CPU of each hop so far, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> Vec<u64> {
        self.hops.iter().map(Process::cpu_ns).collect()
    }

    /// CPU of each hop since then, in nanoseconds.
    #[must_use]
    pub fn cpu_ns_since(&self, before: &[u64]) -> Vec<u64> {
        let spent = self.cpu_ns().into_iter().zip(before);
        spent.map(|(after, before)| after - before).collect()
    }

    /// Resident memory of all hops, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        self.hops.iter().map(Process::resident_kib).sum()
    }

    pub fn check_alive(&mut self) -> Result<()> {
        self.hops.iter_mut().try_for_each(Process::check_alive)
    }
}

/// A path by its name in tables.
#[derive(Clone, Debug)]
pub struct Contender {
    pub name: String,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    Nghttpx,
    Haproxy,
    Rathole(PathBuf),
    /// Its server and its client.
    Remotedialer([PathBuf; 2]),
    Kas(kas::Programs),
    /// Relay and agent of this binary.
    Adit(PathBuf),
}

impl Contender {
    /// The pairs of proxies, adit as it was built beside this program, and between them whom the environment names.
    pub fn usual() -> Result<Vec<Self>> {
        let ways = [
            (NGHTTPX, Some(Way::Nghttpx)),
            (HAPROXY, Some(Way::Haproxy)),
            (
                RATHOLE,
                named(rathole::VARIABLES).map(|[binary]| Way::Rathole(binary)),
            ),
            (
                REMOTEDIALER,
                named(remotedialer::VARIABLES).map(Way::Remotedialer),
            ),
            (KAS, kas::Programs::named()?.map(Way::Kas)),
            (ADIT, Some(Way::Adit(Self::built()?))),
        ];
        let there = |(name, way): (&str, Option<Way>)| Some(Self::new(name, way?));
        Ok(ways.into_iter().filter_map(there).collect())
    }

    /// Who runs only where the environment names their programs, and the variables that do.
    #[must_use]
    pub fn named_ones() -> [(&'static str, String); 3] {
        [
            (RATHOLE, rathole::VARIABLES.join(" and ")),
            (REMOTEDIALER, remotedialer::VARIABLES.join(" and ")),
            (KAS, kas::VARIABLES.join(" and ")),
        ]
    }

    /// The binary of adit beside this program.
    pub fn built() -> Result<PathBuf> {
        Ok(env::current_exe()?.with_file_name("adit"))
    }

    /// One more build of adit.
    #[must_use]
    pub fn adit(name: &str, binary: PathBuf) -> Self {
        Self::new(name, Way::Adit(binary))
    }

    fn new(name: &str, way: Way) -> Self {
        Self {
            name: name.to_owned(),
            way,
        }
    }

    #[must_use]
    pub fn is_adit(&self) -> bool {
        matches!(self.way, Way::Adit(_))
    }

    /// Without TLS, which most loads want, and slow: it takes part in one loop.
    #[must_use]
    pub fn is_in_clear(&self) -> bool {
        matches!(self.way, Way::Kas(_) | Way::Remotedialer(_))
    }

    /// In how many rounds of so many it takes part. No goal is held against rathole: it has two less, so that the race stays short.
    #[must_use]
    pub fn rounds(&self, of: u32) -> u32 {
        match self.way {
            Way::Rathole(_) => of.saturating_sub(2).max(1),
            Way::Nghttpx | Way::Haproxy | Way::Remotedialer(_) | Way::Kas(_) | Way::Adit(_) => of,
        }
    }

    /// Where its binary is, for what is measured of adit alone.
    pub fn binary(&self) -> Result<&std::path::Path> {
        match &self.way {
            Way::Adit(binary) => Ok(binary),
            Way::Nghttpx | Way::Haproxy | Way::Rathole(_) | Way::Remotedialer(_) | Way::Kas(_) => {
                None.context("this is no build of adit")
            }
        }
    }

    pub fn start(&self, rig: &Rig, course: &Course<'_>) -> Result<Path> {
        match &self.way {
            Way::Nghttpx => nghttpx::start(rig, course),
            Way::Haproxy => haproxy::start(rig, course),
            Way::Rathole(binary) => rathole::start(rig, binary, course),
            Way::Remotedialer(programs) => remotedialer::start(rig, programs, course),
            Way::Kas(programs) => kas::start(rig, programs, course),
            Way::Adit(binary) => adit::start(rig, binary, course),
        }
    }
}

/// The programs that these variables name; nothing unless all are set.
fn named<const COUNT: usize>(variables: [&str; COUNT]) -> Option<[PathBuf; COUNT]> {
    let named = variables.into_iter().map(|name| {
        let value = env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    });
    named.collect::<Option<Vec<_>>>()?.try_into().ok()
}
