//! A relay whose configuration changes while it runs: what GitLab has said of jobs holds on, and whose an agent is counts at once.

use adit_tests::{
    caller::{breaks_off, get, next_piece},
    scenario,
};

use super::Place;

/// Of any question.
const CALLS: &str = "adit_relay_gitlab_calls_total";

#[test]
fn change_asks_gitlab_nothing_and_forgets_no_job_while_it_is_away() {
    scenario(async {
        let mut place = Place::with("recheck: 1m").await;
        let (_, job) = place.job();
        let http2 = job.http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        place.gitlab.be_away().await;
        for wait in ["3s", "4s"] {
            place.world.relay.change(|told| {
                told.set("route", "wait", wait);
                told.forget_agent("staging");
            });
            // On the connection that knows the job, and on a new one.
            http2.get("/api").await.echo();
            job.get("/api").await.echo();
        }
        place.world.kube.event("still here");
        assert_eq!(next_piece(&mut watch).await, "still here\n");
        assert_eq!(place.relay().metrics().await.sum(CALLS), 1.0);
        drop((watch, http2));
        place.stop().await;
    });
}

#[test]
fn agent_that_is_gitlabs_no_more_is_lost_to_its_jobs_until_it_is_again() {
    scenario(async {
        let mut place = Place::with("recheck: 1m").await;
        let (_, job) = place.job();
        let http2 = job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        place
            .world
            .relay
            .change(|told| told.set_agent("prod", "authorities: [oidc]"));
        breaks_off(watch).await;
        for refused in [http2.get("/api").await, job.get("/api").await] {
            let refused = refused.refused();
            assert_eq!(refused.told(), (403, "not_permitted", "client", None));
        }
        place
            .world
            .relay
            .change(|told| told.set_agent("prod", "authorities: [oidc, gitlab]"));
        http2.get("/api").await.echo();
        assert_eq!(place.relay().metrics().await.sum(CALLS), 1.0);
        drop(http2);
        place.stop().await;
    });
}
