//! A GitLab, a relay that asks it about its jobs, an agent, and what the cluster's owner lets jobs do.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, Once},
};

use adit_authority::token::TokenHash;
use adit_tests::{
    GitLab, JobStatus, Settings,
    gitlab::{self, Hook, Seed},
};
use serde_json::json;
use tokio::runtime::Runtime;
use xtask::workspace;

use crate::{
    installation::{AGENT_TOKEN, Agent, Front, Relay, Ways, local},
    world::World,
};

pub struct Place {
    pub relay: Relay,
    _agent: Agent,
    /// Where the relay hears of pushes.
    gitlab_api: SocketAddr,
    gitlab: Mutex<GitLab>,
    runtime: Runtime,
}

/// A job as GitLab's runner gets it.
pub struct Job {
    pub id: u64,
    pub token: String,
    /// None when no agent is for it.
    pub kubeconfig: Option<String>,
}

impl Place {
    pub fn new(world: &World) -> Self {
        Self::with_agent(world, |relay, _| Agent::start(world, relay))
    }

    /// With an agent that passes pushes on to Flux, whose Receivers are called there.
    pub fn passing_pushes_on(world: &World, receivers: &str) -> Self {
        let place = Self::with_agent(world, |relay, gitlab| {
            let mut settings = Settings::default();
            settings.set("flux", "gitlab_url", gitlab.url());
            settings.set("flux", "webhook_receiver_url", receivers);
            settings.set("flux", "lease_namespace", "adit-agent");
            Agent::set(world, relay, &Ways::default(), settings)
        });
        for file in ["roles.yaml", "role-binding.yaml"] {
            let file = World::manifests().join("agent/flux").join(file);
            world.admin("apply --filename").arg(file).ok();
        }
        place
    }

    fn with_agent(world: &World, agent: impl FnOnce(&Relay, &GitLab) -> Agent) -> Self {
        own(world);
        let runtime = Runtime::new().unwrap();
        let gitlab = runtime.block_on(gitlab::gitlab().start());
        let seed = Seed::read(&files().join("gitlab.yaml")).unwrap();
        gitlab.seed(&seed).unwrap();
        let gitlab_api = local();
        let relay = relay(world, &gitlab, gitlab_api);
        {
            let mut world = gitlab.world();
            world.settings.k8s_proxy_url = format!("{}/k8s-proxy", relay.url());
            let project = world.project_mut(PROJECT);
            project.hooks = vec![Hook {
                url: format!("{}/webhooks/gitlab", relay.url()),
                secret: WEBHOOK_SECRET.to_owned(),
            }];
        }
        let mut agent = agent(&relay, &gitlab);
        agent.until_connected();
        Self {
            relay,
            _agent: agent,
            gitlab_api,
            gitlab: Mutex::new(gitlab),
            runtime,
        }
    }

    /// A job that runs from now on.
    pub fn job(&self, project: &str, branch: &str, environment: Option<&str>) -> Job {
        let seed = json!({ "project": project, "branch": branch, "environment": environment });
        let told = self.with(|gitlab| gitlab.run(&serde_json::from_value(seed).unwrap()).unwrap());
        let text = |key: &str| told[key].as_str().map(str::to_owned);
        Job {
            id: told["id"].as_u64().unwrap(),
            token: text("token").unwrap(),
            kubeconfig: text("kubeconfig"),
        }
    }

    /// GitLab tells its webhook, which takes it.
    pub fn end(&self, job: u64, status: JobStatus) {
        let gitlab = self.gitlab.lock().unwrap();
        for delivery in self.runtime.block_on(gitlab.end_job(job, status)) {
            assert_eq!(delivery.status, Some(204), "{delivery:?}");
        }
    }

    /// A commit on the default branch: files get these contents, and are removed without.
    pub fn push(&self, changes: &[(&str, Option<&str>)]) {
        self.with(|gitlab| {
            let world = gitlab.world();
            let project = world.find_project(PROJECT).expect("it is in the seed");
            world.repository(project.id).commit_to("main", changes);
        });
    }

    /// GitLab tells the relay of a push.
    pub fn tell_of_push(&self) {
        let gitlab = self.gitlab.lock().unwrap();
        let project = gitlab.world().find_project(PROJECT).unwrap().id;
        self.runtime.block_on(async {
            let caller = gitlab.connect_to_kas(self.gitlab_api).await;
            caller.pushed(project, PROJECT).await.unwrap();
        });
    }

    pub fn gitlab_is_away(&self) {
        self.runtime.block_on(self.gitlab.lock().unwrap().be_away());
    }

    pub fn gitlab_is_back(&self) {
        self.runtime.block_on(self.gitlab.lock().unwrap().be_back());
    }

    pub fn with<T>(&self, act: impl FnOnce(&GitLab) -> T) -> T {
        let _inside = self.runtime.enter();
        act(&self.gitlab.lock().unwrap())
    }
}

/// What the cluster's owner has applied: the demo's rights, and a namespace for what is under review.
pub fn own(world: &World) {
    static OWNED: Once = Once::new();
    OWNED.call_once(|| {
        let demo = workspace::root().join("deploy/demo");
        for file in ["flux.yaml", "rbac.yaml"] {
            world.admin("apply --filename").arg(demo.join(file)).ok();
        }
        world.admin("apply --filename -").input(REVIEW).ok();
    });
}

fn relay(world: &World, gitlab: &GitLab, gitlab_api: SocketAddr) -> Relay {
    let folder = world.new_folder("relay");
    let secret = folder.join("webhook-secret");
    fs::write(&secret, format!("{WEBHOOK_SECRET}\n")).unwrap();
    let front = Front::loopback(&folder);
    let mut settings = Settings::default();
    let authority = json!({
        "url": gitlab.url(), "ca_file": front.ca, "webhook_secret_file": secret, "recheck": "1s",
    });
    settings.set("authorities", "gitlab", authority);
    settings.set("gitlab_api", "address", gitlab_api);
    settings.set("gitlab_api", "secret_file", gitlab.secret_file().display());
    let agent = |id: u64, name: &str, project: &str, token: &str| json!({ "id": id, "name": name, "project": project, "tokens": [TokenHash::of(token).to_string()] });
    let agents = json!([
        agent(41, "testing", PROJECT, AGENT_TOKEN),
        agent(
            42,
            "guarded",
            "my-group/clusters",
            "canary-agent-token-of-guarded"
        ),
    ]);
    Relay::with(world, front, folder, settings, &agents)
}

/// The pipelines, and the GitLab that has them.
pub fn files() -> PathBuf {
    workspace::root().join("tests/pipelines")
}

/// Whose pipelines they are.
pub const PROJECT: &str = "my-group/optional-subgroup/my-repository";
const WEBHOOK_SECRET: &str = "canary-webhook-secret";
/// Jobs of project 150 whose environment's tier is `development` may deploy here.
const REVIEW: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: review }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: adit-agent, namespace: review }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: adit-agent-in-namespace }
subjects:
  - { kind: ServiceAccount, name: adit-agent, namespace: adit-agent }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: reviewers, namespace: review }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit }
subjects:
  - { apiGroup: rbac.authorization.k8s.io, kind: Group, name: "gitlab:project_env_tier:150:development" }
"#;
