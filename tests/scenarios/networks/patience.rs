//! What carries nothing outlives a balancer's patience with the silent: an agent's tunnel, by what it asks, and a job's watches and session, by
//! what the printed settings say of them.

use adit_tests::{
    Kube, Raw, TestAgent, TestRelay, World, agent,
    balancer::{Balancer, Program},
    caller::{CallerIo, Http1, Http2, get, next_piece},
    kube, relay, scenario, within,
};
use futures_util::future::join_all;
use http::Response;
use hyper::body::Incoming;

use super::{ENVOY, HAPROXY_HTTP, HAPROXY_TCP, NGINX, same};
use crate::upgrades::{SPDY, upgrade};

/// How a tunnel goes: by the scheme of its URL, below which heading the settings stand, and what gives the balancer [`PATIENCE`].
type Way = (&'static str, &'static str, fn(String) -> String);

/// With the silent.
const PATIENCE: &str = "4s";
/// Half of it, as 25 s are of HAProxy's 50 s in Debian.
const ASKING: &str = "2s";

/// Two agents go each way, and neither carries anything: one asks for its relay in time, and the other when it would by itself.
struct Quiet {
    transport: &'static str,
    asking: TestAgent,
    silent: TestAgent,
    _balancer: Balancer,
}

impl Quiet {
    async fn go(
        program: Program,
        (scheme, heading, change): Way,
        relay: &TestRelay,
        kube: &Kube,
    ) -> Self {
        let balancer = Balancer::start(program, relay, heading, |settings| {
            let changed = change(settings.clone());
            assert_ne!(changed, settings, "its patience is another one");
            changed
        })
        .await;
        let url = format!("{scheme}://{}", balancer.address());
        let through = |name| {
            let agent = agent(name).to(relay).serving(kube);
            agent.with("relay", "url", &url)
        };
        let asking = through("prod").with("relay", "ping_interval", ASKING);
        Self {
            transport: match scheme {
                "wss" => "websocket",
                _ => "http2",
            },
            asking: asking.start().await,
            silent: through("staging").start().await,
            _balancer: balancer,
        }
    }

    /// Waits until the silent one was hung up on; the other was not.
    async fn outlives(&self) {
        end_of(&self.silent).await;
        let metrics = self.asking.metrics().await;
        let transport = self.transport;
        assert_eq!(metrics.sum(ENDS), 0.0, "by {transport}");
        let connected =
            format!("adit_agent_connects_total{{outcome=\"connected\",transport=\"{transport}\"}}");
        assert_eq!(metrics.value(&connected), 1.0, "by {transport}");
    }
}

/// Waits until this agent's tunnel was hung up on.
async fn end_of(silent: &TestAgent) {
    let lost = format!("{ENDS}{{cause=\"lost\"}}");
    silent.until_metric(&lost, |count| count > 0.0).await;
}

const ENDS: &str = "adit_agent_tunnel_ends_total";

/// All ways at once: each takes a balancer's patience.
fn outlives_the_silent(program: Program, ways: &[Way]) {
    scenario(async {
        let relay = relay().with("listen", "proxy_protocol_from", "[127.0.0.9]");
        let (kube, relay) = (kube().start().await, relay.start().await);
        let going = ways.iter();
        let going = going.map(|way| Quiet::go(program, *way, &relay, &kube));
        let all = join_all(going).await;
        join_all(all.iter().map(Quiet::outlives)).await;
        relay.job(9001).get("/api").await.echo();
        relay.stop().await;
        for Quiet { asking, silent, .. } in all {
            asking.stop().await;
            silent.stop().await;
        }
        kube.stop().await;
    });
}

/// nginx's patience where its settings name none.
fn short_nginx(settings: String) -> String {
    let timeouts = format!("\nproxy_read_timeout {PATIENCE};\nproxy_send_timeout {PATIENCE};");
    let version = "proxy_http_version 1.1;";
    settings.replace(version, &format!("{version}{timeouts}"))
}

/// What `defaults` say, which holds where nothing else is said.
fn short_haproxy(settings: String) -> String {
    settings.replace(" 50s", &format!(" {PATIENCE}"))
}

fn short_haproxy_tunnel(settings: String) -> String {
    settings.replace("tunnel 1h", &format!("tunnel {PATIENCE}"))
}

/// `defaults` like those of Debian's file, before settings that have none.
fn short_haproxy_tcp(settings: String) -> String {
    let both = format!(
        "defaults\n timeout connect 5s\n timeout client {PATIENCE}\n timeout server {PATIENCE}\n"
    );
    let apart = "send-proxy-v2 source 127.0.0.9";
    both + &settings.replace("send-proxy-v2", apart)
}

fn short_envoy(settings: String) -> String {
    let patience = format!("stream_idle_timeout: {PATIENCE}");
    settings.replace("stream_idle_timeout: 0s", &patience)
}

