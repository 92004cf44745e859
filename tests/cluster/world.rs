//! What all tests share: the cluster, what stands in it, an issuer, and a relay with an agent that nobody kills.
//! Started by the first test that needs it, ended by `main`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use adit_authority::issuer::{Issuer, KeyKind};
use adit_identity::JobIdentity;
use xtask::{cluster::Processes, workspace};

use crate::{
    client::Client,
    cluster::{self, Cluster},
    installation::Installation,
    job::{Call, Job},
};

pub struct World {
    /// Before the cluster: its processes end first.
    shared: OnceLock<Installation>,
    bench: OnceLock<()>,
    pub adit: PathBuf,
    issuer: Issuer,
    /// Relays and agents run in its folder, which holds whatever tests write.
    pub processes: Arc<Processes>,
    jobs: AtomicU64,
    /// Held for reading by every test, for writing by one that disturbs all others.
    pub calm: RwLock<()>,
    pub cluster: Cluster,
}

/// The claim `aud` of the tests' tokens.
pub const AUDIENCE: &str = "adit-cluster-test";
/// The claim `iss`.
pub const ISSUER: &str = "https://gitlab.test";
/// The pod in which things are executed.
pub const BENCH: &str = "bench";
/// What a test makes is its own, and is gone with the cluster.
const FIXTURES: &str = include_str!("cluster.yaml");
const OBJECTS: &str = r#"--output=jsonpath={range .items[*]}{.metadata.namespace}/{.kind}/{.metadata.name}{"\n"}{end}"#;

#[derive(Default)]
enum State {
    #[default]
    Unstarted,
    Up(Arc<World>),
    Absent(Absent),
}

/// Why there is no world.
#[derive(Clone, Debug)]
pub enum Absent {
    /// The machine lacks what it takes: tests are skipped.
    Lacking(String),
    /// It should be there, and is not: tests fail.
    Broken(String),
}

static STATE: Mutex<State> = Mutex::new(State::Unstarted);

/// The world, started if it is not there yet.
///
/// # Errors
///
/// It could not be started, for this or for an earlier test.
pub fn world() -> Result<Arc<World>, Absent> {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if let State::Unstarted = *state {
        *state = State::Absent(Absent::Broken(
            "the world did not start for an earlier test".into(),
        ));
        *state = match World::start() {
            Ok(world) => State::Up(Arc::new(world)),
            Err(why) => State::Absent(why),
        };
    }
    match &*state {
        State::Up(world) => Ok(Arc::clone(world)),
        State::Absent(why) => Err(why.clone()),
        State::Unstarted => unreachable!("it was started"),
    }
}

/// Takes everything down. After a failure it shows what the shared relay and agent logged.
///
/// # Errors
///
/// A log of a relay or an agent holds a token. That is for all tests together: whoever leaked it, all of them looked on.
pub fn end(has_failed: bool) -> Result<(), String> {
    let state = std::mem::take(&mut *STATE.lock().unwrap_or_else(PoisonError::into_inner));
    let State::Up(world) = state else {
        return Ok(());
    };
    if has_failed && let Some(shared) = world.shared.get() {
        shared.show();
    }
    for entry in fs::read_dir(world.processes.folder().join("logs")).unwrap() {
        let path = entry.unwrap().path();
        let log = fs::read(&path).unwrap();
        if let Some(line) = String::from_utf8_lossy(&log)
            .lines()
            .find(|line| holds_token(line))
        {
            return Err(format!("{} holds a token: {line}", path.display()));
        }
    }
    Ok(())
}

fn holds_token(line: &str) -> bool {
    // What every JSON web token begins with, and what the tests' agent tokens do.
    line.contains("eyJ") || line.contains("canary-")
}

