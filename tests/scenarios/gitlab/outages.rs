//! GitLab in trouble: known jobs go on, new ones are told.

use std::time::Duration;

use adit_tests::{
    AuditLog, Endpoint, Fault, World,
    caller::{get, next_piece},
    gitlab,
    gitlab::arrange,
    kube, pass, relay, scenario,
};
use futures_util::future::join_all;

use super::Place;

#[test]
fn trouble_of_every_kind_refuses_new_jobs_and_no_known_one() {
    scenario(async {
        let faults = [
            Fault::Status(500),
            Fault::Status(502),
            Fault::Status(503),
            Fault::Hang,
            Fault::HangUp,
            Fault::HalfAnswer,
            Fault::Garbage,
            Fault::WrongTypes,
            Fault::TooManyRequests { retry_after: 60 },
        ];
        for fault in faults {
            let place = Place::with("recheck: 100ms, timeout: 300ms").await;
            let (_, known) = place.job();
            let http2 = known.http2().await;
            let mut watch = http2.send(get("/watch")).await.unwrap();
            place.gitlab.faults().set(Endpoint::AllowedAgents, fault);
            // It was asked again, and nothing came of it.
            let asked = place.gitlab.calls().to(Endpoint::AllowedAgents);
            adit_tests::until("GitLab is asked again", || {
                place.gitlab.calls().to(Endpoint::AllowedAgents) > asked
            })
            .await;
            known.get("/api").await.echo();
            let (_, new) = place.job();
            let refused = new.get("/api").await.refused();
            let expected = match fault {
                Fault::Garbage | Fault::WrongTypes => (502, "gitlab_bad_answer"),
                Fault::SlowMillis(_)
                | Fault::Hang
                | Fault::HangUp
                | Fault::Status(_)
                | Fault::TooManyRequests { .. }
                | Fault::HalfAnswer => (503, "gitlab_unavailable"),
            };
            assert_eq!(
                (refused.status, refused.reason.as_str()),
                expected,
                "{fault:?}"
            );
            assert_eq!(
                refused.retry_after.is_some(),
                expected.0 == 503,
                "{fault:?}"
            );
            let outcome = match fault {
                Fault::Status(_) => "server_error",
                Fault::Hang => "timed_out",
                Fault::HangUp | Fault::HalfAnswer => "unreachable",
                Fault::TooManyRequests { .. } => "rate_limited",
                // It did answer, and is not believed.
                Fault::Garbage | Fault::WrongTypes | Fault::SlowMillis(_) => "yes",
            };
            // One before the fault, for the job that is known.
            let before = if outcome == "yes" { 1.0 } else { 0.0 };
            let calls = "adit_relay_gitlab_calls_total";
            let sample = format!("{calls}{{question=\"job\",outcome=\"{outcome}\"}}");
            let made = place.relay().metrics().await.value(&sample);
            assert!(made > before, "{fault:?}: {made} {outcome}");
            place.world.kube.event("still here");
            assert_eq!(next_piece(&mut watch).await, "still here\n", "{fault:?}");
            drop((watch, http2));
            place.stop().await;
        }
    });
}

#[test]
fn check_that_gitlab_leaves_without_an_answer_is_timed() {
    scenario(async {
        let (gitlab, log) = (gitlab().start().await, AuditLog::default());
        arrange(&gitlab);
        let relay = log.of(relay()).asking(&gitlab, "timeout: 300ms");
        let world = World::of(kube(), relay).await;
        let place = Place { gitlab, world };
        let hang = Fault::Hang;
        place.gitlab.faults().set(Endpoint::AllowedAgents, hang);
        let refused = place.job().1.get("/api").await.refused();
        assert_eq!(refused.reason, "gitlab_unavailable");
        let records = log.until(1).await;
        let micros = &records[0]["microseconds"]["authenticate"];
        assert!(micros.as_u64() >= Some(300_000), "{records:?}");
        let checks = "adit_relay_stage_duration_seconds_count{stage=\"authenticate\"}";
        assert_eq!(place.relay().metrics().await.value(checks), 1.0);
        // What shows no token has none checked.
        let stranger = place.world.job.anonymous().get("/api").await;
        assert_eq!(stranger.refused().reason, "credential_missing");
        assert_eq!(place.relay().metrics().await.value(checks), 1.0);
        place.stop().await;
    });
}

/// It is left alone for longer and longer, at last for more than the five seconds after which a token is overdue.
#[test]
fn token_that_nobody_asks_about_while_gitlab_hangs_is_overdue_until_it_answers() {
    scenario(async {
        let place = Place::with("recheck: 100ms, timeout: 300ms").await;
        let (_, job) = place.job();
        let http2 = job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        place
            .gitlab
            .faults()
            .set(Endpoint::AllowedAgents, Fault::Hang);
        until_overdue(&place, 1.0).await;
        place.gitlab.faults().clear();
        until_overdue(&place, 0.0).await;
        drop((watch, http2));
        place.stop().await;
    });
}

