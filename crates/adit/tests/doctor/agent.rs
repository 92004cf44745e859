//! Beside an agent: its settings, its token, its way to the relay.

mod cluster;

use std::time::{Duration, SystemTime};

use adit_tests::collector::Collector;
use adit_tests::pki::{self, HTTP1, HTTP2, Made, Pki};
use adit_tests::{AgentBuilder, ConnectProxy, Kube, TestRelay, agent, relay, scenario};

use tokio::net::TcpListener;

use self::cluster::{all, cluster};
use crate::support::{Doctor, Examined, Impostor, Terminator, closed_port, full_port};

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
        examined.is_well_but_for(&["traces"]);
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
        let closed = r#"adit_relay_tunnel_ends_total{cause="closed"}"#;
        relay.until_metric(closed, |count| count == 1.0).await;
        // It asked nothing in particular, for `clock`.
        let refusals = "adit_relay_refusals_total";
        let pathless = format!("{refusals}{{reason=\"unknown_path\"}}");
        assert_eq!(metrics.value(&pathless), 1.0);
        assert_eq!(metrics.sum(refusals), 1.0, "{}", metrics.0);
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
fn name_proxy_certificate_and_clock_are_told_apart() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        let unnamed = |agent: AgentBuilder| agent.with("relay", "url", "https://relay.invalid");
        let examined_so = examined(&relay, &kube, unnamed).await;
        examined_so.is_broken_at("name", "network", "relay.invalid");
        examined_so.did_not_run(&["connect", "proxy", "tls", "tunnel"], "name");

        let nowhere = |agent: AgentBuilder| agent.with("relay", "proxy", "'http://proxy.invalid'");
        let examined_so = examined(&relay, &kube, nowhere).await;
        examined_so.is_broken_at("name", "network", "proxy.invalid");
        examined_so.did_not_run(&["connect", "proxy", "tls", "tunnel"], "name");

        let proxy = ConnectProxy::start("Basic nobodys").await;
        let through = format!("'http://user:canary-wrong-password@{}'", proxy.address());
        let through = |agent: AgentBuilder| agent.with("relay", "proxy", through);
        let examined_so = examined(&relay, &kube, through).await;
        examined_so.is_broken_at("proxy", "network", "a user and a password");
        examined_so.did_not_run(&["tls", "http", "clock", "tunnel"], "proxy");
        assert!(!examined_so.to_string().contains("canary"), "{examined_so}");
        drop(proxy);

        let folder = tempfile::tempdir().unwrap();
        let others = Pki::new("somebody else").write_ca(folder.path());
        let believing = |agent: AgentBuilder| agent.with("relay", "ca_file", others.display());
        let examined_so = examined(&relay, &kube, believing).await;
        examined_so.is_broken_at("tls", "network", "issued by `adit test CA`");
        examined_so.did_not_run(&["http", "clock", "tunnel", "version"], "tls");

        let late = "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
        let late = Impostor::at("127.0.0.1", pki::shared().server(&[HTTP1]), late).await;
        let examined_so = examined(&relay, &kube, |agent| agent.via(late.address)).await;
        examined_so.is_broken_at("clock", "agent", "NTP");
        assert_eq!(examined_so.outcome("namespaces"), "ok", "{examined_so}");
        drop(late);
        relay.stop().await;
        kube.stop().await;
    });
}

/// A firewall that drops what comes looks the same.
#[test]
fn relay_that_takes_no_connection_and_refuses_none_is_told() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        let (listener, first) = full_port().await;
        let at = listener.local_addr().unwrap();
        let into_nothing = |agent: AgentBuilder| {
            let agent = agent.via(at);
            agent.with("relay", "connect_timeout", "300ms")
        };
        let examined_so = examined(&relay, &kube, into_nothing).await;
        examined_so.is_broken_at("connect", "network", "came about in 300ms");
        examined_so.did_not_run(&["proxy", "tls", "tunnel"], "connect");
        drop((first, listener));
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn http2_that_does_not_get_through_is_told() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        let http1 = Terminator::before(&relay, HTTP1, |_| ()).await;
        let examined = examined(&relay, &kube, |agent| agent.via(http1.address)).await;
        assert_eq!(examined.code, 0, "{examined}");
        examined.warns("http", "ALPN h2");
        examined.warns(
            "tunnel",
            "opens in a WebSocket; HTTP/2 does not get through",
        );
        drop(http1);
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn relay_of_another_version_is_told() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        let other = Terminator::before(&relay, HTTP2, |sent| {
            let ours = env!("CARGO_PKG_VERSION").as_bytes();
            let at = sent.windows(ours.len()).position(|bytes| bytes == ours);
            if let Some(at) = at {
                sent[at..at + ours.len()].copy_from_slice(OTHER.as_bytes());
            }
        })
        .await;
        let examined = examined(&relay, &kube, |agent| agent.via(other.address)).await;
        assert_eq!(examined.code, 0, "{examined}");
        let ours = env!("CARGO_PKG_VERSION");
        let words = format!("the relay is adit {OTHER}, and this is {ours}");
        examined.warns("version", &words);
        assert_eq!(examined.outcome("tunnel"), "ok", "{examined}");
        drop(other);
        relay.stop().await;
        kube.stop().await;
    });
}

