//! Peers that vanish without a word, at the default settings: given up within 20 seconds. The clock is tokio's and runs ahead
//! while everybody waits, so these take no time; the line keeps its connections open, as a firewall that drops packets does.

use std::time::Duration;

use adit_tests::{
    Answer, Direction, agent, body,
    caller::{get, next_piece, request},
    job,
    lonely::{alone, memory, peak_memory},
    pass, scenario, until, within,
};
use futures_util::future::join_all;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::{Instant, timeout};

use super::Lined;
use crate::{
    streams::until_still,
    upgrades::{SPDY, upgrade},
};

const IN_TIME: Duration = Duration::from_secs(20);
const BOTH: [Direction; 2] = [Direction::There, Direction::Back];

/// All before the silence: a POST without an answer, a watch with one, an upgraded connection, an upgrade without an answer, and one
/// whose refusal never ends; how each ended and when.
async fn ends_in_time(lined: &Lined, silence: impl AsyncFnOnce()) -> Answer {
    let http2 = lined.job.http2().await;
    let watch = http2.send(get("/watch")).await.unwrap();
    let (mut exec, _) = upgrade(&lined.job, SPDY).await;
    let mut unanswered = lined.job.raw_asking("POST /never", SPDY).await;
    let mut http1 = lined.job.http1().await;
    let mut refused = get("/silent");
    for (name, value) in [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "SPDY/3.1"),
    ] {
        refused
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let refused = http1.send(refused).await.unwrap();
    let mut pending = Box::pin(http2.send(request(Method::POST, "/never", body::empty())));
    tokio::select! {
        _ = pending.as_mut() => panic!("nobody answers"),
        () = lined.kube.until_open(5) => {}
    }
    tokio::time::pause();
    silence().await;
    let began = Instant::now();
    let answer = timeout(IN_TIME, pending)
        .await
        .expect("the request is answered in time")
        .unwrap();
    timeout(IN_TIME - began.elapsed(), Answer::of(watch))
        .await
        .expect("the watch ends in time")
        .expect_err("it must not look complete");
    let (_, end) = timeout(IN_TIME - began.elapsed(), exec.rest())
        .await
        .expect("the upgraded connection ends in time");
    end.expect_err("it must not look complete");
    let told = timeout(IN_TIME - began.elapsed(), unanswered.answer())
        .await
        .expect("the upgrade is answered in time");
    assert!(matches!(told, Some((502 | 504, ..))), "{told:?}");
    timeout(IN_TIME - began.elapsed(), Answer::of(refused))
        .await
        .expect("the refusal ends in time")
        .expect_err("it must not look complete");
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "a moment of silence is no death: {:?}",
        began.elapsed()
    );
    let answer = Answer::of(answer).await.unwrap();
    tokio::time::resume();
    answer
}

#[test]
fn silent_agent_is_given_up() {
    for directions in [&BOTH[..], &BOTH[..1], &BOTH[1..]] {
        scenario(async {
            let lined = Lined::start().await;
            let answer = ends_in_time(&lined, async || lined.to_relay.swallow(directions)).await;
            let refused = answer.refused();
            assert_eq!(refused.told(), (502, "agent_lost", "agent", None));
            // The agent gives the relay up, too, and what it asked for.
            tokio::time::pause();
            until("the API server's requests are cancelled", || {
                lined.kube.open() == 0
            })
            .await;
            tokio::time::resume();
            lined.to_relay.mend();
            // Or the agent waits out the connection that it tried meanwhile.
            lined.to_relay.cut();
            recovers(&lined).await;
            if directions == BOTH {
                let metric = "adit_relay_tunnel_ends_total{cause=\"silent\"}";
                lined.relay.until_metric(metric, |ends| ends >= 1.0).await;
            }
            lined.stop().await;
        });
    }
}

/// On a tunnel that carries nothing, twenty seconds of silence are no death yet.
#[test]
fn request_on_a_tunnel_that_died_unused_is_told_soon() {
    scenario(async {
        let lined = Lined::start().await;
        let http2 = lined.job.http2().await;
        http2.get("/api").await.echo();
        tokio::time::pause();
        lined.to_relay.swallow(&BOTH);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let began = Instant::now();
        let refused = http2.get("/api").await.refused();
        assert_eq!(refused.told(), (502, "agent_lost", "agent", None));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        tokio::time::resume();
        lined.to_relay.mend();
        lined.to_relay.cut();
        recovers(&lined).await;
        drop(http2);
        lined.stop().await;
    });
}

#[test]
fn safe_request_on_a_tunnel_that_died_unused_moves_to_another_replica() {
    scenario(async {
        let lined = Lined::start().await;
        let other = agent("prod").to(&lined.relay).serving(&lined.kube);
        let other = other.start().await;
        let http2 = lined.job.http2().await;
        tokio::time::pause();
        lined.to_relay.swallow(&BOTH);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let began = Instant::now();
        // As many on one tunnel as on the other.
        for answer in join_all((0..4).map(|_| http2.get("/api"))).await {
            answer.echo();
        }
        let took = began.elapsed();
        assert!(took > Duration::from_secs(2), "none was on the dead one");
        assert!(took < Duration::from_secs(5), "{took:?}");
        tokio::time::resume();
        drop(http2);
        lined.to_relay.mend();
        lined.stop().await;
        other.stop().await;
    });
}

