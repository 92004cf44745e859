//! Agents behind real balancers, nginx, HAProxy and Envoy, with the settings that `docs/networks.md` prints: by what the tunnel gets through,
//! and that it carries what it must; with TLS up to the relay, and with TLS that ends before it.

mod patience;

use std::net::{IpAddr, SocketAddr};

use adit_tests::{
    AuditLog, Caller, Kube, Raw, TestAgent, TestRelay, agent,
    balancer::{Balancer, Program},
    beyond_loopback, body,
    caller::{get, next_piece, request},
    kube, logs, pki, relay, scenario, within,
};
use http::{Method, StatusCode};
use tokio::net::TcpStream;
use xtask::skip;

use crate::upgrades::{SPDY, upgrade};

const NGINX: &str = "nginx";
const HAPROXY_TCP: &str = "HAProxy, at the level of TCP";
const HAPROXY_HTTP: &str = "HAProxy, HTTP";
const ENVOY: &str = "Envoy";
const TLS_ENDS: &str = "TLS that ends before the relay";

/// As it is printed.
fn same(settings: String) -> String {
    settings
}

/// The agent `prod`, which dials this URL.
async fn dialling(url: String, relay: &TestRelay, kube: &Kube) -> TestAgent {
    let agent = agent("prod").to(relay).serving(kube);
    let agent = agent
        .with("relay", "url", url)
        .with("relay", "connect_timeout", "2s");
    agent.with("relay", "ping_interval", "500ms").start().await
}

/// What a tunnel must carry, and by what it came about.
async fn carries(relay: &TestRelay, kube: &Kube, transport: &str) {
    let up = format!("transport=\"{transport}\"");
    assert!(logs().contains(&up), "not {up}:\n{}", logs());
    let job = relay.job(9001);
    let http2 = job.http2().await;
    let upload = http2.answer(request(Method::PUT, "/sink", body::pattern(3_000_000)));
    let (upload, download) = tokio::join!(upload, http2.get("/big/3000000"));
    assert_eq!(upload.status, StatusCode::OK);
    assert_eq!(download.body.len(), 3_000_000);
    let mut watch = http2.send(get("/watch")).await.unwrap();
    kube.event("one");
    assert_eq!(next_piece(&mut watch).await, "one\n");
    let (session, _) = upgrade(&job, SPDY).await;
    drop((watch, session));
}

async fn stop(relay: TestRelay, agent: TestAgent, kube: Kube) {
    relay.stop().await;
    agent.stop().await;
    kube.stop().await;
}

/// Who the relay says comes: from loopback, all of them.
#[derive(Clone, Copy)]
enum Client {
    /// As the PROXY protocol tells it, with a port.
    Connected,
    /// As `X-Forwarded-For` tells it.
    Forwarded,
    /// The same, by one that tells an address of this machine's own in the place of loopback.
    ForwardedOutside,
}

impl Client {
    fn is(self, address: &str) -> bool {
        match self {
            Self::Connected => address.starts_with("127.0.0.1:"),
            Self::Forwarded => address == "127.0.0.1",
            Self::ForwardedOutside => address.parse::<IpAddr>().is_ok(),
        }
    }
}

/// By this balancer an agent with `https://` gets through so, and the relay sees that client.
fn gets_through(
    program: Program,
    heading: &str,
    change: impl FnOnce(String) -> String,
    transport: &str,
    client: Client,
) {
    scenario(async {
        let kube = kube().start().await;
        let relay = relay()
            .with("listen", "forwarded_for_from", "[127.0.0.1]")
            .with("listen", "proxy_protocol_from", "[127.0.0.9]");
        let relay = relay.start().await;
        let balancer = Balancer::start(program, &relay, heading, change).await;
        let url = format!("https://{}", balancer.address());
        let agent = dialling(url, &relay, &kube).await;
        carries(&relay, &kube, transport).await;
        let logs = logs();
        let mut lines = logs.lines();
        let lacks = lines.find(|line| {
            line.contains("HTTP/2 does not get through to the relay, a WebSocket does")
        });
        assert_eq!(lacks.is_some(), transport == "websocket", "{logs}");
        if let Some(lacks) = lacks {
            let says_why = |field: &str| {
                let value = lacks.split_once(field).map(|(_, rest)| rest);
                value.is_some_and(|value| value.starts_with('"') && !value.starts_with("\"\""))
            };
            assert!(says_why("error=") && says_why("advice="), "{lacks}");
        }
        let opened = logs.lines().find(|line| line.contains("tunnel opened"));
        let (_, from) = opened.unwrap().split_once(" client.addr=").unwrap();
        assert!(client.is(from.split(' ').next().unwrap()), "{from}");
        stop(relay, agent, kube).await;
    });
}