impl World {
    fn start() -> Result<Self, Absent> {
        cluster::available().map_err(|why| Absent::Lacking(format!("{why:#}")))?;
        let world = Self::new().map_err(|why| Absent::Broken(format!("{why:#}")))?;
        world.furnish();
        Ok(world)
    }

    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            shared: OnceLock::new(),
            bench: OnceLock::new(),
            adit: workspace::adit()?,
            issuer: Issuer::new(ISSUER, KeyKind::EcP256)?,
            processes: Arc::new(Processes::none()?),
            jobs: AtomicU64::new(9001),
            calm: RwLock::new(()),
            cluster: Cluster::start()?,
        })
    }

    /// Straight to the API server, as its administrator.
    pub fn admin(&self, line: &str) -> Call {
        self.admin_by(&self.cluster.kubeconfig, line)
    }

    /// As that file says.
    pub fn admin_by(&self, kubeconfig: &Path, line: &str) -> Call {
        let mut command = Client::ours(self).command();
        command
            .env("HOME", self.processes.folder())
            .arg("--kubeconfig")
            .arg(kubeconfig);
        Call::new(command, line)
    }

    /// A job through the shared relay, with this kubectl.
    pub fn job(&self, client: &Client) -> Job {
        Job::of(self, self.shared(), client)
    }

    /// A job through the shared relay.
    pub fn any_job(&self) -> Job {
        self.job(&Client::ours(self))
    }

    /// The relay and the agent that nobody kills.
    pub fn shared(&self) -> &Installation {
        self.shared.get_or_init(|| Installation::start(self))
    }

    /// Waits for the pod [`BENCH`].
    pub fn bench(&self) {
        self.bench.get_or_init(|| {
            self.admin("wait pod --all --namespace shop --for=condition=Ready --timeout=60s")
                .ok();
        });
    }

    /// A folder of its own for something, gone with the world.
    pub fn new_folder(&self, what: &str) -> PathBuf {
        let folder = self.processes.folder().join(self.name(what));
        fs::create_dir(&folder).unwrap();
        folder
    }

    pub fn next_job(&self) -> JobIdentity {
        let mut job = adit_tests::job(self.jobs.fetch_add(1, Ordering::Relaxed));
        job.issuer = ISSUER.into();
        job
    }

    pub fn token(&self, job: &JobIdentity, lifetime: Duration) -> String {
        self.issuer
            .token(job, AUDIENCE, SystemTime::now(), lifetime)
            .unwrap()
    }

    pub fn jwks(&self) -> String {
        self.issuer.jwks()
    }

    /// Something that no other test calls so.
    pub fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.jobs.fetch_add(1, Ordering::Relaxed))
    }

    /// What bears these labels, of any kind, wherever it is: `namespace/Kind/name`, without the first if it is in none.
    pub fn marked(&self, selector: &str) -> Vec<String> {
        let mut marked = Vec::new();
        for is_namespaced in [true, false] {
            let kinds = self
                .admin("api-resources --verbs=list,delete --output=name")
                .arg(format!("--namespaced={is_namespaced}"))
                .ok();
            let found = self
                .admin("get --all-namespaces")
                .arg(OBJECTS)
                .arg(kinds.split_whitespace().collect::<Vec<_>>().join(","))
                .arg("--selector")
                .arg(selector)
                .ok();
            marked.extend(found.lines().map(str::to_owned));
        }
        marked
    }

    /// The project's manifests.
    pub fn manifests() -> PathBuf {
        workspace::root().join("deploy/manifests")
    }

    /// Namespaces, RBAC, the agent's service account and its rights; pods.
    fn furnish(&self) {
        for part in ["agent/access", "agent/everywhere"] {
            self.admin("apply --kustomize")
                .arg(Self::manifests().join(part))
                .ok();
        }
        let (rbac, pods) = FIXTURES
            .split_once("# Pods.\n")
            .expect("the fixtures have two parts");
        self.admin("apply -f -").input(rbac).ok();
        self.admin("apply -f -")
            .input(pods.replace("IMAGE", &cluster::app_image(1)))
            .ok();
    }
}