#[test]
fn tunnel_outlives_the_patience_of_nginx() {
    if Program::Nginx.is_there("tunnel_outlives_the_patience_of_nginx") {
        outlives_the_silent(Program::Nginx, &[("wss", NGINX, short_nginx)]);
    }
}

#[test]
fn tunnel_outlives_the_patience_of_haproxy() {
    if Program::HaProxy.is_there("tunnel_outlives_the_patience_of_haproxy") {
        let of_tcp = |settings| short_haproxy_tcp(short_haproxy_tunnel(settings));
        outlives_the_silent(
            Program::HaProxy,
            &[
                ("grpcs", HAPROXY_HTTP, short_haproxy),
                ("wss", HAPROXY_HTTP, short_haproxy_tunnel),
                ("grpcs", HAPROXY_TCP, of_tcp),
                ("wss", HAPROXY_TCP, of_tcp),
            ],
        );
    }
}

#[test]
fn tunnel_outlives_the_patience_of_envoy() {
    if Program::Envoy.is_there("tunnel_outlives_the_patience_of_envoy") {
        outlives_the_silent(
            Program::Envoy,
            &[("grpcs", ENVOY, short_envoy), ("wss", ENVOY, short_envoy)],
        );
    }
}

/// Settings below a heading, and what a test changes of them.
type Printed = (&'static str, fn(String) -> String);

/// A job's watches, over HTTP/1.1 and where the balancer takes it over HTTP/2, and its session, none of which carries anything.
struct QuietJob {
    watches: Vec<Response<Incoming>>,
    session: Raw<CallerIo>,
    _connections: (Http1, Option<Http2>, Balancer),
}

impl QuietJob {
    async fn go(program: Program, (heading, change): Printed, world: &World) -> Self {
        let balancer = Balancer::start(program, &world.relay, heading, change).await;
        let job = world.job.via(balancer.address());
        let mut http1 = job.http1().await;
        let mut watches = vec![http1.send(get("/watch")).await.unwrap()];
        let mut http2 = None;
        // As it is printed, nginx takes none.
        if program != Program::Nginx {
            let sender = http2.insert(job.http2().await);
            watches.push(sender.send(get("/watch")).await.unwrap());
        }
        let (session, _) = upgrade(&job, SPDY).await;
        Self {
            watches,
            session,
            _connections: (http1, http2, balancer),
        }
    }
}

/// What a job has open and is silent outlives the balancer's patience, where the settings below a heading are changed so that nothing but
/// what they say of it is longer. `clock` is a way on which they are not kept to: when a silent agent was hung up on there, time is up.
fn job_outlives_the_silent(program: Program, clock: Way, ways: &[Printed]) {
    scenario(async {
        let relay = relay().with("listen", "proxy_protocol_from", "[127.0.0.9]");
        let world = World::of(kube(), relay).await;
        let going = ways.iter();
        let going = going.map(|way| QuietJob::go(program, *way, &world));
        let mut all = join_all(going).await;
        let (scheme, heading, change) = clock;
        let balancer = Balancer::start(program, &world.relay, heading, change).await;
        let silent = agent("staging").to(&world.relay).serving(&world.kube);
        let url = format!("{scheme}://{}", balancer.address());
        let silent = silent.with("relay", "url", url).start().await;
        end_of(&silent).await;
        world.kube.event("late");
        for QuietJob {
            watches, session, ..
        } in &mut all
        {
            for watch in watches {
                assert_eq!(next_piece(watch).await, "late\n");
            }
            session.write("late").await.unwrap();
            let back = within("it back", session.exactly(4)).await;
            assert_eq!(back.unwrap(), b"late");
        }
        drop(all);
        silent.stop().await;
        world.stop().await;
    });
}

#[test]
fn quiet_job_outlives_the_patience_of_nginx() {
    if Program::Nginx.is_there("quiet_job_outlives_the_patience_of_nginx") {
        let clock: Way = ("wss", NGINX, short_nginx);
        job_outlives_the_silent(Program::Nginx, clock, &[(NGINX, short_nginx)]);
    }
}

#[test]
fn quiet_job_outlives_the_patience_of_haproxy() {
    if Program::HaProxy.is_there("quiet_job_outlives_the_patience_of_haproxy") {
        let clock: Way = ("grpcs", HAPROXY_HTTP, short_haproxy);
        let ways: [Printed; 2] = [
            (HAPROXY_HTTP, short_haproxy),
            (HAPROXY_TCP, short_haproxy_tcp),
        ];
        job_outlives_the_silent(Program::HaProxy, clock, &ways);
    }
}

/// Its own patience is five minutes, longer than a test: what is seen is that the settings name none.
#[test]
fn quiet_job_outlives_the_patience_of_envoy() {
    if Program::Envoy.is_there("quiet_job_outlives_the_patience_of_envoy") {
        let clock: Way = ("grpcs", ENVOY, short_envoy);
        job_outlives_the_silent(Program::Envoy, clock, &[(ENVOY, same)]);
    }
}
