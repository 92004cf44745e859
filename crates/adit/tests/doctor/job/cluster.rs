//! Beyond the relay: the agent, the API server, and upgraded connections to it.

mod silence;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_tests::body::full;
use adit_tests::pki::HTTP1;
use adit_tests::{
    AgentBuilder, Io, KubeBuilder, Raw, World, gitlab, gitlab::arrange, job, kube, relay, scenario,
};
use bytes::Bytes;
use http::{Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Sleep, sleep};

use crate::support::{Doctor, Examined, Terminator, closed_port, kubeconfig_for};

/// An API server that knows its version and who asks, and whose WebSockets answer pings.
fn cluster() -> KubeBuilder {
    answering_pings(api_server(StatusCode::CREATED, WHO))
}

fn answering_pings(kube: KubeBuilder) -> KubeBuilder {
    kube.raw(|mut connection: Raw<Io>| async move {
        let head = connection.head().await.unwrap_or_default();
        assert!(head.contains("/namespaces/shop/pods?watch=true"), "{head}");
        connection.write(SWITCHES).await.unwrap();
        while connection.exactly(PING_BYTES).await.is_ok() {
            connection.write(PONG).await.unwrap();
        }
    })
}

/// One whose WebSockets answer so many pings and then end.
fn cutting_after(pings: usize) -> KubeBuilder {
    api_server(StatusCode::CREATED, WHO).raw(move |mut connection: Raw<Io>| async move {
        connection.head().await.unwrap();
        connection.write(SWITCHES).await.unwrap();
        for _ in 0..pings {
            connection.exactly(PING_BYTES).await.unwrap();
            connection.write(PONG).await.unwrap();
        }
        connection.shut().await.unwrap();
        let _ = connection.rest().await;
    })
}

/// One that answers upgrades so.
fn answering_upgrades(answer: &'static str) -> KubeBuilder {
    api_server(StatusCode::CREATED, WHO).raw(move |mut connection: Raw<Io>| async move {
        if connection.head().await.is_some() {
            let _ = connection.write(answer).await;
            let _ = connection.rest().await;
        }
    })
}

/// One that tells this to those who ask who they are.
fn api_server(status: StatusCode, who: &'static str) -> KubeBuilder {
    knowing(kube(), status, who)
}

/// One that does so beyond what it answers already.
fn knowing(kube: KubeBuilder, status: StatusCode, who: &'static str) -> KubeBuilder {
    let kube = kube.route("/version", r#"{"gitVersion":"v1.37.0"}"#);
    let kube = kube.answer(PODS, |request| async move {
        Response::new(Watch::of(request.uri()).boxed_unsync())
    });
    kube.answer(REVIEWS, move |_| async move {
        let mut answer = Response::new(full(who));
        *answer.status_mut() = status;
        answer
    })
}

/// Nothing, for as many seconds as are asked for.
struct Watch(Pin<Box<Sleep>>);

impl Watch {
    fn of(asked: &Uri) -> Self {
        let query = asked.query().unwrap_or_default();
        let (_, seconds) = query.split_once("&timeoutSeconds=").unwrap();
        Self(Box::pin(sleep(Duration::from_secs(
            seconds.parse().unwrap(),
        ))))
    }
}

impl hyper::body::Body for Watch {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.as_mut().poll(context).map(|()| None)
    }
}

/// In front of this API server.
async fn examined(kube: KubeBuilder, more: &[&str]) -> Examined {
    let world = World::of(kube, relay()).await;
    let examined = in_world(&world, more).await;
    world.stop().await;
    examined
}

async fn in_world(world: &World, more: &[&str]) -> Examined {
    let doctor = Doctor::of_job(&world.relay).arg("--namespace").arg("shop");
    let doctor = more.iter().fold(doctor, |doctor, more| doctor.arg(more));
    doctor.examine().await
}

