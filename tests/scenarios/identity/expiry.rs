//! A permit ends with its token: what runs under it is cut then, and says why.

use std::{sync::Arc, time::Duration};

use adit_tests::{
    Caller, Io, Raw, World,
    caller::{breaks_off, get, next_piece},
    job, kube, logs, relay, scenario, until, within, world,
};
use tokio::sync::Notify;

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

#[test]
fn session_into_which_nothing_more_fits_is_cut_at_both_ends() {
    scenario(async {
        let over = Arc::new(Notify::new());
        let script = {
            let over = Arc::clone(&over);
            move |mut connection: Raw<Io>| {
                let over = Arc::clone(&over);
                async move {
                    connection.head().await;
                    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";
                    connection.write(switched).await.unwrap();
                    // And reads nothing.
                    over.notified().await;
                }
            }
        };
        let world = World::of(kube().raw(script), relay()).await;
        let caller = short_lived(&world, Duration::from_secs(2));
        let (mut exec, _) = upgrade(&caller, SPDY).await;
        let wrote = within("the end of the permit", exec.write(vec![7; 64 << 20])).await;
        assert!(wrote.is_err(), "nobody took it");
        let is_none = |open: f64| open == 0.0;
        world
            .relay
            .until_metric("adit_relay_upgraded_open", is_none)
            .await;
        world
            .agent
            .until_metric("adit_agent_upgrades_open", is_none)
            .await;
        over.notify_one();
        drop(exec);
        world.stop().await;
    });
}