#[test]
fn tunnel_gets_through_an_nginx_of_http1_with_its_buffers() {
    if Program::Nginx.is_there("tunnel_gets_through_an_nginx_of_http1_with_its_buffers") {
        gets_through(Program::Nginx, NGINX, same, "websocket", Client::Forwarded);
    }
}

/// It takes the call, and holds it until its body ends, which it does not.
#[test]
fn tunnel_gets_through_an_nginx_that_holds_it() {
    if Program::Nginx.is_there("tunnel_gets_through_an_nginx_that_holds_it") {
        let http2 = |settings: String| settings.replace("443 ssl", "443 ssl http2");
        gets_through(Program::Nginx, NGINX, http2, "websocket", Client::Forwarded);
    }
}

#[test]
fn tunnel_gets_through_a_haproxy_that_passes_tcp_on() {
    if Program::HaProxy.is_there("tunnel_gets_through_a_haproxy_that_passes_tcp_on") {
        // Callers here come to the relay without a header, from the usual address.
        let apart =
            |settings: String| settings.replace("send-proxy-v2", "send-proxy-v2 source 127.0.0.9");
        gets_through(
            Program::HaProxy,
            HAPROXY_TCP,
            apart,
            "http2",
            Client::Connected,
        );
    }
}

#[test]
fn tunnel_gets_through_a_haproxy_of_http2() {
    if Program::HaProxy.is_there("tunnel_gets_through_a_haproxy_of_http2") {
        gets_through(
            Program::HaProxy,
            HAPROXY_HTTP,
            same,
            "http2",
            Client::Forwarded,
        );
    }
}

#[test]
fn tunnel_gets_through_a_haproxy_of_http1() {
    if Program::HaProxy.is_there("tunnel_gets_through_a_haproxy_of_http1") {
        let http1 = |settings: String| settings.replace("alpn h2,http/1.1", "alpn http/1.1");
        gets_through(
            Program::HaProxy,
            HAPROXY_HTTP,
            http1,
            "websocket",
            Client::Forwarded,
        );
    }
}

#[test]
fn tunnel_gets_through_an_envoy_of_http2() {
    if Program::Envoy.is_there("tunnel_gets_through_an_envoy_of_http2") {
        gets_through(
            Program::Envoy,
            ENVOY,
            same,
            "http2",
            Client::ForwardedOutside,
        );
    }
}

#[test]
fn tunnel_gets_through_an_envoy_of_http1() {
    if Program::Envoy.is_there("tunnel_gets_through_an_envoy_of_http1") {
        let http1 = |settings: String| settings.replace("[h2, http/1.1]", "[http/1.1]");
        gets_through(
            Program::Envoy,
            ENVOY,
            http1,
            "websocket",
            Client::ForwardedOutside,
        );
    }
}

/// Of its own accord Envoy would put both into one connection, which one shard serves.
#[test]
fn each_agent_behind_an_envoy_has_a_connection_of_its_own() {
    if !Program::Envoy.is_there("each_agent_behind_an_envoy_has_a_connection_of_its_own") {
        return;
    }
    scenario(async {
        let (kube, relay) = (kube().start().await, relay().start().await);
        let balancer = Balancer::start(Program::Envoy, &relay, ENVOY, same).await;
        let url = format!("grpcs://{}", balancer.address());
        let prod = dialling(url.clone(), &relay, &kube).await;
        let staging = agent("staging").to(&relay).serving(&kube);
        let staging = staging.with("relay", "url", url).start().await;
        let metrics = relay.metrics().await;
        let open = "adit_relay_connections_open{protocol=\"http2\"}";
        assert_eq!(metrics.value(open), 2.0);
        staging.stop().await;
        stop(relay, prod, kube).await;
    });
}