/// As long as ours.
const OTHER: &str = "0.0.7";

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
            examined.is_well_but_for(&["traces"]);
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

#[test]
fn certificate_that_the_relay_wants_is_told() {
    scenario(async {
        let (folder, ca) = (tempfile::tempdir().unwrap(), Pki::new("agents' CA"));
        let file = ca.write_ca(folder.path());
        let relay = relay().with("tunnel", "client_ca_file", file.display());
        let relay = relay.start().await;
        let kube = cluster("v1.36.0", all).start().await;

        let without = examined(&relay, &kube, |agent| agent).await;
        assert_eq!(without.outcome("certificate"), "ok", "{without}");
        let why = "wants a client certificate";
        without.is_broken_at("tunnel", "agent", why);
        let good = |agent: AgentBuilder| agent.certified(&ca, Made::default());
        for scheme in ["https", "wss"] {
            let url = format!("{scheme}://{}", relay.address());
            let dials = |agent| good(agent).with("relay", "url", url);
            let well = examined(&relay, &kube, dials).await;
            well.is_well_but_for(&["traces"]);
            let what = well.what("certificate");
            assert!(
                what.contains("of `agent`, issued by `agents' CA`"),
                "{well}"
            );
        }
        let now = SystemTime::now();
        let day = Duration::from_hours(24);
        let nearly_over = Made {
            start: Some(now - 19 * day),
            end: Some(now + day),
            ..Made::default()
        };
        let nearly_over = |agent: AgentBuilder| agent.certified(&ca, nearly_over);
        let nearly_over = examined(&relay, &kube, nearly_over).await;
        assert_eq!(nearly_over.code, 0, "{nearly_over}");
        nearly_over.warns("certificate", "issued by `agents' CA`");
        assert_eq!(nearly_over.outcome("tunnel"), "ok", "{nearly_over}");
        let over = Made {
            end: Some(SystemTime::UNIX_EPOCH),
            ..Made::default()
        };
        let over = |agent: AgentBuilder| agent.certified(&ca, over);
        let ended = examined(&relay, &kube, over).await;
        ended.is_broken_at("certificate", "agent", "renew it");
        let (certificate, key) = ca.write_as_own(folder.path());
        let as_own = |agent: AgentBuilder| {
            let agent = agent.with("relay", "client_certificate", certificate.display());
            agent.with("relay", "client_key", key.display())
        };
        let as_own = examined(&relay, &kube, as_own).await;
        as_own.warns("certificate", "lets in nobody by the certificate");
        as_own.warns("certificate", "issue one for the agent");
        as_own.is_broken_at("tunnel", "agent", "client certificate");
        let missing = |agent| good(agent).with("relay", "client_key", "/nowhere/key");
        let lost = examined(&relay, &kube, missing).await;
        lost.is_broken_at("certificate", "agent", "/nowhere/key");
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn what_keeps_an_agent_from_starting_is_told() {
    scenario(async {
        let kube = cluster("v1.36.0", all).start().await;
        let relay = relay().start().await;
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = taken.local_addr().unwrap();
        let hang_up = async {
            while let Ok((socket, _)) = taken.accept().await {
                drop(socket)
            }
        };
        let elsewhere = |agent: AgentBuilder| agent.with("admin", "address", at);
        let port = tokio::select! {
            port = examined(&relay, &kube, elsewhere) => port,
            () = hang_up => unreachable!(),
        };
        port.is_broken_at("admin", "agent", "something else listens there");
        assert!(port.what("admin").contains("(admin.address)"), "{port}");
        assert_eq!(port.outcome("tunnel"), "ok", "{port}");

        let running = agent("prod").to(&relay).serving(&kube).start().await;
        let own = |agent: AgentBuilder| agent.with("admin", "address", running.admin());
        let beside = examined(&relay, &kube, own).await;
        assert_eq!(beside.outcome("admin"), "ok", "{beside}");
        assert!(beside.what("admin").contains("an agent runs"), "{beside}");

        let to = |endpoint: &str| {
            let endpoint = format!("'{endpoint}'");
            move |agent: AgentBuilder| agent.with("traces", "endpoint", endpoint)
        };
        let lost = |agent| {
            let agent = to("https://localhost:4317")(agent);
            agent.with("traces", "token_file", "/missing")
        };
        let lost = examined(&relay, &kube, lost).await;
        lost.is_broken_at("traces", "agent", "traces.token_file");
        assert_eq!(lost.outcome("tunnel"), "ok", "{lost}");

        let collector = Collector::start().await;
        let endpoint = format!("http://{}", collector.address());
        let well = examined(&relay, &kube, to(&endpoint)).await;
        assert_eq!(well.outcome("traces"), "ok", "{well}");
        assert!(collector.told().is_empty());
        collector.be_away(true);
        let away = examined(&relay, &kube, to(&endpoint)).await;
        assert_eq!(away.code, 0, "{away}");
        away.warns("traces", "takes nothing");
        running.stop().await;
        relay.stop().await;
        kube.stop().await;
    });
}
