//! Beside other jobs, one with very many requests has a few of them go on at a time: nobody waits behind all of them, and none of them
//! waits for long. The clock runs ahead while everybody waits.

use adit_tests::{
    Answer, AuditLog, World,
    caller::{Http2, get},
    kube, relay, scenario,
};
use futures_util::future::{BoxFuture, join_all};
use http::StatusCode;

const MANY: usize = 200;
const WAITED: &str = "adit_relay_stage_duration_seconds_count{stage=\"turn\"}";
const WAITING: &str = "adit_relay_requests_waiting";

/// Requests that the API server holds until it is told otherwise.
fn many(http2: &Http2) -> BoxFuture<'_, Vec<Answer>> {
    Box::pin(join_all((0..MANY).map(|_| http2.get("/wait"))))
}

/// A world with a job that has asked, and a connection of another.
pub(crate) async fn beside_another(world: &World) -> (Http2, Http2) {
    let (own, other) = (world.job.http2().await, world.relay.job(9002).http2().await);
    own.get("/api").await.echo();
    other.get("/api").await.echo();
    world.kube.forget();
    (own, other)
}

#[test]
fn request_of_another_job_is_not_behind_all_of_one_that_has_very_many() {
    scenario(async {
        let log = AuditLog::default();
        let relay = log.of(relay().with("limits", "turns_per_job", 4));
        let world = World::of(kube(), relay).await;
        let (own, other) = beside_another(&world).await;
        tokio::time::pause();
        let mut waiting = many(&own);
        tokio::select! {
            biased;
            _ = waiting.as_mut() => panic!("they are held"),
            answer = other.get("/api") => { answer.echo(); }
        }
        let before = world.kube.requests().len() - 1;
        assert!(before <= 20, "{before} of {MANY} went first");
        // The API server is slow with all of them, which is no reason to hold one back.
        tokio::select! {
            _ = waiting.as_mut() => panic!("they are held"),
            () = world.kube.until_open(MANY) => {}
        }
        tokio::time::resume();
        world.kube.release();
        let answers = waiting.await;
        assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
        let metrics = world.relay.metrics().await;
        assert_eq!(metrics.value(WAITING), 0.0);
        let waited = metrics.value(WAITED);
        assert!(waited >= (MANY - 20) as f64, "{waited}");
        let records = log.until(MANY + 3).await;
        let told = |record: &&serde_json::Value| record["microseconds"]["turn"].is_u64();
        assert_eq!(records.iter().filter(told).count() as f64, waited);
        drop((own, other));
        world.stop().await;
    });
}

#[test]
fn job_that_is_alone_waits_for_nothing() {
    scenario(async {
        let world = World::of(kube(), relay().with("limits", "turns_per_job", 1)).await;
        let own = world.job.http2().await;
        let mut waiting = many(&own);
        tokio::select! {
            _ = waiting.as_mut() => panic!("they are held"),
            () = world.kube.until_open(MANY) => {}
        }
        assert_eq!(world.relay.metrics().await.value(WAITED), 0.0);
        world.kube.release();
        waiting.await;
        drop(own);
        world.stop().await;
    });
}

#[test]
fn requests_that_are_taken_back_while_they_wait_reach_nobody_and_hold_up_nobody() {
    scenario(async {
        let world = World::of(kube(), relay().with("limits", "turns_per_job", 1)).await;
        let (own, other) = beside_another(&world).await;
        tokio::time::pause();
        let mut waiting = many(&own);
        tokio::select! {
            biased;
            _ = waiting.as_mut() => panic!("they are held"),
            answer = other.get("/api") => { answer.echo(); }
        }
        drop(waiting);
        world.kube.until_open(0).await;
        tokio::time::resume();
        own.get("/api").await.echo();
        world
            .relay
            .until_metric(WAITING, |waiting| waiting == 0.0)
            .await;
        let reached = world.kube.requests().len() - 2;
        assert!(reached <= 20, "{reached} of {MANY}");
        drop((own, other));
        world.stop().await;
    });
}

#[test]
fn requests_that_wait_are_finished_by_a_drain() {
    scenario(async {
        let mut world = World::of(kube(), relay().with("limits", "turns_per_job", 1)).await;
        let (own, other) = beside_another(&world).await;
        let asked = join_all((0..MANY).map(|_| own.send(get("/api"))));
        let drained = async {
            other.get("/api").await.echo();
            world.relay.drain(std::time::Duration::from_secs(30)).await;
        };
        let (answers, ()) = tokio::join!(asked, drained);
        for answer in answers {
            let answer = Answer::of(answer.unwrap()).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
        }
        drop((own, other));
        world.agent.stop().await;
        world.kube.stop().await;
    });
}
