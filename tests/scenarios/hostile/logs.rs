//! Whoever may not get in writes little to the log, however often he tries: a flood of lines hides the one that matters, and fills
//! disks.

use adit_tests::{logs, scenario_logging, within, world};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::agent::tunnel;

/// Far fewer than there are events below, and more than one for each second that they may take.
const FEW: usize = 40;

#[test]
fn strangers_write_little_to_the_log() {
    scenario_logging("info", async {
        let world = world().await;
        let before = logs().lines().count();
        let anonymous = world.job.anonymous().http2().await;
        let liar = world.job.showing("Bearer ci:1:eyJ.eyJ.x").http2().await;
        for _ in 0..150 {
            assert_eq!(anonymous.get("/api").await.status, 401);
            assert_eq!(liar.get("/api").await.status, 401);
            let mut noise = TcpStream::connect(world.relay.address()).await.unwrap();
            noise.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let (connection, answer, _send) = tunnel(&world, "Bearer canary-unknown").await;
            let _ = within("an answer", answer).await;
            drop(connection);
        }
        let written = logs().lines().count() - before;
        assert!(written < FEW, "{written} lines:\n{}", logs());
        // What there is says how much there was.
        let metrics = world.relay.metrics().await;
        for sample in [
            "adit_relay_refusals_total{reason=\"credential_missing\"}",
            "adit_relay_refusals_total{reason=\"token_malformed\"}",
            "adit_relay_tunnels_refused_total{reason=\"unauthenticated\"}",
        ] {
            assert_eq!(metrics.value(sample), 150.0, "{sample}");
        }
        drop((anonymous, liar));
        world.stop().await;
    });
}