#[test]
fn prefix_may_stay_or_go_on_the_way() {
    if !Program::Nginx.is_there("prefix_may_stay_or_go_on_the_way") {
        return;
    }
    scenario(async {
        let (kube, relay) = (kube().start().await, relay().start().await);
        for end in ["", "/"] {
            let below = |settings: String| {
                let at = "location / {\n        proxy_pass https://relay.internal:8150";
                assert!(settings.contains(at), "{settings}");
                let below =
                    "location /clusters/eu/ {\n        proxy_pass https://relay.internal:8150";
                settings.replace(at, &format!("{below}{end}"))
            };
            let balancer = Balancer::start(Program::Nginx, &relay, NGINX, below).await;
            let url = format!("wss://{}/clusters/eu", balancer.address());
            let agent = dialling(url, &relay, &kube).await;
            relay.job(9001).get("/api").await.echo();
            agent.stop().await;
        }
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn jobs_get_through_an_nginx_of_http1() {
    if !Program::Nginx.is_there("jobs_get_through_an_nginx_of_http1") {
        return;
    }
    scenario(async {
        let world = adit_tests::world().await;
        let balancer = Balancer::start(Program::Nginx, &world.relay, NGINX, same).await;
        work_by(&world.kube, &world.job.via(balancer.address())).await;
        world.stop().await;
    });
}

#[test]
fn jobs_get_through_a_haproxy_of_http() {
    if !Program::HaProxy.is_there("jobs_get_through_a_haproxy_of_http") {
        return;
    }
    scenario(async {
        let world = adit_tests::world().await;
        let balancer = Balancer::start(Program::HaProxy, &world.relay, HAPROXY_HTTP, same).await;
        work_by(&world.kube, &world.job.via(balancer.address())).await;
        world.stop().await;
    });
}

#[test]
fn jobs_get_through_an_envoy() {
    if !Program::Envoy.is_there("jobs_get_through_an_envoy") {
        return;
    }
    scenario(async {
        let world = adit_tests::world().await;
        let balancer = Balancer::start(Program::Envoy, &world.relay, ENVOY, same).await;
        work_by(&world.kube, &world.job.via(balancer.address())).await;
        world.stop().await;
    });
}

/// A job's request, its watch event by event, and its session, all over HTTP/1.1.
async fn work_by(kube: &Kube, job: &Caller) {
    let mut http1 = job.http1().await;
    http1.get("/api").await.echo();
    let mut watch = http1.send(get("/watch")).await.unwrap();
    for event in ["one", "two"] {
        kube.event(event);
        assert_eq!(next_piece(&mut watch).await, format!("{event}\n"));
    }
    let (session, _) = upgrade(job, SPDY).await;
    drop((watch, http1, session));
    kube.until_open(0).await;
}

/// By a balancer at which TLS ends, an agent and a job get through, and both are known by the addresses that it tells; its own is another.
fn ends_tls(
    program: Program,
    heading: &str,
    change: impl FnOnce(String) -> String,
    believed: &str,
    transport: &str,
) {
    scenario(async {
        let (kube, log) = (kube().start().await, AuditLog::default());
        let relay = log.of(relay().behind_tls());
        let relay = relay.with("listen", believed, "[127.0.0.9]");
        let relay = relay.start().await;
        let balancer = Balancer::start(program, &relay, heading, change).await;
        let agent = dialling(format!("https://{}", balancer.address()), &relay, &kube).await;
        let up = format!("transport=\"{transport}\"");
        assert!(logs().contains(&up), "not {up}:\n{}", logs());
        let opened = format!(
            "client.addr=127.0.0.1{}",
            if believed == FORWARDED { " " } else { ":" }
        );
        let logs = logs();
        let mut lines = logs.lines();
        assert!(
            lines.any(|line| line.contains("tunnel opened") && line.contains(&opened)),
            "{logs}"
        );
        work_by(&kube, &relay.job(9001).via(balancer.address())).await;
        for record in log.until(4).await {
            let client = record["client"].as_str().unwrap();
            let (address, port) = client.split_once(':').unwrap_or((client, ""));
            assert_eq!(address, "127.0.0.1", "{record}");
            assert_eq!(port.is_empty(), believed == FORWARDED, "{record}");
        }
        let metrics = relay.metrics().await;
        assert_eq!(metrics.sum("adit_relay_connections_refused_total"), 0.0);
        stop(relay, agent, kube).await;
    });
}

const FORWARDED: &str = "forwarded_for_from";
const PROXY_PROTOCOL: &str = "proxy_protocol_from";

#[test]
fn tls_may_end_at_nginx() {
    if Program::Nginx.is_there("tls_may_end_at_nginx") {
        let plain = |settings: String| {
            let lines = settings.lines();
            let kept = lines.filter(|line| !line.trim_start().starts_with("proxy_ssl_"));
            let kept = kept.collect::<Vec<_>>().join("\n");
            let from = "proxy_http_version 1.1;\nproxy_bind 127.0.0.9;";
            kept.replace("https://relay", "http://relay")
                .replace("proxy_http_version 1.1;", from)
        };
        ends_tls(Program::Nginx, NGINX, plain, FORWARDED, "websocket");
    }
}

#[test]
fn tls_may_end_at_haproxy_which_says_so_by_version_2_of_its_protocol() {
    if Program::HaProxy
        .is_there("tls_may_end_at_haproxy_which_says_so_by_version_2_of_its_protocol")
    {
        let apart =
            |settings: String| settings.replace("send-proxy-v2", "send-proxy-v2 source 127.0.0.9");
        ends_tls(Program::HaProxy, TLS_ENDS, apart, PROXY_PROTOCOL, "http2");
    }
}

#[test]
fn tls_may_end_at_haproxy_which_says_so_by_version_1_of_its_protocol() {
    if Program::HaProxy
        .is_there("tls_may_end_at_haproxy_which_says_so_by_version_1_of_its_protocol")
    {
        let apart =
            |settings: String| settings.replace("send-proxy-v2", "send-proxy source 127.0.0.9");
        ends_tls(Program::HaProxy, TLS_ENDS, apart, PROXY_PROTOCOL, "http2");
    }
}

/// Else a token could go in clear that nobody meant to send so.
#[test]
fn who_comes_past_the_balancer_at_which_tls_ends_is_hung_up_on() {
    let Some(own) = beyond_loopback() else {
        let test = "who_comes_past_the_balancer_at_which_tls_ends_is_hung_up_on";
        skip::skipped(test, "this machine has no address but loopback");
        return;
    };
    scenario(async {
        let relay = relay().behind_tls().with("listen", "address", "0.0.0.0:0");
        let mut relay = relay
            .with("listen", FORWARDED, "[192.0.2.77]")
            .start()
            .await;
        let (port, job) = (relay.address().port(), relay.job(9001));
        let ask = job.head("GET /api", "");
        let asking = async || {
            let socket = TcpStream::connect(SocketAddr::new(own, port)).await;
            let mut socket = Raw::new(socket.unwrap());
            // It may be gone already.
            let _ = socket.write(ask.clone()).await;
            within("an answer, or the end", socket.head()).await
        };
        assert_eq!(asking().await, None);
        let refused = "adit_relay_connections_refused_total{reason=\"past_balancer\"}";
        assert_eq!(relay.metrics().await.value(refused), 1.0);
        assert!(logs().contains("hung up on who came past"), "{}", logs());
        relay.change(|told| told.set("listen", FORWARDED, format!("[192.0.2.77, {own}]")));
        let answer = asking().await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert_eq!(relay.metrics().await.value(refused), 1.0);
        // From the next start on with TLS, and then whoever may say who comes sends nothing in clear.
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = pki::shared().write_server(folder.path());
        relay.change(|told| {
            told.set("listen", "tls_ended_before", false);
            told.set("listen", "certificate", certificate.display());
            told.set("listen", "key", key.display());
            told.set("listen", FORWARDED, "[0.0.0.0/0]");
        });
        assert_eq!(asking().await, None);
        relay.stop().await;
    });
}