#[test]
fn whole_way_is_well_and_no_token_is_printed() {
    scenario(async {
        let world = World::of(cluster(), relay()).await;
        let examined = in_world(&world, &[]).await;
        examined.is_well_but_for(&["idle"]);
        for (check, words) in [
            ("version", "relay and agents are adit "),
            (
                "token",
                "an ID token of https://gitlab.test for `adit-test`",
            ),
            ("tls", "issued by `adit test CA`"),
            ("http", "HTTP/2"),
            ("grant", "group/sub/app:prod, group/sub/app:staging"),
            ("tunnel", "group/sub/app:prod is connected"),
            ("api-server", "Kubernetes v1.37.0"),
            (
                "identity",
                "the job is gitlab:ci_job:9001, in gitlab:ci_job",
            ),
        ] {
            assert!(examined.what(check).contains(words), "{examined}");
        }
        // What every ID token begins with.
        assert!(!examined.to_string().contains("eyJ"), "{examined}");
        // It asked without the token, too, for `relay` and for `clock`.
        let metrics = world.relay.metrics().await;
        let refusals = "adit_relay_refusals_total";
        let tokenless = format!("{refusals}{{reason=\"credential_missing\"}}");
        assert_eq!(metrics.value(&tokenless), 2.0);
        assert_eq!(metrics.sum(refusals), 2.0, "{}", metrics.0);
        world.stop().await;
    });
}

/// It keeps nothing from working.
#[test]
fn relay_and_agent_of_other_versions_than_the_jobs_are_named() {
    scenario(async {
        let world = World::of(cluster(), relay()).await;
        let others = Terminator::before(&world.relay, HTTP1, |sent| {
            say_instead(sent, "version\":\"", RELAYS);
            say_instead(sent, "versions\":[\"", AGENTS);
        })
        .await;
        let doctor = Doctor::of_job(&world.relay).calling(others.address);
        let examined = doctor.arg("--namespace").arg("shop").examine().await;
        let ours = env!("CARGO_PKG_VERSION");
        let findings = examined.told["findings"].as_array().unwrap().iter();
        let told: Vec<_> = findings
            .filter(|finding| finding["check"] == "version")
            .map(|finding| ["hop", "outcome", "what", "advice"].map(|key| finding[key].as_str()))
            .collect();
        let expected = [
            (
                "relay",
                format!("the relay is adit {RELAYS}, and this is {ours}"),
            ),
            (
                "agent",
                format!("the agent group/sub/app:prod is adit {AGENTS}, and this is {ours}"),
            ),
        ];
        let advice = "they work together as far as the other checks go; bring all to one version";
        let expected: Vec<_> = expected
            .iter()
            .map(|(hop, what)| [hop, "warning", what, advice].map(Some))
            .collect();
        assert_eq!(told, expected, "{examined}");
        assert_eq!(
            (examined.code, &examined.told["broken"]),
            (0, &Value::Null),
            "{examined}"
        );
        drop(others);
        world.stop().await;
    });
}

/// After this word it says another version than ours.
fn say_instead(sent: &mut [u8], word: &str, version: &str) {
    let ours = format!("{word}{}", env!("CARGO_PKG_VERSION"));
    let at = sent
        .windows(ours.len())
        .position(|bytes| bytes == ours.as_bytes());
    if let Some(at) = at {
        sent[at + word.len()..at + ours.len()].copy_from_slice(version.as_bytes());
    }
}

/// Each as long as ours.
const RELAYS: &str = "9.0.0";
const AGENTS: &str = "0.0.7";

#[test]
fn agent_that_is_away_is_told_by_name() {
    scenario(async {
        let mut world = World::of(kube(), relay().impatient()).await;
        world.agent.kill().await;
        let examined = in_world(&world, &[]).await;
        examined.is_broken_at("tunnel", "agent", "group/sub/app:prod");
        examined.did_not_run(&["api-server", "identity", "upgrade", "idle"], "tunnel");
        world.stop().await;
    });
}

