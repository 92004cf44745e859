//! A relay on threads of its own, as in production: a caller's connection and the agent's tunnel are mostly not on the same.

use std::time::Duration;

use adit_tests::{
    World, agent, body,
    caller::{breaks_off, get, next_piece, request},
    kube, pattern, relay, scenario, until, within,
};
use futures_util::future::join_all;
use http::Method;

use crate::upgrades::{SPDY, upgrade};

async fn world() -> World {
    World::of(kube(), relay().on_threads(3)).await
}

#[test]
fn requests_and_bodies_cross_threads() {
    scenario(async {
        let world = world().await;
        let callers = (0..24_u64).map(async |at| {
            let caller = world.relay.job(9000 + at);
            let (http2, mut http1) = (caller.http2().await, caller.http1().await);
            for _ in 0..5 {
                let echo = http1.get("/api").await.echo();
                assert_eq!(
                    echo.values("impersonate-user"),
                    [format!("gitlab:ci_job:{}", 9000 + at)]
                );
                let upload = request(Method::PUT, "/sink", body::pattern(200_000));
                assert_eq!(http2.answer(upload).await.json()["bytes"], 200_000);
                let mut check = pattern::Check::default();
                check.take(&http2.get("/big/200000").await.body);
                assert_eq!(check.seen, 200_000);
            }
        });
        join_all(callers).await;
        world.stop().await;
    });
}

#[test]
fn watches_and_sessions_cross_threads() {
    scenario(async {
        let world = world().await;
        let mut watches = Vec::new();
        for at in 0..12 {
            let http2 = world.relay.job(9000 + at).http2().await;
            watches.push((http2.send(get("/watch")).await.unwrap(), http2));
        }
        let (mut session, _) = upgrade(&world.job, SPDY).await;
        for at in 0..20 {
            let line = format!("event {at}");
            world.kube.event(&line);
            for (watch, _) in &mut watches {
                assert_eq!(next_piece(watch).await, format!("{line}\n"));
            }
            session.write(&line).await.unwrap();
            assert_eq!(
                within("it back", session.exactly(line.len()))
                    .await
                    .unwrap(),
                line.as_bytes()
            );
        }
        drop((watches, session));
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn cancelling_and_stalling_cross_threads() {
    scenario(async {
        let world = world().await;
        let mut stalled = Vec::new();
        for at in 0..12 {
            let http2 = world.relay.job(9000 + at).http2().await;
            stalled.push((http2.send(get("/big/50000000")).await.unwrap(), http2));
        }
        for at in 0..12 {
            within("a small answer", world.relay.job(9100 + at).get("/api"))
                .await
                .echo();
        }
        drop(stalled);
        until("the API server's requests are cancelled", || {
            world.kube.open() == 0
        })
        .await;
        world.stop().await;
    });
}

#[test]
fn relay_on_threads_drains_and_cuts() {
    scenario(async {
        let mut world = world().await;
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let (waited, ()) = tokio::join!(
            http2.answer(request(Method::POST, "/wait", body::empty())),
            async {
                world.kube.until_open(2).await;
                tokio::join!(world.relay.drain(Duration::from_millis(500)), async {
                    world.kube.release();
                });
            }
        );
        assert_eq!(waited.text(), "released");
        breaks_off(watch).await;
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn replicas_on_other_threads_take_over() {
    scenario(async {
        let mut world = world().await;
        let second = agent("prod")
            .to(&world.relay)
            .serving(&world.kube)
            .start()
            .await;
        let callers =
            join_all((0..12).map(async |at| world.relay.job(9000 + at).http2().await)).await;
        world.agent.kill().await;
        for http2 in &callers {
            http2.get("/api").await.echo();
        }
        world.agent.revive().await;
        second.stop().await;
        for http2 in &callers {
            http2.get("/api").await.echo();
        }
        drop(callers);
        world.stop().await;
    });
}