/// Lets time pass until so many tokens of jobs are overdue, half an hour at most.
async fn until_overdue(place: &Place, tokens: f64) {
    let overdue = r#"adit_relay_gitlab_tokens_overdue{question="job"}"#;
    let mut seconds = 0..30 * 60;
    while place.relay().metrics().await.value(overdue) != tokens {
        assert!(seconds.next().is_some(), "never {tokens} overdue");
        pass(Duration::from_secs(1)).await;
    }
}

#[test]
fn fifty_running_jobs_notice_nothing_of_an_outage() {
    for trouble in [Some(Fault::Hang), Some(Fault::Status(500)), None] {
        scenario(fifty_jobs_without_gitlab(trouble));
    }
}

/// It does as it is told, or is away.
async fn fifty_jobs_without_gitlab(trouble: Option<Fault>) {
    let mut place = Place::new().await;
    let jobs: Vec<_> = (0..50).map(|_| place.job().1).collect();
    let mut watches = Vec::new();
    for job in &jobs {
        let http2 = job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        assert_eq!(watch.status(), 200);
        watches.push((watch, http2));
    }
    match trouble {
        Some(fault) => place.gitlab.faults().set_everywhere(fault),
        None => place.gitlab.be_away().await,
    }
    let mut rounds_without = 0;
    while rounds_without < 3 {
        // On new connections, for which each token is looked up.
        for answer in join_all(jobs.iter().map(|job| job.get("/api"))).await {
            answer.echo();
        }
        let metrics = place.relay().metrics().await;
        let closed = metrics.value(r#"adit_relay_gitlab_breaker{state="closed"}"#);
        rounds_without += usize::from(closed == 0.0);
    }
    let refused = place.job().1.get("/api").await.refused();
    assert_eq!(refused.reason, "gitlab_unavailable", "{trouble:?}");
    assert!(refused.retry_after.is_some(), "{trouble:?}");
    place.world.kube.event("still here");
    for (watch, _) in &mut watches {
        assert_eq!(next_piece(watch).await, "still here\n", "{trouble:?}");
    }
    let metrics = place.relay().metrics().await;
    assert_eq!(metrics.sum("adit_relay_exchanges_cut_total"), 0.0);
    drop(watches);
    place.stop().await;
}

#[test]
fn gitlab_that_is_away_and_comes_back() {
    scenario(async {
        let mut place = Place::with("recheck: 100ms").await;
        let (id, known) = place.job();
        known.get("/api").await.echo();
        place.gitlab.be_away().await;
        known.get("/api").await.echo();
        let (_, new) = place.job();
        assert_eq!(new.get("/api").await.refused().reason, "gitlab_unavailable");
        place.gitlab.be_back().await;
        // As kubectl does it: again, when it was told to.
        adit_tests::within("the new job gets in", async {
            while new.get("/api").await.status != 200 {}
        })
        .await;
        // What ended meanwhile has ended.
        place
            .gitlab
            .world()
            .set_status(id, adit_tests::JobStatus::Success);
        adit_tests::within("the known job is refused", async {
            while known.get("/api").await.status == 200 {}
        })
        .await;
        assert_eq!(
            known.get("/api").await.refused().reason,
            "gitlab_not_accepted"
        );
        place.stop().await;
    });
}

#[test]
fn a_no_is_never_trouble() {
    scenario(async {
        for (status, reason) in [
            (401, "gitlab_not_accepted"),
            (403, "gitlab_forbidden"),
            (404, "gitlab_other_kind"),
        ] {
            let place = Place::with("recheck: 100ms").await;
            let (_, job) = place.job();
            let http2 = job.http2().await;
            let watch = http2.send(get("/watch")).await.unwrap();
            let no = Fault::Status(status);
            place.gitlab.faults().set(Endpoint::AllowedAgents, no);
            adit_tests::caller::breaks_off(watch).await;
            assert_eq!(job.get("/api").await.refused().reason, reason);
            drop(http2);
            place.stop().await;
        }
    });
}

#[test]
fn no_more_jobs_than_may_be_remembered_and_room_when_one_leaves() {
    scenario(async {
        // Asked about so seldom that nothing but the watch matters.
        let place = Place::with("recheck: 30s, max_tokens: 1").await;
        let (_, first) = place.job();
        let http2 = first.http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        let (_, second) = place.job();
        let refused = second.get("/api").await.refused();
        assert_eq!(refused.told(), (503, "gitlab_busy", "relay", Some(1)));
        place.world.kube.event("still here");
        assert_eq!(next_piece(&mut watch).await, "still here\n");
        drop((watch, http2));
        adit_tests::within("there is room", async {
            while second.get("/api").await.status != 200 {}
        })
        .await;
        place.stop().await;
    });
}
