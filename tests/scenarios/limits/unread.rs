//! Bytes of answers that nobody reads: how many there may be, of one request, in one tunnel, and in all, and who is cut then.

use std::{future::poll_fn, time::Duration};

use adit_tests::{
    Answer, Line, RelayBuilder, World, agent,
    caller::{Http2, get, next_piece},
    job, kube, pki, relay, scenario, within,
};
use adit_tunnel::WINDOW;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use hyper::body::Incoming;

use crate::{hostile::agent::call, streams::until_still};

/// Bytes of an answer that finds no room on its way to a reader who has stopped.
const GREEDY: u64 = 2_500_000;

/// So many readers of one large answer each, who read nothing of it. One that is cut may lose its head, too, where both came at once.
async fn greedy(http2: &Http2, count: usize) -> Vec<hyper::Result<Response<Incoming>>> {
    let path = format!("/big/{GREEDY}");
    let asked = join_all((0..count).map(|_| http2.send(get(&path))));
    within("heads", asked).await
}

/// Reads on. How many were cut, before their head or behind it; the others have come whole.
async fn cut_of(greedy: Vec<hyper::Result<Response<Incoming>>>) -> usize {
    let mut cut = 0;
    let whole = async |begun: hyper::Result<_>| Answer::of(begun?).await;
    for answer in join_all(greedy.into_iter().map(whole)).await {
        match answer {
            Err(_) => cut += 1,
            Ok(answer) if answer.status == StatusCode::OK => {
                assert_eq!(answer.body.len() as u64, GREEDY);
            }
            Ok(answer) => {
                let refused = answer.refused();
                assert_eq!(refused.told(), (503, "overloaded", "agent", Some(1)));
                cut += 1;
            }
        }
    }
    cut
}

const CUT: &str = "adit_relay_tunnel_streams_overloaded_total";

#[test]
fn unread_bytes_of_a_tunnel_are_bounded_and_those_who_hold_most_are_cut() {
    scenario(async {
        // Room for sixteen windows, or thirty-two that are half full: less is unread of nobody who has stopped.
        let relay = relay().with("tunnel", "max_buffered", "1MiB").with(
            "tunnel",
            "max_stream_credit",
            "64KiB",
        );
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        let stalled = greedy(&http2, 48).await;
        world.relay.until_metric(CUT, |cut| cut > 0.0).await;
        until_still(&world.relay, "answer").await;
        // Small requests pass: they are never those who hold most.
        let other = world.relay.job(9002).http2().await;
        for _ in 0..12 {
            within("an answer", other.get("/api")).await.echo();
        }
        let agent = world.agent.metrics().await;
        assert!(agent.value("adit_agent_tunnel_credit_stalls_total") > 0.0);
        assert!(agent.value("adit_agent_tunnel_queued_bytes") > 0.0);
        assert_eq!(
            agent.value("adit_agent_tunnel_streams_overloaded_total"),
            0.0
        );
        let cut = cut_of(stalled).await;
        assert_eq!(world.relay.metrics().await.value(CUT), cut as f64);
        // Not more than there was no room for.
        assert!((1..=34).contains(&cut), "{cut} of 48 were cut");
        world.kube.until_open(0).await;
        world
            .agent
            .until_metric("adit_agent_tunnel_queued_bytes", |bytes| bytes == 0.0)
            .await;
        other.get("/api").await.echo();
        drop((other, http2));
        world.stop().await;
    });
}

#[test]
fn unread_bytes_of_all_tunnels_are_bounded_and_the_tunnel_that_holds_most_is_cut() {
    scenario(async {
        let relay = relay().with("tunnel", "max_buffered_in_all", "1MiB").with(
            "tunnel",
            "max_stream_credit",
            "64KiB",
        );
        let world = World::of(kube(), relay).await;
        let staging = agent("staging").to(&world.relay).serving(&world.kube);
        let staging = staging.start().await;
        let caller = world.relay.caller(&job(9002), "staging");
        let (prod, other) = (world.job.http2().await, caller.http2().await);
        let few = greedy(&other, 2).await;
        until_still(&world.relay, "answer").await;
        let many = greedy(&prod, 48).await;
        world.relay.until_metric(CUT, |cut| cut > 0.0).await;
        until_still(&world.relay, "answer").await;
        for caller in [&world.job, &caller] {
            caller.get("/api").await.echo();
        }
        assert_eq!(cut_of(few).await, 0, "they held little");
        let cut = cut_of(many).await;
        assert_eq!(world.relay.metrics().await.value(CUT), cut as f64);
        drop((prod, other));
        staging.stop().await;
        world.stop().await;
    });
}

/// What lies unread in the relay once a reader, who has read so far on a long path, has stopped.
async fn unread_when_stopped(relay: RelayBuilder) -> f64 {
    let kube = kube().start().await;
    let relay = relay.start().await;
    let line = Line::to(relay.address()).await;
    // From the first byte on: a window is judged by the shortest round trip of late.
    line.delay(Duration::from_millis(50));
    let agent = agent("prod").to(&relay).via(line.address()).serving(&kube);
    let agent = agent.start().await;
    let http2 = relay.job(9001).http2().await;
    let mut answer = http2.send(get("/big/50000000")).await.unwrap();
    let mut read = 0;
    while read < 2_000_000 {
        read += next_piece(&mut answer).await.len();
    }
    line.delay(Duration::ZERO);
    until_still(&relay, "answer").await;
    let unread = relay
        .metrics()
        .await
        .value("adit_relay_tunnel_buffered_bytes");
    drop((answer, http2));
    relay.stop().await;
    agent.stop().await;
    drop(line);
    kube.stop().await;
    unread
}

#[test]
fn window_of_an_answer_grows_with_its_path_as_far_as_it_may() {
    const KIB: f64 = 1024.0;
    scenario(async {
        let narrow = relay().with("tunnel", "max_stream_credit", "64KiB");
        let (narrow, wide) = (
            unread_when_stopped(narrow).await,
            unread_when_stopped(relay()).await,
        );
        assert!((32.0 * KIB..=72.0 * KIB).contains(&narrow), "{narrow}");
        assert!(wide >= 100.0 * KIB, "{wide}");
    });
}

/// What HTTP/2 lets an agent send ahead is more than all streams' credit comes to: it would hold up those that have some.
#[test]
fn wire_of_a_tunnel_is_wider_than_that_of_a_client() {
    scenario(async {
        let world = World::of(kube(), relay()).await;
        let wire = world.job.tls(pki::HTTP2).await;
        let mut builder = h2::client::Builder::new();
        builder.max_send_buffer_size(2 * WINDOW as usize);
        let (mut sender, connection) = builder.handshake::<_, Bytes>(wire).await.unwrap();
        let call = call("Bearer canary-agent-token-of-staging");
        let (_answer, mut send) = sender.send_request(call, false).unwrap();
        send.reserve_capacity(WINDOW as usize);
        let room = async {
            while send.capacity() < WINDOW as usize {
                poll_fn(|cx| send.poll_capacity(cx)).await.unwrap().unwrap();
            }
        };
        tokio::select! {
            biased;
            () = within("room", room) => {}
            ended = connection => panic!("{ended:?}"),
        }
        drop((send, sender));
        world.stop().await;
    });
}
