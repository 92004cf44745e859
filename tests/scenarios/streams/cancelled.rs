//! Whoever leaves ends the call at the API server, at once, and nothing of it stays behind.

use adit_tests::{
    World, body,
    caller::{get, request},
    kube, relay, scenario, until, within, world,
};
use futures_util::future::join_all;
use http::Method;

/// Paths whose answers never end: without a head, with one, and with events.
const ENDLESS: [&str; 3] = ["/never", "/silent", "/watch"];

#[test]
fn client_that_leaves_cancels_the_call() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            for path in ENDLESS {
                let mut http1 = world.job.http1().await;
                let left = async {
                    let answer = http1.send(get(path)).await;
                    std::future::pending::<()>().await;
                    drop(answer);
                };
                tokio::select! {
                    () = left => {}
                    () = world.kube.until_open(1) => {}
                }
                drop(http1);
                world.kube.until_open(0).await;
            }
            world.stop().await;
        }
    });
}

#[test]
fn stream_that_is_reset_cancels_the_call_and_no_other() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let stays = http2.send(get("/watch")).await.unwrap();
        for path in ENDLESS {
            let left = async {
                let answer = http2.send(get(path)).await;
                std::future::pending::<()>().await;
                drop(answer);
            };
            tokio::select! {
                () = left => {}
                () = world.kube.until_open(2) => {}
            }
            world.kube.until_open(1).await;
        }
        http2.get("/api").await.echo();
        drop((stays, http2));
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

#[test]
fn upload_that_is_cancelled_ends_at_the_api_server() {
    scenario(async {
        let world = world().await;
        world.kube.hold_sink();
        let http2 = world.job.http2().await;
        tokio::select! {
            _ = http2.send(request(Method::PUT, "/sink", body::pattern(1 << 40))) => panic!("nobody reads it"),
            () = world.kube.until_open(1) => {}
        }
        world.kube.let_sink();
        world.kube.until_open(0).await;
        assert_eq!(world.kube.whole_uploads(), 0);
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn reader_that_leaves_while_stalled_leaves_nothing() {
    scenario(async {
        let world = world().await;
        for _ in 0..20 {
            let http2 = world.job.http2().await;
            let answer = within("a head", http2.send(get("/big/50000000")))
                .await
                .unwrap();
            drop((answer, http2));
        }
        world.kube.until_open(0).await;
        world
            .relay
            .until_metric("adit_relay_tunnel_streams_open", |open| open == 0.0)
            .await;
        world.stop().await;
    });
}

#[test]
fn thousand_requests_cancelled_at_once_leave_nothing() {
    scenario(async {
        let world = world().await;
        for _ in 0..2 {
            let http2 = world.job.http2().await;
            let other = world.relay.job(9002).http2().await;
            let stays = other.send(get("/watch")).await.unwrap();
            let all = (0..800).map(|_| http2.send(get("/silent")));
            let answers = within("heads", join_all(all)).await;
            assert!(answers.iter().all(Result::is_ok));
            drop((answers, http2));
            world.kube.until_open(1).await;
            other.get("/api").await.echo();
            drop((stays, other));
            world.kube.until_open(0).await;
        }
        // One for each of the agent's window sizes, and the one it asked for the version on: the second round took no new ones.
        assert!(
            world.kube.connections() <= 4,
            "the agent's connections go on: {}",
            world.kube.connections()
        );
        world.stop().await;
    });
}

#[test]
fn requests_cancelled_at_random_moments_leave_nothing() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        for at in 0..300_u64 {
            let path = ["/big/3000000", "/never", "/api", "/watch"][(at % 4) as usize];
            let polls = (at * 7) % 23;
            let mut request = Box::pin(http2.send(get(path)));
            for _ in 0..polls {
                if futures_util::poll!(request.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        until("nothing is open", || world.kube.open() == 0).await;
        // Both ends of the tunnel agree on that.
        world
            .relay
            .until_metric("adit_relay_tunnel_streams_open", |open| open == 0.0)
            .await;
        let agent = world.agent.metrics().await;
        assert_eq!(agent.value("adit_agent_streams_open"), 0.0);
        // The connection's windows must have recovered.
        assert_eq!(http2.get("/big/20000000").await.body.len(), 20_000_000);
        drop(http2);
        world.stop().await;
    });
}