/// Its WebSocket says an origin, as the API server demands; a relay that serves browsers once took that for a page's.
#[test]
fn upgrade_opens_where_browsers_are_served() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let keys = format!(
            "api_secret_file: '{}', browsers: {{}}",
            gitlab.secret_file().display()
        );
        let relay = relay().asking(&gitlab, &keys);
        let world = World::with(cluster(), relay, |agent| agent).await;
        let examined = in_world(&world, &[]).await;
        assert_eq!(examined.outcome("upgrade"), "ok", "{examined}");
        world.stop().await;
    });
}

#[test]
fn api_server_that_is_away_is_told() {
    scenario(async {
        let folder = TempDir::new().unwrap();
        let kubeconfig = kubeconfig_for(closed_port().await, folder.path());
        let serving = |agent: AgentBuilder| agent.serving_by(kubeconfig.clone());
        let world = World::with(kube(), relay(), serving).await;
        let examined = in_world(&world, &[]).await;
        examined.is_broken_at(
            "api-server",
            "api-server",
            "cannot reach its Kubernetes API server",
        );
        assert_eq!(examined.outcome("tunnel"), "ok", "{examined}");
        examined.did_not_run(&["identity", "upgrade", "idle"], "api-server");
        world.stop().await;
    });
}

#[test]
fn agent_that_may_not_impersonate_is_told() {
    scenario(async {
        let refusal = r#"{"kind":"Status","message":"users \"a\" is forbidden: User \"system:serviceaccount:adit-agent:adit-agent\" cannot impersonate resource \"users\""}"#;
        let kube = api_server(StatusCode::FORBIDDEN, refusal);
        let examined = examined(kube, &[]).await;
        examined.is_broken_at("identity", "agent", "docs/rbac.md");
    });
}

#[test]
fn api_server_that_does_not_say_who_asks_is_told() {
    scenario(async {
        let older = api_server(
            StatusCode::NOT_FOUND,
            r#"{"message":"the server could not find it"}"#,
        );
        let examined = examined(answering_pings(older), &[]).await;
        assert_eq!(examined.code, 0, "{examined}");
        examined.warns("identity", "404 Not Found the server could not find it");
        assert_eq!(examined.outcome("upgrade"), "ok", "{examined}");
    });
}

#[test]
fn agent_whose_ceiling_keeps_the_job_out_is_told() {
    scenario(async {
        let below = |agent: AgentBuilder| agent.with("ceiling", "users", "[nobody]");
        let world = World::with(cluster(), relay(), below).await;
        let examined = in_world(&world, &[]).await;
        examined.is_broken_at("tunnel", "agent", "`ceiling.users`");
        world.stop().await;
    });
}

#[test]
fn upgrade_that_the_agents_ceiling_refuses_is_no_fault_of_the_way() {
    scenario(async {
        let elsewhere = |agent: AgentBuilder| agent.with("ceiling", "namespaces", "[other]");
        let world = World::with(cluster(), relay(), elsewhere).await;
        let examined = in_world(&world, &[]).await;
        examined.is_well_but_for(&["upgrade", "idle"]);
        let said = examined.what("upgrade");
        assert!(
            said.contains("`ceiling.namespaces`") && said.contains("--namespace"),
            "{examined}"
        );
        world.stop().await;
    });
}

#[test]
fn upgrade_that_does_not_come_through_is_told() {
    scenario(async {
        // As if the field had been taken out on the way.
        let watch = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let examined = examined(answering_upgrades(watch), &[]).await;
        examined.is_broken_at("upgrade", "network", "takes the field Upgrade out");
        examined.did_not_run(&["idle"], "upgrade");
    });
    scenario(async {
        let balancer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 6\r\n\r\n<html>";
        let examined = examined(answering_upgrades(balancer), &[]).await;
        examined.is_broken_at("upgrade", "network", "something in between");
    });
    scenario(async {
        let examined = examined(cutting_after(0), &[]).await;
        examined.is_broken_at("upgrade", "network", "carries nothing");
    });
}

