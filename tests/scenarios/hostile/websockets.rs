//! What comes to the door that agents' WebSockets use: pages, strangers, messages without bounds, and lies about an address.

use adit_tests::{Caller, CallerIo, Raw, World, kube, logs, relay, scenario, until, within};
use adit_tunnel::{PATH, WEBSOCKET_PATH};

use super::frames::{END_HEADERS, END_STREAM, HEADERS, PREFACE, block, frame};
use crate::{
    upgrades::SPDY,
    websockets::{FIELDS, OPEN, inside},
};

/// Nobody in particular.
fn stranger(world: &World) -> Caller {
    world.job.anonymous().under("")
}

/// A WebSocket of somebody who has shown no token yet.
async fn websocket(world: &World, fields: &str) -> Raw<CallerIo> {
    let asked = format!("GET {WEBSOCKET_PATH}");
    let mut connection = stranger(world)
        .raw_asking(&asked, &format!("{FIELDS}{fields}"))
        .await;
    let head = within("101", connection.head()).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    connection
}

#[test]
fn only_an_agents_upgrade_opens_a_websocket() {
    scenario(async {
        let world = inside().await;
        let stranger = stranger(&world);
        let page = format!("{FIELDS}Origin: https://{}\r\n", world.relay.address());
        let other = FIELDS.replace("adit-tunnel", "chat");
        for fields in ["", SPDY, &page, &other] {
            let asked = format!("GET {WEBSOCKET_PATH}");
            let mut connection = stranger.raw_asking(&asked, fields).await;
            let (status, _, body) = within("an answer", connection.answer()).await.unwrap();
            let body = String::from_utf8_lossy(&body);
            assert_eq!(status, 400, "{fields}: {body}");
            assert!(body.contains("\"bad_websocket\""), "{fields}: {body}");
        }
        let refused = stranger.get(WEBSOCKET_PATH).await;
        assert_eq!(refused.refused().reason, "bad_websocket");
        world.stop().await;
    });
}

#[test]
fn websocket_with_nothing_in_it_is_closed() {
    scenario(async {
        let kube = kube();
        let relay = relay().with("listen", "head_timeout", "200ms");
        let world = World::of(kube, relay).await;
        let mut connection = websocket(&world, "").await;
        let (_, _) = within("the end", connection.rest()).await;
        world.relay.until_metric(OPEN, |open| open == 0.0).await;
        let failed = "adit_relay_handshakes_failed_total{reason=\"http2_timed_out\"}";
        assert_eq!(world.relay.metrics().await.value(failed), 1.0);
        world.stop().await;
    });
}

#[test]
fn message_without_bounds_ends_its_websocket() {
    scenario(async {
        let world = inside().await;
        let gigabyte: &[u8] = &[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
        let unmasked: &[u8] = &[0x82, 3, b'P', b'R', b'I'];
        for message in [gigabyte, unmasked] {
            let mut connection = websocket(&world, "").await;
            connection.write(message).await.unwrap();
            let (_, _) = within("the end", connection.rest()).await;
            world.relay.until_metric(OPEN, |open| open == 1.0).await;
        }
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

/// What comes inside no proxy wrote: only the upgrade itself came through one.
#[test]
fn address_that_is_told_inside_a_websocket_is_not_believed() {
    scenario(async {
        let relay = relay().with("listen", "forwarded_for_from", "[127.0.0.1]");
        let world = World::of(kube(), relay).await;
        let mut connection = websocket(&world, "X-Forwarded-For: 192.0.2.7\r\n").await;
        let call = block(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", PATH),
            ("content-type", "application/grpc"),
            ("authorization", "Bearer unknown"),
            ("x-forwarded-for", "203.0.113.9"),
        ]);
        let call = frame(HEADERS, END_HEADERS | END_STREAM, 1, &call);
        connection
            .write(message(&[PREFACE, &call].concat()))
            .await
            .unwrap();
        until("the refusal is logged", || {
            logs().contains("tunnel refused")
        })
        .await;
        assert!(logs().contains("client.addr=192.0.2.7 "), "{}", logs());
        assert!(!logs().contains("203.0.113.9"));
        drop(connection);
        world.stop().await;
    });
}

/// A message of a client's, by the mask that changes nothing.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x82, 0xfe], &length[..], &[0; 4], payload].concat()
}
