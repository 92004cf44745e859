//! A relay that wants a client certificate of its agents beside their token: who is let in, who is told what is wrong, and what happens
//! when certificates and CAs are replaced.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use adit_relay::status::Report;
use adit_tests::{
    AgentBuilder, ConnectProxy, Endpoint, Kube, TestAgent, TestRelay, agent,
    caller::{breaks_off, get, next_piece},
    gitlab,
    gitlab::arrange,
    kube, logs,
    pki::{Made, Pki},
    relay, scenario, until, within,
};
use rcgen::ExtendedKeyUsagePurpose;
use tempfile::TempDir;

const DAY: Duration = Duration::from_hours(24);
const TUNNELS: &str = "adit_relay_tunnels_open";
const REVOKED: &str = "adit_relay_tunnel_ends_total{cause=\"revoked\"}";
const RENEWED: &str = "adit_tls_certificate_reloads_total{outcome=\"replaced\"}";
const ENDS: &str = "adit_tls_certificate_expiry_timestamp_seconds";
const CA_ENDS: &str = "adit_relay_client_ca_expiry_timestamp_seconds{port=\"public\"}";

/// A relay that wants a certificate of `ca`, and an API server.
struct Place {
    folder: TempDir,
    ca: Pki,
    kube: Kube,
    relay: TestRelay,
}

impl Place {
    async fn new() -> Self {
        let (folder, ca) = (tempfile::tempdir().unwrap(), Pki::new("agents' CA"));
        let file = file_in(folder.path());
        fs::write(&file, ca.ca_pem()).unwrap();
        let relay = relay().with("tunnel", "client_ca_file", file.display());
        Self {
            folder,
            ca,
            kube: kube().start().await,
            relay: relay.start().await,
        }
    }

    /// An agent that shows no certificate yet.
    fn agent(&self) -> AgentBuilder {
        agent("prod").to(&self.relay).serving(&self.kube)
    }

    /// Has the relay look at another file, and waits for what comes of it.
    async fn believe(&self, text: &str, outcome: &str) {
        let looks =
            format!("adit_relay_client_ca_reloads_total{{port=\"public\",outcome=\"{outcome}\"}}");
        let before = self.relay.metrics().await.value(&looks);
        fs::write(file_in(self.folder.path()), text).unwrap();
        self.relay.reread();
        self.relay.until_metric(&looks, |now| now > before).await;
    }

    async fn serves(&self) {
        self.relay.job(9001).get("/api").await.echo();
    }

    /// The problems that operators see of the CAs.
    async fn problems(&self) -> Vec<String> {
        let (_, text) = self.relay.admin_get("/status").await;
        let report: Report = serde_json::from_str(&text).unwrap();
        let of_ca = report.problems.into_iter();
        of_ca
            .filter(|problem| problem.about == "client_ca")
            .map(|problem| problem.message)
            .collect()
    }

    async fn stop(self, agents: impl IntoIterator<Item = TestAgent>) {
        self.relay.stop().await;
        for agent in agents {
            agent.stop().await;
        }
        self.kube.stop().await;
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("client-ca.pem")
}

fn made_until(end: SystemTime) -> Made {
    Made {
        end: Some(end),
        ..Made::default()
    }
}

fn seconds(moment: SystemTime) -> f64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs() as f64
}

/// Waits until the relay has told the agent so, over this transport.
async fn told(agent: &TestAgent, transport: &str) {
    let refused =
        format!("adit_agent_connects_total{{outcome=\"certificate\",transport=\"{transport}\"}}");
    let is_so = |attempts: f64| attempts >= 1.0;
    agent.until_metric(&refused, is_so).await;
}

