//! Beside an agent: its settings, its token, its way to the relay.

mod cluster;

use adit_tests::pki::{self, HTTP1};
use adit_tests::{AgentBuilder, Kube, TestRelay, agent, relay, scenario};

use self::cluster::{all, cluster};
use crate::support::{Doctor, Examined, Impostor, closed_port};

/// Beside the agent `prod` of this relay, whose configuration is changed so.
async fn examined(
    relay: &TestRelay,
    kube: &Kube,
    change: impl FnOnce(AgentBuilder) -> AgentBuilder,
) -> Examined {
    let builder = change(agent("prod").to(relay).serving(kube));
    let file = builder.write();
    let doctor = Doctor::at("agent")
        .arg("--config")
        .arg(file.to_str().unwrap());
    doctor.arg("--namespace").arg("shop").examine().await
}

#[test]
fn whole_way_is_well_and_the_running_agent_is_left_alone() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        let running = agent("prod").to(&relay).serving(&kube).start().await;
        let examined = examined(&relay, &kube, |agent| agent).await;
        examined.is_well_but_for(&[]);
        for (check, words) in [
            ("settings", "https://127.0.0.1:"),
            ("token", "made elsewhere"),
            ("tls", "issued by `adit test CA`"),
            ("tunnel", "that of group/sub/app:prod, and"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("api-server", "v1.36.0"),
            ("account", "system:serviceaccount:adit-agent:adit-agent"),
            ("impersonation", "constrained"),
            ("namespaces", "in shop"),
        ] {
            assert!(examined.what(check).contains(words), "{examined}");
        }
        assert!(!examined.to_string().contains("canary"), "{examined}");
        // The doctor's tunnel has gone, and requests go on by the agent's.
        relay
            .until_metric("adit_relay_tunnels_open", |open| open == 1.0)
            .await;
        let metrics = relay.metrics().await;
        assert_eq!(metrics.value("adit_relay_tunnels_opened_total"), 2.0);
        relay.job(9001).get("/echo").await.echo();
        relay.stop().await;
        running.stop().await;
        kube.stop().await;
    });
}

#[test]
fn settings_and_token_are_told() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        let nothing = Doctor::at("agent").examine().await;
        nothing.is_broken_at("settings", "agent", "relay.url");
        nothing.did_not_run(&["token", "name", "tunnel", "api-server"], "settings");

        let unreadable = |agent: AgentBuilder| agent.with("relay", "ca_file", "/nowhere/ca.pem");
        let examined_so = examined(&relay, &kube, unreadable).await;
        examined_so.is_broken_at("settings", "agent", "/nowhere/ca.pem");
        assert_eq!(examined_so.outcome("impersonation"), "ok", "{examined_so}");

        let lost = |agent: AgentBuilder| agent.with("relay", "token_file", "/nowhere/token");
        let examined_so = examined(&relay, &kube, lost).await;
        examined_so.is_broken_at("token", "agent", "/nowhere/token");
        assert_eq!(examined_so.outcome("http"), "ok", "{examined_so}");
        examined_so.did_not_run(&["tunnel", "version"], "token");

        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let given = |agent: AgentBuilder| agent.with("relay", "token_file", token.display());
        std::fs::write(&token, "adit-agent-canary").unwrap();
        let examined_so = examined(&relay, &kube, given).await;
        examined_so.is_broken_at("token", "agent", "cut short");
        std::fs::write(&token, "glagent-canary").unwrap();
        let examined_so = examined(&relay, &kube, given).await;
        examined_so.is_broken_at("tunnel", "agent", "does not know the agent's token");
        assert!(!examined_so.to_string().contains("canary"), "{examined_so}");
        examined_so.did_not_run(&["version"], "tunnel");
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn way_to_the_relay_is_told_and_does_not_hide_the_cluster() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        let nowhere = closed_port().await;
        let examined_so = examined(&relay, &kube, |agent| agent.via(nowhere)).await;
        examined_so.is_broken_at("connect", "network", "nothing listens there");
        examined_so.did_not_run(&["tls", "http", "clock", "tunnel", "version"], "connect");
        assert_eq!(examined_so.outcome("namespaces"), "ok", "{examined_so}");

        let balancer = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
        let tls = pki::shared().server(&[HTTP1]);
        let balancer = Impostor::at("127.0.0.1", tls, balancer).await;
        let http2 = format!("grpcs://{}", balancer.address);
        let http2 = |agent: AgentBuilder| agent.with("relay", "url", http2);
        let examined_so = examined(&relay, &kube, http2).await;
        examined_so.is_broken_at("http", "network", "ALPN h2");
        examined_so.did_not_run(&["clock", "tunnel", "version"], "http");
        let examined_so = examined(&relay, &kube, |agent| agent.via(balancer.address)).await;
        assert_eq!(examined_so.outcome("http"), "warning", "{examined_so}");
        examined_so.is_broken_at("tunnel", "network", "502 Bad Gateway");
        drop(balancer);
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn what_carries_the_tunnel_is_told() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        for (scheme, carrier) in [
            ("https", "opens over HTTP/2"),
            ("wss", "opens in a WebSocket"),
        ] {
            let url = format!("{scheme}://{}", relay.address());
            let dials = |agent: AgentBuilder| agent.with("relay", "url", url);
            let examined = examined(&relay, &kube, dials).await;
            examined.is_well_but_for(&[]);
            assert!(examined.what("tunnel").contains(carrier), "{examined}");
        }
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn relay_that_takes_no_more_tunnels_is_told() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().with("limits", "tunnels_per_agent", 1).start().await;
        let running = agent("prod").to(&relay).serving(&kube).start().await;
        let examined = examined(&relay, &kube, |agent| agent).await;
        examined.is_broken_at("tunnel", "relay", "as many tunnels as it may");
        relay.stop().await;
        running.stop().await;
        kube.stop().await;
    });
}
