//! Flux hears of pushes: GitLab tells the relay, the relay the agent that follows the project and may read it, and the agent calls the
//! Receivers of that project's repositories.

use std::time::Duration;

use adit_tests::{
    Endpoint, Fault, Flux, GitLab, Kube, TestAgent, TestRelay, agent, flux, gitlab,
    gitlab::{KasCaller, Visibility},
    kube, logs, relay, scenario, until,
};

use super::arrange;

const TELLINGS: &str = "adit_relay_push_tellings_total";
const CALLED: &str = "adit_agent_flux_reconciliations_total{outcome=\"called\"}";
/// Of `group/sub/app`, which has the agent's configuration; the second may be read by anybody, the third by nobody outside.
const PROJECTS: [&str; 3] = ["group/sub/app", "group/open", "other/closed"];

/// A GitLab, a relay that it tells of pushes, and a cluster with Flux.
struct Place {
    gitlab: GitLab,
    relay: TestRelay,
    kube: Kube,
    flux: Flux,
    token: String,
}

impl Place {
    async fn new() -> Self {
        Self::following(&PROJECTS).await
    }

    async fn following(projects: &[&str]) -> Self {
        Self::told(projects, true).await
    }

    async fn told(projects: &[&str], is_told: bool) -> Self {
        let gitlab = gitlab().start().await;
        arrange(&gitlab);
        let token = {
            let mut world = gitlab.world();
            for path in projects {
                world.project(path);
                if !["group/sub/app", "other/closed"].contains(path) {
                    world.project_mut(path).visibility = Visibility::Public;
                }
            }
            world.number(5).agent("group/sub/app", "testing");
            world.agent_token(5).unwrap()
        };
        let secret = gitlab.secret_file().display().to_string();
        // However busy the machine is: what GitLab does not answer waits.
        let keys = format!("api_secret_file: '{secret}', timeout: 1m");
        let relay = relay().asking(&gitlab, &keys);
        let relay = if is_told {
            relay.with("gitlab_api", "address", "127.0.0.1:0")
        } else {
            relay
        };
        let flux = Flux::following(gitlab.url(), projects);
        Self {
            relay: relay.start().await,
            kube: flux.on(kube()).start().await,
            gitlab,
            flux,
            token,
        }
    }

    /// One more replica.
    async fn replica(&self) -> TestAgent {
        let agent = agent("testing").showing(&self.token, &self.relay);
        let agent = agent
            .serving(&self.kube)
            .with("flux", "gitlab_url", self.gitlab.url())
            .with("flux", "webhook_receiver_url", flux::PROXY)
            .with("flux", "lease_namespace", flux::NAMESPACE);
        agent.start().await
    }

    /// Waits until the relay tells an agent of pushes to so many projects, and their Receivers are there.
    async fn until_followed(&self, projects: usize) {
        self.relay
            .until_metric("adit_relay_push_projects", |count| count == projects as f64)
            .await;
        for name in ["app", "open", "closed"].into_iter().take(projects) {
            until("there is a Receiver", || self.flux.receiver(name).is_some()).await;
        }
    }

    async fn until_called(&self, names: &[&str]) {
        until("the Receivers are called", || self.flux.calls() == names).await;
    }

    async fn until_told(&self, outcome: &str, is_so: impl Fn(f64) -> bool) {
        let sample = format!("{TELLINGS}{{outcome=\"{outcome}\"}}");
        self.relay.until_metric(&sample, is_so).await;
    }

    async fn caller(&self) -> KasCaller {
        self.gitlab.connect_to_kas(self.relay.gitlab_api()).await
    }

    async fn push(&self, path: &str) {
        let project = self.gitlab.world().project(path);
        self.caller().await.pushed(project, path).await.unwrap();
    }

    async fn stop(self, agents: impl IntoIterator<Item = TestAgent>) {
        self.relay.stop().await;
        for agent in agents {
            agent.stop().await;
        }
        self.kube.stop().await;
    }
}