#[test]
fn upgrade_that_rbac_refuses_is_no_fault_of_the_way() {
    scenario(async {
        let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 17\r\n\r\n{\"message\": \"no\"}";
        let examined = examined(answering_upgrades(refused), &[]).await;
        examined.is_well_but_for(&["upgrade", "idle"]);
        assert!(
            examined.what("upgrade").contains("--namespace"),
            "{examined}"
        );
    });
}

#[test]
fn kubeconfig_that_adit_wrote_is_taken() {
    scenario(async {
        let world = World::of(cluster(), relay()).await;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config");
        let mut adit = Command::new(env!("CARGO_BIN_EXE_adit"));
        adit.args(["kubeconfig", "--context", "group/sub/app:prod", "--output"])
            .arg(&path)
            .env_clear()
            .env(
                "ADIT_RELAY_URL",
                format!("https://{}", world.relay.address()),
            )
            .env("ADIT_RELAY_CA", world.relay.ca())
            .env("ADIT_ID_TOKEN", world.relay.issuer().token(&job(9001)));
        assert!(adit.status().await.unwrap().success());
        let doctor = || Doctor::at("job").env("KUBECONFIG", path.to_str().unwrap());
        let examined = doctor().arg("--namespace").arg("shop").examine().await;
        examined.is_well_but_for(&["idle"]);
        assert!(
            examined
                .what("settings")
                .contains("context group/sub/app:prod"),
            "{examined}"
        );

        let examined = doctor()
            .arg("--context")
            .arg("group/sub/app:x")
            .examine()
            .await;
        examined.is_broken_at("settings", "client", "group/sub/app:staging");

        let written = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, written.replace("ci:1:", "nonsense:1:")).unwrap();
        let examined = doctor().examine().await;
        examined.is_broken_at("settings", "client", "ci:<agent id>:<token>");
        assert!(!examined.to_string().contains("nonsense"), "{examined}");
        std::fs::write(&path, "users: [canary").unwrap();
        let examined = doctor().examine().await;
        examined.is_broken_at("settings", "client", "no kubeconfig");
        assert!(!examined.to_string().contains("canary"), "{examined}");
        world.stop().await;
    });
}

#[test]
fn kubeconfig_of_a_user_is_taken() {
    scenario(async {
        let gitlab = gitlab().start().await;
        arrange(&gitlab);
        let token = {
            let mut world = gitlab.world();
            let access = "user_access: { access_as: { user: {} }, groups: [{ id: group }] }";
            world.configure_yaml(1, access).unwrap();
            world.personal_token(12, &["k8s_proxy"])
        };
        let secret = format!("api_secret_file: '{}'", gitlab.secret_file().display());
        let world = World::of(cluster(), relay().asking(&gitlab, &secret)).await;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config");
        let examined = async |token: &str| {
            let file = format!(
                "{{ clusters: [{{ name: gitlab, cluster: {{ server: 'https://{}/k8s-proxy', certificate-authority: '{}' }} }}],
                   users: [{{ name: me, user: {{ token: 'pat:1:{token}' }} }}],
                   contexts: [{{ name: prod, context: {{ cluster: gitlab, user: me, namespace: shop }} }}] }}",
                world.relay.address(),
                world.relay.ca().display(),
            );
            std::fs::write(&path, file).unwrap();
            let doctor = Doctor::at("job").env("KUBECONFIG", path.to_str().unwrap());
            let examined = doctor.examine().await;
            assert!(!examined.to_string().contains(token), "{examined}");
            examined
        };
        let well = examined(&token).await;
        well.is_well_but_for(&["idle"]);
        let grant = well.what("grant");
        assert_eq!(grant, "the user may use group/sub/app:prod", "{well}");
        let refused = examined("glpat-unknown").await;
        refused.is_broken_at("grant", "client", "errors.md");
        world.stop().await;
    });
}

const PODS: &str = "/api/v1/namespaces/shop/pods";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const WHO: &str = r#"{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"gitlab:ci_job:9001","groups":["gitlab:ci_job"]}}}"#;
/// With what belongs to the doctor's key, at which HAProxy looks.
const SWITCHES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: VHhHd5/oXwGyp983c8ZcA/J1YHc=\r\n\r\n";
/// Of a WebSocket.
const PING_BYTES: usize = 6;
const PONG: [u8; 2] = [0x8a, 0];
