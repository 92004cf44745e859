//! How often GitLab is asked.

use adit_tests::{Endpoint, Fault, scenario};
use futures_util::future::join_all;

use super::Place;

#[test]
fn five_hundred_requests_at_once_cost_one_call() {
    scenario(async {
        let place = Place::with("recheck: 1m").await;
        let (_, job) = place.job();
        let slow = Fault::SlowMillis(200);
        place.gitlab.faults().set(Endpoint::AllowedAgents, slow);
        let connections = join_all((0..50).map(|_| job.http2())).await;
        let requests = connections
            .iter()
            .flat_map(|connection| (0..10).map(move |_| connection.get("/api")));
        for answer in join_all(requests).await {
            answer.echo();
        }
        assert_eq!(place.gitlab.calls().to(Endpoint::AllowedAgents), 1);
        let metrics = place.relay().metrics().await;
        let asked = r#"adit_relay_gitlab_lookups_total{question="job",result="asked"}"#;
        assert_eq!(metrics.value(asked), 1.0);
        drop(connections);
        place.stop().await;
    });
}

#[test]
fn invented_tokens_are_stopped_before_gitlab() {
    scenario(async {
        let place = Place::with("recheck: 1m, bad_tokens_per_second: 1").await;
        let (_, job) = place.job();
        let http2 = job.http2().await;
        http2.get("/api").await.echo();
        let mut reasons = Vec::new();
        for number in 0..50 {
            let invented = place.showing(&format!("glcbt-1_invented{number}"));
            reasons.push(invented.get("/api").await.refused().reason);
        }
        let refused = |reason: &str| reasons.iter().filter(|one| *one == reason).count();
        let asked = refused("gitlab_not_accepted");
        assert_eq!(asked + refused("too_many_bad_tokens"), 50, "{reasons:?}");
        assert_eq!(place.gitlab.calls().to(Endpoint::AllowedAgents), 1 + asked);
        assert!((10..40).contains(&asked), "{asked}");
        // Who is known goes on, and nobody else is remembered.
        http2.get("/api").await.echo();
        job.get("/api").await.echo();
        let metrics = place.relay().metrics().await;
        assert_eq!(
            metrics.value(r#"adit_relay_gitlab_tokens{question="job"}"#),
            1.0
        );
        drop(http2);
        place.stop().await;
    });
}
