//! The keys of an issuer over HTTPS: rotated, asked for no oftener than it bears, and out of reach.

use adit_tests::{Caller, Refused, TestIssuer, World, job, kube, relay, scenario, until, within};
use http::StatusCode;
use tokio::time::Instant;

/// What a job is told that is not let in.
async fn refusal(job: &Caller) -> Option<Refused> {
    let answer = job.get("/api").await;
    (answer.status != StatusCode::OK).then(|| answer.refused())
}

#[test]
fn key_that_was_rotated_in_is_fetched_and_one_rotated_out_is_refused() {
    scenario(async {
        let world = World::of(kube(), relay().believing(TestIssuer::over_https().await)).await;
        let issuer = world.relay.issuer();
        let old = world.relay.job(1);
        old.get("/api").await.echo();
        issuer.rotate();
        let new = world.relay.job(2);
        // Refused as long as the relay may not ask again.
        within("the new key is fetched", async {
            while let Some(refused) = refusal(&new).await {
                let may_be_new = ["token_unknown_key", "token_key_pending"];
                assert!(may_be_new.contains(&refused.reason.as_str()), "{refused:?}");
            }
        })
        .await;
        old.get("/api").await.echo();
        issuer.forget_retired();
        let refused = within("the old key is refused", async {
            loop {
                match refusal(&old).await {
                    // Either it is still held, or the token is so young that its key may be a new one.
                    None => {}
                    Some(refused) if refused.reason == "token_key_pending" => {}
                    Some(refused) => break refused,
                }
            }
        })
        .await;
        assert_eq!(refused.told(), (401, "token_unknown_key", "client", None));
        new.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn unknown_keys_make_the_relay_ask_the_issuer_at_a_bounded_rate() {
    scenario(async {
        let world = World::of(kube(), relay().believing(TestIssuer::over_https().await)).await;
        let http2 = world.job.anonymous().http2().await;
        let began = Instant::now();
        let before = world.relay.issuer().fetches();
        for _ in 0..20 {
            let foreign = TestIssuer::new().token(&job(1));
            let mut request = adit_tests::caller::get("/api");
            let value = format!("Bearer ci:1:{foreign}").parse().unwrap();
            request
                .headers_mut()
                .insert(http::header::AUTHORIZATION, value);
            let status = http2.answer(request).await.status.as_u16();
            assert!([401, 503].contains(&status), "{status}");
        }
        // At most one each 100 ms, which is what this relay is told, and the regular ones each 200 ms.
        let most = 2 + began.elapsed().as_millis() as usize / 60;
        let fetches = world.relay.issuer().fetches() - before;
        assert!(
            fetches <= most,
            "{fetches} fetches, expected {most} at most"
        );
        drop(http2);
        until("all is quiet", || world.kube.open() == 0).await;
        world.stop().await;
    });
}

#[test]
fn key_that_may_be_new_is_asked_for_later() {
    scenario(async {
        let issuer = TestIssuer::over_https().await.fetched_each("60s");
        let world = World::of(kube(), relay().believing(issuer)).await;
        // Made after the keys were fetched, by the clock of whoever made it.
        let new = TestIssuer::new().signed(&job(9001), |claims| {
            let issued = claims["iat"].as_u64().unwrap();
            claims.insert("iat".to_owned(), (issued + 2).into());
        });
        let refused = world
            .relay
            .showing(&format!("Bearer ci:1:{new}"))
            .get("/api")
            .await
            .refused();
        assert_eq!(
            (
                refused.status,
                refused.reason.as_str(),
                refused.hop.as_str()
            ),
            (503, "token_key_pending", "relay")
        );
        assert!(
            refused
                .retry_after
                .is_some_and(|seconds| (1..=60).contains(&seconds)),
            "{refused:?}"
        );
        let metrics = world.relay.metrics().await;
        assert_eq!(metrics.value("adit_relay_key_fetches_withheld_total"), 1.0);
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn issuer_that_cannot_be_reached_is_no_fault_of_the_caller() {
    scenario(async {
        let issuer = TestIssuer::over_https().await;
        issuer.be_away();
        let relay = relay().believing(issuer).start_unready().await;
        let refused = relay.job(9001).get("/api").await.refused();
        assert_eq!(
            (
                refused.status,
                refused.reason.as_str(),
                refused.hop.as_str(),
                refused.retry_after
            ),
            (503, "token_keys_unavailable", "relay", Some(2))
        );
        assert_eq!(relay.admin_get("/readyz").await.0, 503);
        relay.issuer().be_back();
        relay.until_ready().await;
        assert_eq!(
            relay.job(9001).get("/api").await.refused().reason,
            "agent_never_connected"
        );
        relay.stop().await;
    });
}