#[test]
fn a_push_calls_the_receivers_of_its_project_once_with_two_replicas() {
    scenario(async {
        let place = Place::new().await;
        let agents = [place.replica().await, place.replica().await];
        place.until_followed(3).await;
        let relay = place.relay.metrics().await;
        assert_eq!(relay.value("adit_relay_push_followers"), 1.0);

        let receiver = place.flux.receiver("app").unwrap();
        assert_eq!(receiver["spec"]["type"], "generic-hmac");
        let metadata = &receiver["metadata"];
        assert_eq!(metadata["ownerReferences"][0]["kind"], "GitRepository");
        assert_eq!(metadata["annotations"]["agent.gitlab.com/id"], "5");

        place.push("group/sub/app").await;
        place.until_called(&["app"]).await;
        place.push("other/closed").await;
        place.until_told("refused", |count| count == 1.0).await;
        place.push("group/open").await;
        place.until_called(&["app", "open"]).await;
        place.push("group/of-nobody").await;
        place.until_told("told", |count| count == 2.0).await;

        let (mut called, mut leads, mut told, mut repositories) = (0.0, 0.0, 0.0, 0.0);
        for agent in &agents {
            let metrics = agent.metrics().await;
            called += metrics.value(CALLED);
            leads += metrics.value("adit_agent_flux_leads");
            told += metrics.value("adit_agent_flux_pushes_told");
            repositories += metrics.value("adit_agent_flux_repositories");
        }
        assert_eq!((called, leads, told, repositories), (2.0, 1.0, 1.0, 3.0));
        assert_eq!(place.flux.calls(), ["app", "open"]);
        place.stop(agents).await;
    });
}

#[test]
fn another_replica_takes_over_and_a_relay_that_comes_back_tells_again() {
    scenario(async {
        let mut place = Place::new().await;
        let (one, other) = (place.replica().await, place.replica().await);
        place.until_followed(3).await;
        let leader = place.flux.leader();
        let one_leads = one.metrics().await.value("adit_agent_flux_leads") == 1.0;
        let (mut leading, left) = if one_leads {
            (one, other)
        } else {
            (other, one)
        };
        leading.drain(Duration::from_secs(1)).await;
        until("another one leads", || {
            !["", &leader].contains(&place.flux.leader().as_str())
        })
        .await;
        place.until_followed(3).await;
        place.push("group/sub/app").await;
        place.until_called(&["app"]).await;

        place.relay.kill().await;
        place.relay.revive().await;
        place.until_followed(3).await;
        place.push("group/open").await;
        place.until_called(&["app", "open"]).await;
        place.stop([left]).await;
    });
}

#[test]
fn pushes_that_wait_for_gitlab_are_so_many_and_the_others_are_counted() {
    scenario(async {
        let projects: Vec<_> = (0..12).map(|count| format!("open/p{count}")).collect();
        let projects: Vec<_> = projects.iter().map(String::as_str).collect();
        let place = Place::following(&projects).await;
        let agent = place.replica().await;
        place
            .relay
            .until_metric("adit_relay_push_projects", |count| count == 12.0)
            .await;
        let faults = place.gitlab.faults();
        faults.set(Endpoint::VerifyProjectAccess, Fault::Status(502));
        place.push("open/p0").await;
        place.until_told("unproved", |count| count == 1.0).await;
        faults.clear();
        faults.set(Endpoint::VerifyProjectAccess, Fault::Hang);
        for project in &projects {
            place.push(project).await;
        }
        place.until_told("dropped", |count| count == 1.0).await;
        assert_eq!(place.flux.calls(), [""; 0]);
        place.stop([agent]).await;
    });
}

#[test]
fn an_agent_goes_on_without_a_relay_that_hears_of_pushes() {
    scenario(async {
        let place = Place::told(&PROJECTS, false).await;
        let agent = place.replica().await;
        until("the agent says so", || {
            logs().contains("GitLab does not tell this relay of pushes")
        })
        .await;
        let metrics = agent.metrics().await;
        assert_eq!(metrics.value("adit_agent_flux_pushes_told"), 0.0);
        assert_eq!(metrics.value("adit_agent_tunnels"), 1.0);
        assert!(
            place.flux.receiver("app").is_none(),
            "nothing is made for nothing"
        );
        place.stop([agent]).await;
    });
}
