//! The double of GitLab under an independent witness: the official agent server and agent, as GitLab ships them, between the
//! double and an API server that does as it is told. What they make of the double's answers is what they make of GitLab's.
//!
//! Runs where `KAS_BIN` and `AGENTK_BIN` name the two programs and there is a `redis-server`; elsewhere it is left out, and says so.
//! Invariant: nothing of theirs is kept, and each test has its own processes, which end with it.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a failure is a panic with a place"
)]

mod ask;
mod place;
mod process;

use std::{path::PathBuf, process::ExitCode};

use adit_tests::{Endpoint, Role, scenario};
use libtest_mimic::{Arguments, Trial};
use xtask::skip;

use crate::{ask::Asked, place::Place};

/// The programs.
#[derive(Clone, Debug)]
pub struct Peers {
    pub kas: PathBuf,
    pub agentk: PathBuf,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Three processes each, on few cores.
    arguments.test_threads.get_or_insert(1);
    let trials = peers().map_or_else(
        || {
            let why = "KAS_BIN and AGENTK_BIN do not name the official programs";
            skip::left_out("the double beside GitLab's own", why);
            Vec::new()
        },
        trials,
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn peers() -> Option<Peers> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    Some(Peers {
        kas: named("KAS_BIN")?.into(),
        agentk: named("AGENTK_BIN")?.into(),
    })
}

fn trials(peers: Peers) -> Vec<Trial> {
    let trial = |name: &str, story: fn(&Peers)| {
        let peers = peers.clone();
        Trial::test(name, move || {
            story(&peers);
            Ok(())
        })
    };
    vec![
        trial("a_job_reaches_the_cluster", job_reaches_the_cluster),
        trial("a_user_reaches_the_cluster", user_reaches_the_cluster),
        trial("a_push_changes_who_gets_in", push_changes_who_gets_in),
        trial("gitlabs_pages_are_answered", pages_are_answered),
    ]
}

const GRANT: &str = "
ci_access:
  groups:
  - id: group
    access_as: { ci_job: {} }
user_access:
  access_as: { user: {} }
  projects:
  - id: group/config
";

fn job_reaches_the_cluster(peers: &Peers) {
    scenario(async {
        let place = Place::start(peers, GRANT).await;
        let (job, token) = place.job("group/app", Some("production"));
        for _ in 0..3 {
            let answer = place.ask_as(&format!("ci:{}:{token}", place.agent)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let identity = place.kube.last().identity();
        let has = |name: &str, value: &str| {
            let pair = (name.to_owned(), value.to_owned());
            assert!(identity.contains(&pair), "{pair:?} among {identity:?}");
        };
        has("impersonate-user", &format!("gitlab:ci_job:{job}"));
        has("impersonate-group", "gitlab:ci_job");
        let (project, group) = place.ids();
        has("impersonate-group", &format!("gitlab:group:{group}"));
        let tier = format!("gitlab:project_env_tier:{project}:production");
        has("impersonate-group", &tier);
        // It keeps an answer for a minute.
        assert_eq!(place.gitlab.calls().to(Endpoint::AllowedAgents), 1);

        let invented = place.ask_as(&format!("ci:{}:invented", place.agent)).await;
        assert_eq!(invented.status, 401, "{invented:?}");
        assert!(invented.head.contains("Gitlab-Unauthorized: true"));
        place
            .until("usage is reported", |gitlab| {
                gitlab
                    .world()
                    .telemetry
                    .iter()
                    .any(|told| told["counters"].is_object())
            })
            .await;
        place.stop().await;
    });
}

fn user_reaches_the_cluster(peers: &Peers) {
    scenario(async {
        let place = Place::start(peers, GRANT).await;
        let (token, cookie, csrf_token) = {
            let mut world = place.gitlab.world();
            world.member("dev1", "group", Role::Developer);
            let user = world.user("dev1");
            let token = world.personal_token(user, &["k8s_proxy"]);
            let (cookie, csrf_token) = world.log_in(user);
            let header = world.set_cookie(&cookie);
            let pair = header.split(';').next().unwrap().to_owned();
            (token, pair, csrf_token)
        };
        let answer = place.ask_as(&format!("pat:{}:{token}", place.agent)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let by_browser = [
            ("Cookie", cookie.as_str()),
            ("Gitlab-Agent-Id", &place.agent.to_string()),
            ("X-Csrf-Token", &csrf_token),
        ];
        let answer = place.ask(&by_browser).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let identity = place.kube.last().identity();
        let user = ("impersonate-user".to_owned(), "gitlab:user:dev1".to_owned());
        assert!(identity.contains(&user), "{identity:?}");
        place.stop().await;
    });
}

fn push_changes_who_gets_in(peers: &Peers) {
    scenario(async {
        let place = Place::start(peers, GRANT).await;
        let path = ".gitlab/agents/prod/config.yaml";
        let (project, _) = place.config_project();
        place
            .gitlab
            .world()
            .repository(project)
            .commit(&[(path, "ci_access: { projects: [{ id: group/app }] }")]);
        let pages = place.pages().await;
        pages.pushed(project, "group/config").await.unwrap();
        place
            .until("the new configuration is posted", |gitlab| {
                gitlab.calls().to(Endpoint::AgentConfiguration) == 2
            })
            .await;
        let (_, token) = place.job("group/app", None);
        let answer = place.ask_as(&format!("ci:{}:{token}", place.agent)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let (_, token) = place.job("group/other", None);
        let answer = place.ask_as(&format!("ci:{}:{token}", place.agent)).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        place.stop().await;
    });
}

fn pages_are_answered(peers: &Peers) {
    scenario(async {
        let place = Place::start(peers, GRANT).await;
        let pages = place.pages().await;
        let (project, repository) = place.config_project();
        let mut connected = pages.agent(place.agent).await.unwrap();
        while connected.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            connected = pages.agent(place.agent).await.unwrap();
        }
        assert_eq!(connected[0].project_id, i64::try_from(project).unwrap());
        let meta = connected[0].agent_meta.as_ref().unwrap();
        assert_eq!(meta.pod_name, place::POD);
        assert_eq!(pages.agents_of_project(project).await.unwrap().len(), 1);
        let files = pages.config_files(repository, "main").await.unwrap();
        assert_eq!(files[0].agent_name, "prod");
        let stranger = pages.signing_with([7; 32]);
        let refused = stranger.agent(place.agent).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        place.stop().await;
    });
}

impl Place {
    async fn ask_as(&self, credential: &str) -> Asked {
        let bearer = format!("Bearer {credential}");
        self.ask(&[("Authorization", &bearer)]).await
    }
}
