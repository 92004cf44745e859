//! Several replicas of one agent: requests spread over them, one may die, and a rollout loses nothing.

use std::time::Duration;

use adit_tests::{
    Answer, Kube, TestAgent, TestRelay, agent, body,
    caller::{get, request},
    kube, relay, scenario, until, within,
};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Response, StatusCode};
use tokio::time::Instant;

/// Replicas of `prod`, each in front of an API server of its own, so that it is seen who served what.
struct Fleet {
    relay: TestRelay,
    replicas: Vec<(Kube, TestAgent)>,
}

impl Fleet {
    /// The first one's API server never answers at `/work`, the others do.
    async fn start(count: usize) -> Self {
        let relay = relay().start().await;
        let mut replicas = Vec::new();
        for at in 0..count {
            let kube = kube().answer("/work", move |_| async move {
                if at == 0 {
                    std::future::pending::<()>().await;
                }
                Response::new(body::full(Bytes::from(format!("by {at}"))))
            });
            let kube = kube.start().await;
            let agent = agent("prod")
                .to(&relay)
                .serving(&kube)
                .with("limits", "max_fields", 200 + at)
                .start()
                .await;
            replicas.push((kube, agent));
        }
        Self { relay, replicas }
    }

    fn served(&self) -> Vec<usize> {
        self.replicas
            .iter()
            .map(|(kube, _)| kube.request_count() - 1)
            .collect()
    }

    async fn stop(self) {
        self.relay.stop().await;
        for (kube, agent) in self.replicas {
            agent.stop().await;
            kube.stop().await;
        }
    }
}

#[test]
fn requests_spread_over_replicas() {
    scenario(async {
        let fleet = Fleet::start(3).await;
        let http2 = fleet.relay.job(9001).http2().await;
        let watches = join_all((0..60).map(|_| http2.send(get("/watch")))).await;
        let served = fleet.served();
        assert_eq!(served.iter().sum::<usize>(), 60);
        assert!(
            served.iter().all(|count| (10..=30).contains(count)),
            "{served:?}"
        );
        drop((watches, http2));
        fleet.stop().await;
    });
}

#[test]
fn safe_request_moves_to_another_replica_when_its_own_dies() {
    scenario(async {
        let mut fleet = Fleet::start(2).await;
        let http2 = fleet.relay.job(9001).http2().await;
        let mut waiting = Box::pin(join_all((0..8).map(|_| http2.get("/work"))));
        // Some of them hang at the first replica's API server.
        tokio::select! {
            _ = waiting.as_mut() => panic!("none of them reached the first replica"),
            () = until("some hang", || fleet.replicas[0].0.open() > 0 && fleet.served().iter().sum::<usize>() == 8) => {}
        }
        let (answers, ()) =
            tokio::join!(within("all answers", waiting), fleet.replicas[0].1.kill());
        assert!(answers.iter().all(|answer| answer.text() == "by 1"));
        drop(http2);
        fleet.stop().await;
    });
}

#[test]
fn request_that_may_have_acted_is_not_sent_twice() {
    scenario(async {
        let mut fleet = Fleet::start(2).await;
        let http2 = fleet.relay.job(9001).http2().await;
        let mut waiting =
            Box::pin(join_all((0..8).map(|_| {
                http2.answer(request(Method::POST, "/work", body::full("x")))
            })));
        tokio::select! {
            _ = waiting.as_mut() => panic!("none of them reached the first replica"),
            () = until("some hang", || fleet.replicas[0].0.open() > 0 && fleet.served().iter().sum::<usize>() == 8) => {}
        }
        let (answers, ()) =
            tokio::join!(within("all answers", waiting), fleet.replicas[0].1.kill());
        let lost = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::BAD_GATEWAY);
        assert_eq!(
            lost.map(|answer| answer.refused().reason)
                .collect::<Vec<_>>(),
            vec!["agent_lost"; fleet.served()[0]]
        );
        assert_eq!(fleet.served().iter().sum::<usize>(), 8);
        drop(http2);
        fleet.stop().await;
    });
}

#[test]
fn one_of_them_dies_and_the_others_serve() {
    scenario(async {
        let mut fleet = Fleet::start(3).await;
        let http2 = fleet.relay.job(9001).http2().await;
        http2.get("/api").await.echo();
        fleet.replicas[1].1.kill().await;
        for _ in 0..30 {
            http2.get("/api").await.echo();
        }
        fleet.replicas[1].1.revive().await;
        let before = fleet.served()[1];
        let watches = join_all((0..30).map(|_| http2.send(get("/watch")))).await;
        assert!(
            fleet.served()[1] > before,
            "the one that came back serves, too"
        );
        drop((watches, http2));
        fleet.stop().await;
    });
}

#[test]
fn rollout_of_all_replicas_fails_no_short_request() {
    scenario(async {
        let mut fleet = Fleet::start(2).await;
        let caller = fleet.relay.job(9001);
        let (http2, mut http1) = (caller.http2().await, caller.http1().await);
        let mut rollout = Box::pin(async {
            for _ in 0..3 {
                for (_, agent) in &mut fleet.replicas {
                    agent.drain(Duration::from_secs(5)).await;
                    agent.revive().await;
                }
            }
        });
        let mut count = 0;
        while futures_util::poll!(rollout.as_mut()).is_pending() {
            let (a, b) = tokio::join!(
                http2.answer(request(Method::POST, "/api", body::full("x"))),
                http1.get("/api")
            );
            a.echo();
            b.echo();
            count += 2;
        }
        assert!(count > 20, "{count} requests are no load");
        drop(rollout);
        drop((http2, http1));
        fleet.stop().await;
    });
}

#[test]
fn draining_replica_finishes_what_it_has_begun() {
    scenario(async {
        let mut fleet = Fleet::start(2).await;
        let http2 = fleet.relay.job(9001).http2().await;
        let waiting =
            join_all((0..6).map(|_| http2.send(request(Method::POST, "/wait", body::empty()))));
        let (answers, ()) = tokio::join!(waiting, async {
            let (kube, agent) = &mut fleet.replicas[0];
            until("it has some", || kube.open() > 0).await;
            let open = kube.open();
            let began = Instant::now();
            tokio::join!(agent.drain(Duration::from_secs(10)), async {
                // New ones go to the other while this one drains.
                http2.get("/api").await.echo();
                assert_eq!(kube.open(), open, "what it had begun goes on");
                kube.release();
            });
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "it ended early, when nothing was left"
            );
            fleet.replicas[1].0.release();
        });
        for answer in answers {
            assert_eq!(
                Answer::of(answer.unwrap()).await.unwrap().text(),
                "released"
            );
        }
        drop(http2);
        fleet.stop().await;
    });
}
