//! A job's end ends its access: watches, logs, execs and port-forwards are cut, with a reason that says so.

use adit_tests::{
    Caller, JobStatus, body,
    caller::{breaks_off, get, next_piece, request},
    logs, scenario, until, within,
};
use http::Method;

use super::Place;
use crate::upgrades::{SPDY, WEBSOCKET, upgrade};

#[test]
fn what_runs_is_cut_when_the_job_ends_and_other_jobs_go_on() {
    scenario(async {
        let place = Place::new().await;
        let (_, other) = place.job();
        let lasting = other.http2().await;
        let mut stays = lasting.send(get("/watch")).await.unwrap();
        let (id, job) = place.job();
        let end = async {
            place.gitlab.end_job(id, JobStatus::Canceled).await;
        };
        Box::pin(run_everything(&place, &job, end)).await;
        let refused = job.get("/api").await.refused();
        assert_eq!(refused.told(), (401, "gitlab_not_accepted", "client", None));
        let metrics = place.relay().metrics().await;
        for sample in [
            "adit_relay_gitlab_calls_total",
            "adit_relay_gitlab_ended_total",
            "adit_relay_gitlab_tokens",
            "adit_relay_gitlab_token_bytes",
        ] {
            assert!(metrics.sum(sample) > 0.0, "{sample}\n{}", metrics.0);
        }
        let closed = r#"adit_relay_gitlab_breaker{state="closed"}"#;
        assert_eq!(metrics.value(closed), 1.0);
        place.world.kube.event("still here");
        assert_eq!(next_piece(&mut stays).await, "still here\n");
        assert!(
            logs().contains("a job's access has ended"),
            "the log says why"
        );
        assert!(
            logs().contains("the job has ended"),
            "the agent's log says why"
        );
        drop((stays, lasting));
        place.stop().await;
    });
}

/// Two watches, two upgrades and a request without an answer, all of which end when `end` has happened.
async fn run_everything(place: &Place, job: &Caller, end: impl Future<Output = ()>) {
    let open = place.world.kube.open();
    let (http2, mut http1) = (job.http2().await, job.http1().await);
    let (mut exec, _) = upgrade(job, SPDY).await;
    let (mut forward, _) = upgrade(job, WEBSOCKET).await;
    let watches = [
        http2.send(get("/watch")).await.unwrap(),
        http1.send(get("/watch")).await.unwrap(),
    ];
    let never = http2.answer(get("/never"));
    let arrived = async {
        until("all of it arrived", || place.world.kube.open() == open + 5).await;
        end.await;
    };
    let (refused, ()) = tokio::join!(within("the end of the job", never), arrived);
    assert_eq!(refused.refused().told(), (401, "job_ended", "client", None));
    for watch in watches {
        breaks_off(watch).await;
    }
    for upgraded in [&mut exec, &mut forward] {
        let (_, end) = within("the session's end", upgraded.rest()).await;
        assert!(end.is_err(), "it must not look complete");
    }
    until("the API server's requests are cancelled", || {
        place.world.kube.open() == open
    })
    .await;
    let metrics = place.relay().metrics().await;
    assert_eq!(
        metrics.value(r#"adit_relay_exchanges_cut_total{reason="over"}"#),
        5.0
    );
}

#[test]
fn an_agent_that_gitlab_takes_away_is_lost_to_running_jobs() {
    scenario(async {
        let place = Place::new().await;
        let (_, job) = place.job();
        let http2 = job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        take_the_agent_away(&place);
        breaks_off(watch).await;
        assert_eq!(http2.get("/api").await.refused().reason, "not_permitted");
        let changed = r#"adit_relay_exchanges_cut_total{reason="changed"}"#;
        assert_eq!(place.relay().metrics().await.value(changed), 1.0);
        drop(http2);
        place.stop().await;
    });
}

#[test]
fn a_request_that_waits_is_told_that_the_agent_was_taken_away() {
    scenario(async {
        let place = Place::new().await;
        let (_, job) = place.job();
        let http2 = job.http2().await;
        let take_away = async {
            place.world.kube.until_open(1).await;
            take_the_agent_away(&place);
        };
        let never = http2.answer(get("/never"));
        let (refused, ()) = tokio::join!(within("the agent's loss", never), take_away);
        assert_eq!(
            refused.refused().told(),
            (503, "access_changed", "relay", Some(1))
        );
        until("the API server's request is cancelled", || {
            place.world.kube.open() == 0
        })
        .await;
        drop(http2);
        place.stop().await;
    });
}

/// GitLab's list for jobs without an environment loses `prod`.
fn take_the_agent_away(place: &Place) {
    let limited =
        r#"{"ci_access":{"projects":[{"id":"group/sub/app","environments":["production"]}]}}"#;
    let mut world = place.gitlab.world();
    world.configure_yaml(1, limited).unwrap();
}

/// A job that GitLab lists without its environment, which is not stored yet.
fn begun_before_its_environment(place: &Place) -> u64 {
    let mut world = place.gitlab.world();
    let job = world.job("group/sub/app").environment("production");
    job.unpersisted().run()
}

#[test]
fn an_environment_that_is_stored_late_cuts_nothing() {
    scenario(async {
        let place = Place::with("recheck: 100ms").await;
        let id = begun_before_its_environment(&place);
        let http2 = place.caller(id).http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        let environment = "gitlab:project_env:150:production";
        let groups = || place.world.kube.last().values("impersonate-group");
        assert!(!groups().contains(&environment.to_owned()));
        place.gitlab.world().persist_environment(id);
        within("the environment counts", async {
            while !groups().contains(&environment.to_owned()) {
                http2.get("/api").await.echo();
            }
        })
        .await;
        place.world.kube.event("still here");
        assert_eq!(next_piece(&mut watch).await, "still here\n");
        drop((watch, http2));
        place.stop().await;
    });
}

#[test]
fn what_is_sent_meanwhile_is_not_cut_either() {
    scenario(async {
        let place = Place::with("recheck: 100ms").await;
        let id = begun_before_its_environment(&place);
        let (hand, upload) = body::by_hand();
        let uploading = place.caller(id).http2().await;
        let sent = uploading.answer(request(Method::PUT, "/api", upload));
        let meanwhile = async {
            hand.data("before").await;
            place.world.kube.until_open(1).await;
            place.gitlab.world().persist_environment(id);
            let environment = "gitlab:project_env:150:production";
            let groups = || place.world.kube.last().values("impersonate-group");
            within("the environment counts", async {
                while !groups().contains(&environment.to_owned()) {
                    place.caller(id).get("/api").await.echo();
                }
            })
            .await;
            hand.data("after").await;
            drop(hand);
        };
        let (answer, ()) = tokio::join!(within("the answer", sent), meanwhile);
        assert_eq!(answer.status, 200);
        drop(uploading);
        place.stop().await;
    });
}