#[test]
fn agent_that_shows_a_certificate_is_let_in_and_jobs_need_none() {
    scenario(async {
        let place = Place::new().await;
        let end = SystemTime::now() + 90 * DAY;
        for url in ["https", "grpcs", "wss"] {
            let url = format!("{url}://{}", place.relay.address());
            let agent = place.agent().certified(&place.ca, made_until(end));
            let agent = agent.with("relay", "url", url).start().await;
            place.serves().await;
            place.relay.job(9002).http2().await.get("/api").await.echo();
            assert_eq!(agent.metrics().await.value(ENDS), seconds(end));
            agent.stop().await;
            place.relay.until_metric(TUNNELS, |open| open == 0.0).await;
        }
        let ends = place.relay.metrics().await.value(CA_ENDS);
        assert!(ends > seconds(end), "{ends}");
        let lives = "adit_relay_client_ca_lifetime_seconds{port=\"public\"}";
        let lives = place.relay.metrics().await.value(lives);
        let left = ends - seconds(SystemTime::now());
        assert!(lives > left, "{lives}");
        place.stop([]).await;
    });
}

#[test]
fn agent_is_told_what_is_wrong_with_what_it_shows() {
    scenario(async {
        let place = Place::new().await;
        let now = SystemTime::now();
        let (good, strangers) = (Made::default(), Pki::new("somebody else's CA"));
        // Of the same name, with another key.
        let impostors = Pki::new("agents' CA");
        let starts = Made {
            start: Some(now + DAY),
            ..good.clone()
        };
        let of_server = Made {
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            ..good.clone()
        };
        let cases = [
            (None, "no_certificate", "has shown none"),
            (Some((&strangers, good.clone())), "unknown_ca", "has issued"),
            (Some((&impostors, good)), "unknown_ca", "has issued"),
            (
                Some((&place.ca, made_until(now - DAY))),
                "certificate_expired",
                "has expired",
            ),
            (Some((&place.ca, starts)), "bad_certificate", "not hold yet"),
            (
                Some((&place.ca, of_server)),
                "bad_certificate",
                "lacks clientAuth",
            ),
        ];
        for (shown, reason, why) in cases {
            for (scheme, transport) in [("https", "http2"), ("wss", "websocket")] {
                let reason = format!("adit_relay_tunnels_refused_total{{reason=\"{reason}\"}}");
                let before = place.relay.metrics().await.value(&reason);
                let lines = logs().matches(why).count();
                let mut agent = place.agent();
                if let Some((ca, made)) = &shown {
                    agent = agent.certified(ca, made.clone());
                }
                let url = format!("{scheme}://{}", place.relay.address());
                let agent = agent.with("relay", "url", url).start_anyway().await;
                told(&agent, transport).await;
                until("its log says why", || logs().matches(why).count() > lines).await;
                let is_so = |refused: f64| refused > before;
                place.relay.until_metric(&reason, is_so).await;
                agent.stop().await;
            }
        }
        assert!(logs().contains("relay.client_certificate, relay.client_key"));
        assert_eq!(place.relay.metrics().await.value(TUNNELS), 0.0);
        place.stop([]).await;
    });
}

#[test]
fn certificate_is_no_token() {
    scenario(async {
        let place = Place::new().await;
        let agent = agent("prod").showing("canary-unknown-token", &place.relay);
        let agent = agent.serving(&place.kube);
        let agent = agent.certified(&place.ca, Made::default());
        let agent = agent.start_anyway().await;
        let refused = "adit_agent_connects_total{outcome=\"unauthenticated\",transport=\"http2\"}";
        let is_so = |attempts: f64| attempts >= 1.0;
        agent.until_metric(refused, is_so).await;
        place.stop([agent]).await;
    });
}

#[test]
fn certificate_that_is_renewed_is_shown_at_the_next_connect() {
    scenario(async {
        let place = Place::new().await;
        let now = SystemTime::now();
        let agent = place.agent();
        let agent = agent.certified(&place.ca, made_until(now - DAY));
        let agent = agent.start_anyway().await;
        told(&agent, "http2").await;
        agent.renew_certificate(&place.ca, made_until(now + DAY));
        within("its tunnel", agent.connected()).await;
        place.serves().await;

        // While the tunnel is up it is taken, too, so that nobody is called for one that was renewed; the tunnel stays.
        let renewed = agent.metrics().await.value(RENEWED);
        agent.renew_certificate(&place.ca, made_until(now + 90 * DAY));
        agent.reread();
        agent.until_metric(RENEWED, |now| now > renewed).await;
        let metrics = agent.metrics().await;
        assert_eq!(metrics.value(ENDS), seconds(now + 90 * DAY));
        place.serves().await;
        assert_eq!(
            place
                .relay
                .metrics()
                .await
                .value("adit_relay_tunnels_opened_total"),
            1.0
        );
        place.stop([agent]).await;
    });
}

