//! How relay and agent stop: they take nothing new, finish what was begun, cut what outlives the grace, and leave early when
//! nothing is left.

use std::time::Duration;

use adit_tests::{
    Answer, Line, World, agent, body,
    caller::{get, request},
    kube, relay, scenario, until, within, world,
};
use http::Method;
use http_body_util::BodyExt;
use tokio::{net::TcpStream, time::Instant};

/// Longer than any test may take: an end that comes earlier was not waited for.
const LONG: Duration = Duration::from_secs(40);

#[test]
fn relay_lets_running_requests_finish() {
    scenario(async {
        let World {
            kube,
            mut relay,
            agent,
            job,
        } = world().await;
        let (http2, mut http1) = (job.http2().await, job.http1().await);
        let waiting = async {
            tokio::join!(
                http2.answer(request(Method::POST, "/wait", body::empty())),
                http1.get("/wait")
            )
        };
        let (address, admin) = (relay.address(), relay.admin());
        let (answers, ()) = tokio::join!(waiting, async {
            kube.until_open(2).await;
            let began = Instant::now();
            tokio::join!(relay.drain(LONG), async {
                until("nobody is let in", || {
                    std::net::TcpStream::connect(address).is_err()
                })
                .await;
                let mut readiness = TcpStream::connect(admin).await.unwrap();
                tokio::io::AsyncWriteExt::write_all(
                    &mut readiness,
                    b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                )
                .await
                .unwrap();
                let mut answer = String::new();
                tokio::io::AsyncReadExt::read_to_string(&mut readiness, &mut answer)
                    .await
                    .unwrap();
                assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
                assert_eq!(kube.open(), 2);
                kube.release();
            });
            assert!(began.elapsed() < LONG / 2, "it left when nothing was left");
        });
        assert_eq!(
            (answers.0.text().as_str(), answers.1.text().as_str()),
            ("released", "released")
        );
        drop((http2, http1));
        agent.stop().await;
        kube.stop().await;
    });
}

#[test]
fn relay_lets_a_watch_go_on_and_end_well() {
    scenario(async {
        let World {
            kube,
            mut relay,
            agent,
            job,
        } = world().await;
        let http2 = job.http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        tokio::join!(relay.drain(LONG), async {
            for event in ["one", "two"] {
                kube.event(event);
                let frame = within("an event", watch.body_mut().frame())
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(frame.into_data().unwrap(), format!("{event}\n"));
            }
            // The caller ends it, and so the drain.
            drop(watch);
        });
        drop(http2);
        agent.stop().await;
        kube.stop().await;
    });
}

#[test]
fn what_outlives_the_relays_grace_is_cut_and_looks_so() {
    scenario(async {
        let World {
            kube,
            mut relay,
            agent,
            job,
        } = world().await;
        let (http2, mut http1) = (job.http2().await, job.http1().await);
        let watches = [
            http2.send(get("/watch")).await.unwrap(),
            http1.send(get("/watch")).await.unwrap(),
        ];
        let mut exec = job.raw().await;
        exec.write(job.head("POST /upgrade", crate::upgrades::SPDY))
            .await
            .unwrap();
        exec.head().await.unwrap();
        let began = Instant::now();
        let ((), ends, (_, end)) = tokio::join!(
            relay.drain(Duration::from_millis(300)),
            futures_util::future::join_all(watches.map(Answer::of)),
            exec.rest(),
        );
        assert!(
            began.elapsed() < Duration::from_secs(9),
            "{:?}",
            began.elapsed()
        );
        assert!(
            ends.iter().all(Result::is_err),
            "a watch that was cut must not look complete"
        );
        assert!(
            end.is_err(),
            "a session that was cut must not look complete"
        );
        drop((http2, http1));
        kube.until_open(0).await;
        agent.stop().await;
        kube.stop().await;
    });
}

#[test]
fn relay_with_nothing_to_finish_stops_at_once() {
    scenario(async {
        let World {
            kube,
            mut relay,
            agent,
            job,
        } = world().await;
        // Connections that do nothing are no reason to stay.
        let (http2, mut http1, raw) = (job.http2().await, job.http1().await, job.raw().await);
        http2.get("/api").await.echo();
        http1.get("/api").await.echo();
        let began = Instant::now();
        relay.drain(LONG).await;
        assert!(
            began.elapsed() < Duration::from_secs(7),
            "{:?}",
            began.elapsed()
        );
        drop((http2, http1, raw));
        agent.stop().await;
        kube.stop().await;
    });
}

#[test]
fn agent_lets_running_requests_finish_and_the_next_wait_for_its_successor() {
    scenario(async {
        let World {
            kube,
            relay,
            mut agent,
            job,
        } = world().await;
        let http2 = job.http2().await;
        let (answer, ()) = tokio::join!(
            http2.answer(request(Method::POST, "/wait", body::empty())),
            async {
                kube.until_open(1).await;
                tokio::join!(agent.drain(LONG), async {
                    tokio::task::yield_now().await;
                    kube.release();
                });
            }
        );
        assert_eq!(answer.text(), "released");
        let (answer, ()) = tokio::join!(http2.get("/api"), agent.revive());
        answer.echo();
        drop(http2);
        relay.stop().await;
        agent.stop().await;
        kube.stop().await;
    });
}

#[test]
fn what_outlives_the_agents_grace_is_cut_and_named() {
    scenario(async {
        let World {
            kube,
            relay,
            mut agent,
            job,
        } = world().await;
        let http2 = job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let (answer, end, ()) = tokio::join!(
            http2.answer(request(Method::POST, "/never", body::empty())),
            Answer::of(watch),
            async {
                kube.until_open(2).await;
                agent.drain(Duration::from_millis(200)).await;
            }
        );
        assert_eq!(answer.refused().hop, "agent");
        assert!(end.is_err(), "a watch that was cut must not look complete");
        kube.until_open(0).await;
        drop(http2);
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn abort_ends_everything_at_once() {
    scenario(async {
        let World {
            kube,
            mut relay,
            agent,
            job,
        } = world().await;
        let http2 = job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let began = Instant::now();
        relay.kill().await;
        assert!(
            began.elapsed() < Duration::from_secs(6),
            "{:?}",
            began.elapsed()
        );
        within("the watch's end", Answer::of(watch))
            .await
            .expect_err("it must not look complete");
        drop(http2);
        agent.stop().await;
        kube.stop().await;
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
            let frame = within("an event", watch.body_mut().frame())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(frame.into_data().unwrap(), "still here\n");
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
