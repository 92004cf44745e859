//! Silence is no reason to end anything: watches and sessions wait for hours, and pings keep the tunnel up meanwhile. The
//! clock is tokio's and runs ahead while everybody waits.

use std::time::Duration;

use adit_tests::{
    caller::{get, next_piece},
    job, pass, scenario, until, within, world,
};

use crate::upgrades::{SPDY, upgrade};

#[test]
fn idle_watch_and_idle_session_outlive_an_hour() {
    scenario(async {
        let world = world().await;
        let token = world
            .relay
            .issuer()
            .token_for(&job(9001), Duration::from_secs(20 * 3600));
        let caller = world.relay.showing(&format!("Bearer ci:1:{token}"));
        let (http2, mut http1) = (caller.http2().await, caller.http1().await);
        let mut watches = [
            http2.send(get("/watch")).await.unwrap(),
            http1.send(get("/watch")).await.unwrap(),
        ];
        let (mut session, _) = upgrade(&caller, SPDY).await;
        assert_eq!(world.kube.watchers(), 2);
        until("all requests have begun", || world.kube.open() == 3).await;

        pass(HOUR).await;

        world.kube.event("late");
        for watch in &mut watches {
            assert_eq!(next_piece(watch).await, "late\n");
        }
        session.write("late").await.unwrap();
        assert_eq!(
            within("it back", session.exactly(4)).await.unwrap(),
            b"late"
        );
        assert_eq!(
            world
                .relay
                .metrics()
                .await
                .value("adit_relay_tunnels_opened_total"),
            1.0,
            "the tunnel was never lost"
        );
        drop((watches, http2, http1, session));
        world.kube.until_open(0).await;
        world.stop().await;
    });
}

/// Well beyond every timeout that a part of this could have.
const HOUR: Duration = Duration::from_secs(3600);
