//! How relay and agent stop: they take nothing new, finish what was begun, cut what outlives the grace, and leave early when
//! nothing is left.

use std::time::Duration;

use adit_tests::{
    Line, agent, body,
    caller::{breaks_off, get, next_piece, request},
    kube, relay, scenario, until, world,
};
use http::Method;
use tokio::time::Instant;

use crate::upgrades::{SPDY, upgrade};

/// Longer than any test may take: an end that comes earlier was not waited for.
const LONG: Duration = Duration::from_secs(40);

/// Fails when it has taken so long already.
#[track_caller]
fn is_sooner_than(seconds: u64, began: Instant) {
    let took = began.elapsed();
    assert!(took < Duration::from_secs(seconds), "{took:?}");
}

#[test]
fn relay_lets_running_requests_finish() {
    scenario(async {
        let mut world = world().await;
        let (http2, mut http1) = (world.job.http2().await, world.job.http1().await);
        let waiting = async {
            tokio::join!(
                http2.answer(request(Method::POST, "/wait", body::empty())),
                http1.get("/wait")
            )
        };
        let (address, admin) = (world.relay.address(), world.relay.admin());
        let (answers, ()) = tokio::join!(waiting, async {
            world.kube.until_open(2).await;
            let began = Instant::now();
            tokio::join!(world.relay.drain(LONG), async {
                until("nobody is let in", || {
                    std::net::TcpStream::connect(address).is_err()
                })
                .await;
                let (readiness, _) = adit_tests::admin_get(admin, "/readyz").await;
                assert_eq!(readiness, 503);
                assert_eq!(world.kube.open(), 2);
                world.kube.release();
            });
            // It left when nothing was left.
            is_sooner_than(20, began);
        });
        assert_eq!(
            (answers.0.text().as_str(), answers.1.text().as_str()),
            ("released", "released")
        );
        drop((http2, http1));
        world.stop().await;
    });
}

#[test]
fn relay_lets_a_watch_go_on_and_end_well() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        tokio::join!(world.relay.drain(LONG), async {
            for event in ["one", "two"] {
                world.kube.event(event);
                assert_eq!(next_piece(&mut watch).await, format!("{event}\n"));
            }
            // The caller ends it, and so the drain.
            drop(watch);
        });
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn what_outlives_the_relays_grace_is_cut_and_looks_so() {
    scenario(async {
        let mut world = world().await;
        let (http2, mut http1) = (world.job.http2().await, world.job.http1().await);
        let watches = [
            http2.send(get("/watch")).await.unwrap(),
            http1.send(get("/watch")).await.unwrap(),
        ];
        let (mut exec, _) = upgrade(&world.job, SPDY).await;
        let began = Instant::now();
        let ((), _, (_, end)) = tokio::join!(
            world.relay.drain(Duration::from_millis(300)),
            futures_util::future::join_all(watches.map(breaks_off)),
            exec.rest(),
        );
        is_sooner_than(9, began);
        assert!(
            end.is_err(),
            "a session that was cut must not look complete"
        );
        drop((http2, http1));
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn relay_with_nothing_to_finish_stops_at_once() {
    scenario(async {
        let mut world = world().await;
        let job = &world.job;
        // Connections that do nothing are no reason to stay.
        let (http2, mut http1, raw) = (job.http2().await, job.http1().await, job.raw().await);
        http2.get("/api").await.echo();
        http1.get("/api").await.echo();
        let began = Instant::now();
        world.relay.drain(LONG).await;
        is_sooner_than(7, began);
        drop((http2, http1, raw));
        world.stop().await;
    });
}

#[test]
fn agent_lets_running_requests_finish_and_the_next_wait_for_its_successor() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let (answer, ()) = tokio::join!(
            http2.answer(request(Method::POST, "/wait", body::empty())),
            async {
                world.kube.until_open(1).await;
                tokio::join!(world.agent.drain(LONG), async {
                    tokio::task::yield_now().await;
                    world.kube.release();
                });
            }
        );
        assert_eq!(answer.text(), "released");
        let (answer, ()) = tokio::join!(http2.get("/api"), world.agent.revive());
        answer.echo();
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn what_outlives_the_agents_grace_is_cut_and_named() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let (answer, _, ()) = tokio::join!(
            http2.answer(request(Method::POST, "/never", body::empty())),
            breaks_off(watch),
            async {
                world.kube.until_open(2).await;
                world.agent.drain(Duration::from_millis(200)).await;
            }
        );
        assert_eq!(answer.refused().hop, "agent");
        world.kube.until_open(0).await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn abort_ends_everything_at_once() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let began = Instant::now();
        world.relay.kill().await;
        is_sooner_than(6, began);
        breaks_off(watch).await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn agent_of_a_relay_that_drains_is_elsewhere_before_the_relay_is_gone() {
    scenario(async {
        let kube = kube().start().await;
        let (mut old, new) = (relay().start().await, relay().start().await);
        let balancer = Line::to(old.address()).await;
        let agent = agent("prod")
            .to(&old)
            .via(balancer.address())
            .serving(&kube);
        let agent = agent.with("relay", "healthy_after", "1ms").start().await;
        let http2 = old.job(9001).http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        balancer.lead_to(new.address());
        tokio::join!(old.drain(LONG), async {
            new.until_metric("adit_relay_tunnels_open", |open| open == 1.0)
                .await;
            new.job(9002).get("/api").await.echo();
            kube.event("still here");
            assert_eq!(next_piece(&mut watch).await, "still here\n");
            drop(watch);
        });
        new.job(9002).get("/api").await.echo();
        drop(http2);
        new.stop().await;
        agent.stop().await;
        drop(balancer);
        kube.stop().await;
    });
}
