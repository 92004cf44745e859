//! A permit ends with its token: what runs under it is cut then, and says why.

use std::time::Duration;

use adit_tests::{
    Caller, World,
    caller::{breaks_off, get, next_piece},
    job, logs, scenario, until, within, world,
};

use crate::upgrades::{SPDY, upgrade};

/// A job whose token ends so soon.
fn short_lived(world: &World, lifetime: Duration) -> Caller {
    let token = world.relay.issuer().token_for(&job(9001), lifetime);
    world.relay.showing(&format!("Bearer ci:1:{token}"))
}

#[test]
fn what_runs_is_cut_when_the_token_ends_and_other_jobs_go_on() {
    scenario(async {
        let world = world().await;
        let lasting = world.relay.job(9002).http2().await;
        let mut stays = lasting.send(get("/watch")).await.unwrap();

        let caller = short_lived(&world, Duration::from_secs(2));
        let (http2, mut http1) = (caller.http2().await, caller.http1().await);
        let (mut exec, _) = upgrade(&caller, SPDY).await;
        let watches = [
            http2.send(get("/watch")).await.unwrap(),
            http1.send(get("/watch")).await.unwrap(),
        ];

        // One that has no answer yet is told why.
        let refused = within("the end of the permit", http2.answer(get("/never")))
            .await
            .refused();
        assert_eq!(refused.told(), (401, "permit_ended", "client", None));
        for watch in watches {
            breaks_off(watch).await;
        }
        let (_, end) = within("the session's end", exec.rest()).await;
        assert!(end.is_err(), "it must not look complete");
        until("the API server's requests are cancelled", || {
            world.kube.open() == 1
        })
        .await;

        let refused = http2.get("/api").await.refused();
        assert_eq!(
            (refused.status, refused.reason.as_str()),
            (401, "token_expired")
        );
        world.kube.event("still here");
        assert_eq!(next_piece(&mut stays).await, "still here\n");
        assert!(logs().contains("permit"), "the log says why");
        drop((stays, lasting, http2, http1));
        world.stop().await;
    });
}