#[test]
fn cas_that_are_replaced_count_at_once_and_bad_ones_never() {
    scenario(async {
        let place = Place::new().await;
        let next = Pki::new("agents' next CA");
        let first = place.agent().certified(&place.ca, Made::default());
        let first = first.start().await;
        let http2 = place.relay.job(9001).http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();

        for bad in [
            "",
            "spoilt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            place.believe(bad, "failed").await;
            let problems = place.problems().await.join("\n");
            assert!(problems.contains("the old CAs stay"), "{problems}");
        }
        assert!(logs().contains("CAs of clients not reloaded, the old ones stay"));
        fs::write(file_in(place.folder.path()), place.ca.ca_pem()).unwrap();
        place.relay.reread();
        let mended = "CAs of clients can be read again, and are as they were";
        until("they are told to be mended", || logs().contains(mended)).await;
        assert!(place.problems().await.is_empty());

        // Both, while agents get certificates of the next.
        let both = format!("{}{}", place.ca.ca_pem(), next.ca_pem());
        place.believe(&both, "replaced").await;
        assert!(place.problems().await.is_empty());
        let second = agent("staging").to(&place.relay).serving(&place.kube);
        let second = second.certified(&next, Made::default()).start().await;
        place.kube.event("still here");
        assert_eq!(next_piece(&mut watch).await, "still here\n");
        assert_eq!(place.relay.metrics().await.value(REVOKED), 0.0);

        // Then the next alone: whoever has none of it is out.
        place.believe(&next.ca_pem(), "replaced").await;
        breaks_off(watch).await;
        place.relay.until_metric(REVOKED, |ends| ends == 1.0).await;
        told(&first, "http2").await;
        assert!(logs().contains("none of them has issued the agent's client certificate"));
        place.relay.until_metric(TUNNELS, |open| open == 1.0).await;
        first.renew_certificate(&next, Made::default());
        within("its tunnel", first.connected()).await;
        http2.get("/api").await.echo();
        drop(http2);
        place.stop([first, second]).await;
    });
}

#[test]
fn certificate_gets_through_a_proxy() {
    scenario(async {
        let place = Place::new().await;
        let proxy = ConnectProxy::start("Basic dXNlcjpwYXNzd29yZA==").await;
        let url = format!("http://user:password@{}", proxy.address());
        let agent = place.agent().certified(&place.ca, Made::default());
        let agent = agent.with("relay", "proxy", url).start().await;
        place.serves().await;
        assert_eq!(proxy.asked().len(), 1);
        place.stop([agent]).await;
        drop(proxy);
    });
}

#[test]
fn agent_of_gitlabs_needs_one_too_and_gitlab_is_not_asked_before() {
    scenario(async {
        let (folder, ca) = (tempfile::tempdir().unwrap(), Pki::new("agents' CA"));
        let file = file_in(folder.path());
        fs::write(&file, ca.ca_pem()).unwrap();
        let gitlab = gitlab().start().await;
        arrange(&gitlab);
        let token = {
            let mut world = gitlab.world();
            world.number(5).agent("group/sub/app", "testing");
            world.agent_token(5).unwrap()
        };
        let keys = format!("api_secret_file: '{}'", gitlab.secret_file().display());
        let relay = relay().asking(&gitlab, &keys);
        let relay = relay.with("tunnel", "client_ca_file", file.display());
        let (relay, kube) = (relay.start().await, kube().start().await);

        let builder = || agent("testing").showing(&token, &relay).serving(&kube);
        let without = builder().start_anyway().await;
        told(&without, "http2").await;
        without.stop().await;
        assert_eq!(gitlab.calls().to(Endpoint::AgentInfo), 0);
        let agent = builder().certified(&ca, Made::default()).start().await;
        assert_eq!(gitlab.calls().to(Endpoint::AgentInfo), 1);
        relay.stop().await;
        agent.stop().await;
        kube.stop().await;
    });
}