#[test]
fn silent_api_server_is_given_up() {
    for directions in [&BOTH[..], &BOTH[..1], &BOTH[1..]] {
        scenario(async {
            let lined = Lined::start().await;
            let answer = ends_in_time(&lined, async || lined.to_kube.swallow(directions)).await;
            let refused = answer.refused();
            assert_eq!(refused.hop, "api-server", "{refused:?}");
            assert!(matches!(refused.status, 502 | 504), "{refused:?}");
            lined.to_kube.mend();
            lined.to_kube.cut();
            recovers(&lined).await;
            lined.stop().await;
        });
    }
}

#[test]
fn balancer_that_cuts_what_is_idle_for_a_minute_cuts_nothing() {
    scenario(async {
        // Only the pings of tunnel and API server are carried for an hour.
        let lined = Lined::start_with(async |agent, to_relay, to_kube| {
            to_relay.cut_idle(Duration::from_secs(60));
            to_kube.cut_idle(Duration::from_secs(60));
            agent.start().await
        })
        .await;
        let token = lined
            .relay
            .issuer()
            .token_for(&job(9001), Duration::from_secs(20 * 3600));
        let caller = lined.relay.showing(&format!("Bearer ci:1:{token}"));
        let http2 = caller.http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        tokio::time::resume();
        lined.kube.event("late");
        assert_eq!(next_piece(&mut watch).await, "late\n");
        let metrics = lined.relay.metrics().await;
        assert_eq!(metrics.value("adit_relay_tunnels_opened_total"), 1.0);
        drop((watch, http2));
        lined.stop().await;
    });
}

#[test]
fn session_on_which_something_comes_outlives_an_api_server_that_answers_no_new_connection() {
    scenario(async {
        let lined = Lined::start().await;
        let (mut exec, _) = upgrade(&lined.job, SPDY).await;
        lined.to_kube.swallow_new();
        for _ in 0..5 {
            // By then the agent asks, since nothing has come for ten seconds, and gets no answer.
            pass(Duration::from_secs(12)).await;
            exec.write("word").await.unwrap();
            let back = within("it back", exec.exactly(4)).await;
            assert_eq!(back.unwrap(), b"word");
        }
        drop(exec);
        lined.stop().await;
    });
}

#[test]
fn dial_that_hangs_holds_up_nobody() {
    scenario(async {
        let lined = Lined::start_with(async |agent, _, _| {
            agent
                .with("kubernetes", "connect_timeout", "500ms")
                .start()
                .await
        })
        .await;
        let http2 = lined.job.http2().await;
        http2.get("/api").await.echo();
        // Each upgrade has a connection of its own, and none comes about any more.
        lined.to_kube.swallow_new();
        let upgrades = join_all((0..5).map(async |_| {
            let mut connection = lined.job.raw().await;
            let head = lined.job.head("POST /upgrade", SPDY);
            connection.write(head).await.unwrap();
            connection.answer().await
        }));
        let others = async {
            for _ in 0..12 {
                http2.get("/api").await.echo();
            }
        };
        let (upgrades, ()) = tokio::join!(within("their ends", upgrades), others);
        for upgrade in upgrades {
            let (status, _, body) = upgrade.unwrap();
            assert!(matches!(status, 502 | 504), "{status}");
            let told = String::from_utf8(body).unwrap();
            assert!(told.contains("api-server"), "{told}");
        }
        drop(http2);
        lined.stop().await;
    });
}

#[test]
fn uploads_into_silence_take_no_more_memory_than_the_windows() {
    const UPLOADS: usize = 40;
    let name = "faults::silence::uploads_into_silence_take_no_more_memory_than_the_windows";
    alone(name, || {
        scenario(async {
            let lined = Lined::start().await;
            let http2 = lined.job.http2().await;
            http2.get("/api").await.echo();
            let before = memory();
            lined.to_relay.swallow(&BOTH);
            let upload = || http2.send(request(Method::PUT, "/sink", body::pattern(64 << 20)));
            let mut uploads = Box::pin(join_all((0..UPLOADS).map(|_| upload())));
            tokio::select! {
                _ = uploads.as_mut() => panic!("nobody answers"),
                () = until_still(&lined.relay, "request") => {}
            }
            // Windows of the caller's connection, the relay's credit and what it may queue; nothing of it twice.
            let more = peak_memory() - before;
            assert!(
                more < UPLOADS * (1 << 20) + (48 << 20),
                "{} MiB",
                more >> 20
            );
            drop(uploads);
            drop(http2);
            lined.to_relay.mend();
            lined.to_relay.cut();
            recovers(&lined).await;
            lined.stop().await;
        });
    });
}

async fn recovers(lined: &Lined) {
    let began = Instant::now();
    while lined.job.get("/api").await.status != StatusCode::OK {
        assert!(began.elapsed() < adit_tests::SOON, "it does not recover");
    }
}
