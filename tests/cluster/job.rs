//! A CI job: an ID token, the kubeconfig that `adit kubeconfig` made of it, and stock clients that know nothing else.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use adit_identity::JobIdentity;

use crate::{
    client::Client,
    installation::{CONTEXT, Installation, Relay},
    running::{Ended, Running},
    terminal::Terminal,
    world::World,
};

pub struct Job {
    pub identity: JobIdentity,
    pub token: String,
    client: Client,
    folder: PathBuf,
}

impl Job {
    pub fn of(world: &World, installation: &Installation, client: &Client) -> Self {
        Self::of_relay(world, &installation.relay, client)
    }

    pub fn of_relay(world: &World, relay: &Relay, client: &Client) -> Self {
        Self::at(world, relay, client, HOUR)
    }

    /// With a token that lives this long.
    pub fn at(world: &World, relay: &Relay, client: &Client, lifetime: Duration) -> Self {
        Self::known_as(world.next_job(), world, relay, client, lifetime)
    }

    pub fn known_as(
        identity: JobIdentity,
        world: &World,
        relay: &Relay,
        client: &Client,
        lifetime: Duration,
    ) -> Self {
        Self::reaching(identity, world, (&relay.url(), &relay.ca), client, lifetime)
    }

    /// Of a relay that is no process of ours.
    pub fn at_url(world: &World, url: &str, ca: &Path, client: &Client) -> Self {
        Self::reaching(world.next_job(), world, (url, ca), client, HOUR)
    }

    fn reaching(
        identity: JobIdentity,
        world: &World,
        relay: (&str, &Path),
        client: &Client,
        lifetime: Duration,
    ) -> Self {
        client.is_called_by(identity.job);
        let token = world.token(&identity, lifetime);
        let job = Self {
            identity,
            token,
            client: client.clone(),
            folder: world.new_folder("job"),
        };
        job.adit_kubeconfig_of(world, relay).ok();
        job
    }

    /// `adit kubeconfig`, with the variables of the job and nothing else.
    pub fn adit_kubeconfig(&self, world: &World, relay: &Relay) -> Call {
        self.adit_kubeconfig_of(world, (&relay.url(), &relay.ca))
    }

    fn adit_kubeconfig_of(&self, world: &World, (url, ca): (&str, &Path)) -> Call {
        let mut command = Command::new(&world.adit);
        command
            .arg("kubeconfig")
            .env_clear()
            .env("ADIT_RELAY_URL", url)
            .env("ADIT_RELAY_CA", ca)
            .env("ADIT_ID_TOKEN", &self.token)
            .env("KUBE_CONTEXT", CONTEXT)
            .env("KUBECONFIG", self.kubeconfig());
        Call::new(command, "")
    }

    /// A call of kubectl; the line is split at blanks.
    pub fn kubectl(&self, line: &str) -> Call {
        self.call(self.client.command(), line)
    }

    /// A call of helm.
    pub fn helm(&self, world: &World, line: &str) -> Call {
        let mut command = Command::new(&world.cluster.helm);
        command.env_clear();
        self.call(command, line)
    }

    /// The tag of the image that a Deployment's pods have: from inside a pod, or where nothing runs in it as it is written.
    pub fn tag(&self, world: &World, deployment: &str) -> String {
        let said = if world.cluster.has_real_pods().is_ok() {
            let call = self.kubectl("exec").arg(deployment);
            call.args("-- sh -c").arg("echo $TAG").ok()
        } else {
            let image = "--output=jsonpath={.spec.template.spec.containers[0].image}";
            self.kubectl("get").arg(deployment).arg(image).ok()
        };
        let tag = said.rsplit(':').next().unwrap_or_default();
        tag.trim().to_owned()
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The user that RBAC sees.
    pub fn user(&self) -> String {
        format!("gitlab:ci_job:{}", self.identity.job)
    }

    /// Where it may leave files.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    fn call(&self, mut command: Command, line: &str) -> Call {
        // A real PATH: kubectl looks for plugins on it.
        command
            .env("HOME", &self.folder)
            .env("KUBECONFIG", self.kubeconfig())
            .env("PATH", "/usr/bin:/bin");
        command.current_dir(&self.folder);
        Call::new(command, line)
    }
}

/// A call of a client, about to be made.
pub struct Call {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Call {
    pub fn new(mut command: Command, line: &str) -> Self {
        command.args(line.split_whitespace());
        Self {
            command,
            input: None,
        }
    }

    /// One more argument, blanks and all.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments, split at blanks.
    pub fn args(mut self, line: &str) -> Self {
        self.command.args(line.split_whitespace());
        self
    }

    /// What it finds on its standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The bare command, without what it was to find on its standard input.
    pub fn command(self) -> Command {
        self.command
    }

    /// Starts it; its standard input stays open unless there is something on it.
    pub fn start(self) -> Running {
        let mut running = Running::start(self.command);
        if let Some(input) = self.input {
            running.feed(input);
        }
        running
    }

    /// Starts it in a terminal.
    pub fn in_terminal(self, rows: u16, columns: u16) -> Terminal {
        Terminal::start(&self.command, rows, columns)
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        let has_input = self.input.is_some();
        let mut running = self.start();
        if !has_input {
            running.hush();
        }
        running.ended()
    }

    /// Runs it, and gives what it wrote to standard output.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn ok(self) -> String {
        self.run().ok()
    }

    /// Runs it, and gives what it wrote to standard error.
    ///
    /// # Panics
    ///
    /// When it succeeds.
    pub fn failure(self) -> String {
        self.run().failure()
    }
}

/// Long enough for any test.
const HOUR: Duration = Duration::from_secs(3600);
