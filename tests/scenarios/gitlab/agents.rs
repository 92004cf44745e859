//! Agents for whom GitLab itself vouches: the relay's configuration has none of them, and GitLab knows their tokens.

use std::fs;

use adit_tests::{
    Caller, Endpoint, Fault, Kube, SOON, TestAgent, agent,
    caller::{breaks_off, get, next_piece},
    kube, logs, scenario, until, within,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::time::timeout;

use super::{Place, RECHECK};

const REFUSED: &str = "adit_relay_tunnels_refused_total";
const ENDS: &str = "adit_relay_tunnel_ends_total";

/// The usual place, and GitLab's agent `testing` (5) with its API server.
struct Known {
    place: Place,
    token: String,
    kube: Kube,
    agent: TestAgent,
}

impl Known {
    async fn new(keys: &str) -> Self {
        Self::when(keys, |_| ()).await
    }

    /// With a GitLab that has changed before the agent comes.
    async fn when(keys: &str, change: impl FnOnce(&Place)) -> Self {
        let place = Place::trusted(keys).await;
        let token = register(&place);
        change(&place);
        let kube = kube().start().await;
        let agent = agent("testing").showing(&token, place.relay());
        let agent = agent.serving(&kube).start().await;
        Self {
            place,
            token,
            kube,
            agent,
        }
    }

    /// A job of the agent's project, as its caller.
    fn job(&self) -> Caller {
        let mut world = self.place.gitlab.world();
        let id = world.job("group/sub/app").run();
        let token = world.job_of(id).token();
        let bearer = format!("Bearer ci:5:{token}");
        self.place.relay().showing(&bearer)
    }

    fn revoke(&self) {
        self.place.gitlab.world().revoke_agent_token(&self.token);
    }

    fn calls(&self, endpoint: Endpoint) -> usize {
        self.place.gitlab.calls().to(endpoint)
    }

    async fn asked_again(&self, endpoint: Endpoint) {
        let asked = self.calls(endpoint);
        until("GitLab is asked again", || self.calls(endpoint) > asked).await;
    }

    async fn refused(&self, reason: &str) {
        let sample = format!("{REFUSED}{{reason=\"{reason}\"}}");
        let relay = self.place.relay();
        relay.until_metric(&sample, |count| count >= 1.0).await;
    }

    async fn stop(self) {
        self.place.stop().await;
        self.agent.stop().await;
        self.kube.stop().await;
    }
}

/// GitLab's agent `testing` (5), and a token of it.
fn register(place: &Place) -> String {
    let mut world = place.gitlab.world();
    world.number(5).agent("group/sub/app", "testing");
    world.agent_token(5).unwrap()
}

/// An agent that is not let in.
async fn shut_out(place: &Place, token: &str) -> (TestAgent, Kube) {
    let kube = kube().start().await;
    let agent = agent("testing").showing(token, place.relay());
    (agent.serving(&kube).start_anyway().await, kube)
}

#[test]
fn an_agent_that_only_gitlab_knows_serves_a_job() {
    scenario(async {
        let known = Known::new("recheck: 30s").await;
        let job = known.job();
        job.get("/api").await.echo();
        assert_eq!(known.kube.last().target, "/api");
        // Its name stands in GitLab's answer about its token, and not in that about the job.
        let list = job.under("").get("/adit/v1/agents").await.text();
        assert!(list.contains("\"group/sub/app:testing\""), "{list}");
        let (_, status) = known.place.relay().admin_get("/status").await;
        assert!(status.contains("\"group/sub/app:testing\""), "{status}");
        // The relay's own agent was not GitLab's business.
        let (_, of_prod) = known.place.job();
        of_prod.get("/api").await.echo();
        assert_eq!(known.calls(Endpoint::AgentInfo), 1);
        assert_eq!(known.place.gitlab.world().agent_of(5).contacts, 1);
        let metrics = known.place.relay().metrics().await;
        let of_agents = |name: &str, label: &str| {
            metrics.value(&format!("{name}{{question=\"agent\",{label}}}"))
        };
        let calls = "adit_relay_gitlab_calls_total";
        assert_eq!(of_agents(calls, "outcome=\"yes\""), 1.0);
        assert_eq!(
            metrics.value("adit_relay_gitlab_tokens{question=\"agent\"}"),
            1.0
        );
        known.stop().await;
    });
}

#[test]
fn a_revoked_token_loses_its_tunnel_and_what_runs_there() {
    scenario(async {
        let known = Known::new(RECHECK).await;
        let second = known.place.gitlab.world().agent_token(5).unwrap();
        let job = known.job().http2().await;
        let watch = job.send(get("/watch")).await.unwrap();
        let revoked = async {
            known.kube.until_open(2).await;
            known.revoke();
        };
        let never = job.answer(get("/never"));
        let (refused, ()) = tokio::join!(within("the tunnel's end", never), revoked);
        let refused = refused.refused();
        assert_eq!(refused.reason, "agent_lost");
        let why = "GitLab no longer accepts the agent's token";
        assert!(refused.message.contains(why), "{}", refused.message);
        breaks_off(watch).await;
        until("the agent's log says why", || logs().contains(why)).await;
        known.refused("unauthenticated").await;
        let metrics = known.place.relay().metrics().await;
        assert_eq!(metrics.value(&format!("{ENDS}{{cause=\"revoked\"}}")), 1.0);
        let ended = "adit_relay_gitlab_ended_total{question=\"agent\",reason=\"over\"}";
        assert_eq!(metrics.value(ended), 1.0);
        // The relay's own agent is not affected, nor is a replica with another token.
        let (_, of_prod) = known.place.job();
        of_prod.get("/api").await.echo();
        let replica = agent("testing").showing(&second, known.place.relay());
        let replica = replica.serving(&known.kube).start().await;
        job.get("/api").await.echo();
        drop(job);
        replica.stop().await;
        known.stop().await;
    });
}

#[test]
fn a_gitlab_in_trouble_keeps_known_agents_and_lets_new_ones_wait() {
    scenario(async {
        let faults = [
            (Fault::Status(502), "gitlab_unavailable"),
            (Fault::Hang, "gitlab_unavailable"),
            (Fault::WrongTypes, "gitlab_bad_answer"),
        ];
        for (fault, reason) in faults {
            let mut known = Known::new("recheck: 100ms, timeout: 300ms, refused_for: 100ms").await;
            let job = known.job().http2().await;
            let mut watch = job.send(get("/watch")).await.unwrap();
            known.place.gitlab.faults().set(Endpoint::AgentInfo, fault);
            known.asked_again(Endpoint::AgentInfo).await;
            known.kube.event("still here");
            assert_eq!(next_piece(&mut watch).await, "still here\n", "{fault:?}");
            drop(watch);
            // It may even come back meanwhile.
            known.agent.kill().await;
            known.agent.revive().await;
            let second = known.place.gitlab.world().agent_token(5).unwrap();
            let (new, kube) = shut_out(&known.place, &second).await;
            known.refused(reason).await;
            known.place.gitlab.faults().clear();
            within("the new agent gets in", new.connected()).await;
            drop(job);
            known.stop().await;
            new.stop().await;
            kube.stop().await;
        }
    });
}

#[test]
fn an_agent_is_honoured_for_so_long_and_no_longer() {
    scenario(async {
        let known = Known::new("recheck: 100ms, max_stale: 1s").await;
        let down = Fault::Status(500);
        known.place.gitlab.faults().set(Endpoint::AgentInfo, down);
        let revoked = format!("{ENDS}{{cause=\"revoked\"}}");
        let relay = known.place.relay();
        relay.until_metric(&revoked, |count| count == 1.0).await;
        let why = "GitLab has not answered for too long";
        until("the agent's log says why", || logs().contains(why)).await;
        known.place.gitlab.faults().clear();
        within("the agent is back", known.agent.connected()).await;
        known.stop().await;
    });
}

#[test]
fn gitlab_of_either_version_is_asked_where_it_answers() {
    scenario(async {
        let gone = Fault::Status(404);
        let of_before = |place: &Place| place.gitlab.faults().set(Endpoint::AgentInfo, gone);
        let known = Known::when("recheck: 100ms", of_before).await;
        known.asked_again(Endpoint::OldAgentInfo).await;
        assert_eq!(known.calls(Endpoint::AgentInfo), 1);
        // GitLab is brought up to date, and has lost the old path.
        let faults = known.place.gitlab.faults();
        faults.clear();
        faults.set(Endpoint::OldAgentInfo, gone);
        known.asked_again(Endpoint::AgentInfo).await;
        known.asked_again(Endpoint::AgentInfo).await;
        let metrics = known.place.relay().metrics().await;
        assert_eq!(metrics.sum(ENDS), 0.0);
        known.job().get("/api").await.echo();
        known.stop().await;
    });
}

#[test]
fn a_token_that_gitlab_does_not_know_lets_nobody_in() {
    scenario(async {
        let place = Place::trusted("recheck: 30s, refused_for: 10m").await;
        let refused = format!("{REFUSED}{{reason=\"unauthenticated\"}}");
        // Of the second kind are adit's own; they are not even shown to GitLab.
        let own = format!("{}{}", adit_authority::token::PREFIX, "x".repeat(38));
        for (token, asked) in [("glagent-nobodys", 1), (own.as_str(), 1)] {
            let before = place.relay().metrics().await.value(&refused);
            let (agent, kube) = shut_out(&place, token).await;
            let relay = place.relay();
            relay
                .until_metric(&refused, |count| count >= before + 3.0)
                .await;
            assert_eq!(place.gitlab.calls().to(Endpoint::AgentInfo), asked);
            agent.stop().await;
            kube.stop().await;
        }
        assert!(
            logs().contains("GitLab does not know it"),
            "the agent is told"
        );
        place.stop().await;
    });
}

#[test]
fn an_agent_of_the_relays_own_is_not_gitlabs_of_the_same_id() {
    scenario(async {
        let place = Place::trusted("recheck: 30s").await;
        let token = {
            let mut world = place.gitlab.world();
            world.number(3).agent("group/sub/app", "namesake");
            world.agent_token(3).unwrap()
        };
        let (agent, kube) = shut_out(&place, &token).await;
        let refused = format!("{REFUSED}{{reason=\"other_agent\"}}");
        place
            .relay()
            .until_metric(&refused, |count| count >= 1.0)
            .await;
        until("the agent is told", || {
            logs().contains("another one under its id")
        })
        .await;
        place.stop().await;
        agent.stop().await;
        kube.stop().await;
    });
}

#[test]
fn a_secret_that_is_not_gitlabs_says_nothing_about_an_agent_and_can_be_replaced() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, STANDARD.encode([7; 32])).unwrap();
        let keys = format!("api_secret_file: '{}'", file.display());
        let place = Place::with(&keys).await;
        let token = register(&place);
        let (agent, kube) = shut_out(&place, &token).await;
        let refused = format!("{REFUSED}{{reason=\"gitlab_unavailable\"}}");
        place
            .relay()
            .until_metric(&refused, |count| count >= 1.0)
            .await;
        let told = "GitLab does not accept this relay's proof";
        assert!(logs().contains(told), "the operator is told");
        let distrusted =
            "adit_relay_gitlab_calls_total{question=\"agent\",outcome=\"not_trusted\"}";
        assert!(place.relay().metrics().await.value(distrusted) >= 1.0);
        fs::copy(place.gitlab.secret_file(), &file).unwrap();
        // It is read again every ten seconds.
        let connected = timeout(2 * SOON, agent.connected()).await;
        connected.expect("the new secret counts");
        assert!(logs().contains("GitLab accepts this relay's proof again"));
        place.stop().await;
        agent.stop().await;
        kube.stop().await;
    });
}
