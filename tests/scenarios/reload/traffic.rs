//! Grants that come and go while requests come and go.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use adit_tests::{Answer, caller::Http2};
use futures_util::future::join_all;

use super::*;

/// How often the grant is taken away.
const TIMES: usize = 30;

/// An answer, unless it broke off: it may be cut before its head is sent, or in the middle.
async fn whole(http2: &Http2, path: &str) -> Option<Answer> {
    let answer = http2.send(get(path)).await.ok()?;
    Answer::of(answer).await.ok()
}

#[test]
fn every_request_is_decided_wholly_by_the_one_or_the_other() {
    scenario(async {
        let relay = relay().with_agent("foreign", GRANT).on_threads(2);
        let mut world = World::of(kube(), relay).await;
        let foreign = agent("foreign")
            .to(&world.relay)
            .serving(&world.kube)
            .start()
            .await;
        let (own, granted) = (world.job.clone(), world.relay.caller(&job(9001), "foreign"));
        let is_over = AtomicBool::new(false);
        let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let callers = join_all((0..4).map(|_| async {
            let http2 = granted.http2().await;
            while !is_over.load(Ordering::Relaxed) {
                let Some(answer) = whole(&http2, "/api").await else {
                    continue;
                };
                if answer.status == StatusCode::OK {
                    let user = answer.echo();
                    assert_eq!(user.values("impersonate-user"), ["gitlab:ci_job:9001"]);
                    answered.fetch_add(1, Ordering::Relaxed);
                } else {
                    let reason = answer.refused().reason;
                    assert!(
                        ["not_permitted", "access_withdrawn"].contains(&reason.as_str()),
                        "{reason}"
                    );
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        let others = async {
            let http2 = own.http2().await;
            while !is_over.load(Ordering::Relaxed) {
                http2.get("/api").await.echo();
            }
        };
        let changes = async {
            for _ in 0..TIMES {
                for (counted, yaml) in [(&refused, ""), (&answered, GRANT)] {
                    world.relay.change(|told| told.set_agent("foreign", yaml));
                    let before = counted.load(Ordering::Relaxed);
                    until("it is so for somebody", || {
                        counted.load(Ordering::Relaxed) > before
                    })
                    .await;
                }
            }
            world.relay.change(|told| told.set_agent("foreign", ""));
            is_over.store(true, Ordering::Relaxed);
        };
        tokio::join!(callers, others, changes);
        world.kube.until_open(0).await;
        foreign.stop().await;
        world.stop().await;
    });
}

#[test]
fn nothing_goes_on_that_began_while_its_grant_was_taken_away() {
    scenario(async {
        let relay = relay().with_agent("foreign", GRANT).on_threads(2);
        let mut world = World::of(kube(), relay).await;
        let foreign = agent("foreign")
            .to(&world.relay)
            .serving(&world.kube)
            .start()
            .await;
        let granted = world.relay.caller(&job(9001), "foreign");
        for round in 0..TIMES {
            let http2 = granted.http2().await;
            let watches = join_all((0..8).map(|_| async {
                let refused = whole(&http2, "/watch").await.map(|told| told.refused());
                let reason = refused.map(|refused| refused.reason);
                let reasons = [
                    None,
                    Some("not_permitted".to_owned()),
                    Some("access_withdrawn".to_owned()),
                ];
                assert!(reasons.contains(&reason), "{reason:?}");
            }));
            let change = async {
                // Each time at another moment of their way.
                for _ in 0..round {
                    tokio::task::yield_now().await;
                }
                world.relay.change(|told| told.set_agent("foreign", ""));
            };
            // Each ends: it was refused, or is cut.
            within("their ends", async { tokio::join!(watches, change) }).await;
            world.kube.until_open(0).await;
            world.relay.change(|told| told.set_agent("foreign", GRANT));
        }
        foreign.stop().await;
        world.stop().await;
    });
}
