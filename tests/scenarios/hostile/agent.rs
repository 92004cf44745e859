//! An agent that was taken over: it has a token and may speak for its own cluster, and for nothing else.

use adit_proto::tunnel::{Frame, Frames, Hello, frame::Kind};
use adit_tests::{World, job, scenario, until, within, world};
use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::{Method, Request};
use prost::Message as _;

use super::Bystander;

/// Calls the tunnel by hand.
pub(super) async fn tunnel(
    world: &World,
    authorization: &str,
) -> (
    adit_tests::caller::H2,
    h2::client::ResponseFuture,
    SendStream<Bytes>,
) {
    let mut connection = world.job.h2().await;
    let (answer, send) = connection.send(call(authorization), false);
    (connection, answer, send)
}

/// The call's head.
pub(crate) fn call(authorization: &str) -> Request<()> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("https://localhost{}", adit_tunnel::PATH))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", authorization)
        .body(())
        .unwrap()
}

/// A gRPC message: a byte for no compression, its length, and the rest.
fn message(payload: &[u8]) -> Bytes {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0], &len[..], payload].concat().into()
}

async fn drain(mut body: RecvStream) {
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
    }
}

#[test]
fn noise_in_a_tunnel_ends_that_tunnel_only() {
    scenario(async {
        let world = world().await;
        let bystander = Bystander::of(&world).await;
        let noises: [Bytes; 8] = [
            message(b"noise"),
            message(&[0xff; 1000]),
            message(&[]),
            Bytes::from_static(&[1, 0, 0, 0, 5, 1, 2, 3, 4, 5]),
            Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]),
            Bytes::from(vec![0; 100_000]),
            message(&[0x0a, 0x7f]),
            Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"),
        ];
        for noise in noises {
            let (connection, answer, mut send) =
                tunnel(&world, "Bearer canary-agent-token-of-staging").await;
            let _ = send.send_data(noise, true);
            if let Ok(answer) = within("an answer or the end", answer).await {
                within("the end", drain(answer.into_body())).await;
            }
            bystander.is_unharmed().await;
            drop(connection);
        }
        world
            .relay
            .until_metric("adit_relay_tunnels_open", |open| open == 1.0)
            .await;
        let refused = world
            .relay
            .caller(&job(9001), "staging")
            .get("/api")
            .await
            .refused();
        assert!(refused.reason.starts_with("agent_"), "{refused:?}");
        drop(bystander);
        world.stop().await;
    });
}

#[test]
fn tunnel_is_opened_by_an_agents_own_token_only() {
    scenario(async {
        let world = world().await;
        let jobs = world.job.authorization.clone().unwrap();
        let id_token = format!("Bearer {}", world.relay.issuer().token(&job(9001)));
        for authorization in [
            "Bearer canary-unknown",
            "Bearer ",
            "Basic Y2FuYXJ5",
            "Bearer ci:1:canary-agent-token-of-prod",
            "canary-agent-token-of-prod",
            &jobs,
            &id_token,
        ] {
            let (connection, answer, _send) = tunnel(&world, authorization).await;
            match within("an answer", answer).await {
                Ok(answer) => assert_eq!(answer.headers()["grpc-status"], "16", "{authorization}"),
                Err(error) => assert!(
                    error.is_reset() || error.is_go_away() || error.is_io(),
                    "{error}"
                ),
            }
            drop(connection);
        }
        assert_eq!(
            world.relay.metrics().await.value("adit_relay_tunnels_open"),
            1.0
        );
        world.stop().await;
    });
}

#[test]
fn tunnel_that_never_says_hello_is_given_up() {
    scenario(async {
        let world = World::of(
            adit_tests::kube(),
            adit_tests::relay().with("tunnel", "handshake_timeout", "300ms"),
        )
        .await;
        let (connection, answer, _send) =
            tunnel(&world, "Bearer canary-agent-token-of-staging").await;
        if let Ok(answer) = within("an answer or the end", answer).await {
            within("the end", drain(answer.into_body())).await;
        }
        drop(connection);
        world
            .relay
            .until_metric(
                "adit_relay_tunnels_refused_total{reason=\"handshake\"}",
                |count| count == 1.0,
            )
            .await;
        until("nothing is open", || world.kube.open() == 0).await;
        world.stop().await;
    });
}

#[test]
fn path_of_the_tunnel_is_no_way_to_the_api_server() {
    scenario(async {
        let world = world().await;
        let answer = world.job.under("").get(adit_tunnel::PATH).await;
        assert_eq!(answer.refused().reason, "unknown_path");
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}

#[test]
fn agent_that_breaks_the_protocol_of_its_tunnel_is_counted_as_such() {
    scenario(async {
        let world = world().await;
        let kind = Some(Kind::Hello(Hello {
            min_version: 1,
            max_version: 9,
            ..Hello::default()
        }));
        let hello = Frame {
            kind,
            ..Frame::default()
        };
        let hello = Frames { frame: vec![hello] }.encode_to_vec();
        let (connection, answer, mut send) =
            tunnel(&world, "Bearer canary-agent-token-of-staging").await;
        send.send_data(message(&hello), false).unwrap();
        let answer = within("an answer", answer).await.unwrap();
        let open = "adit_relay_tunnels_open";
        world.relay.until_metric(open, |open| open == 2.0).await;
        // Nobody greets twice.
        send.send_data(message(&hello), true).unwrap();
        within("the end", drain(answer.into_body())).await;
        let ends = "adit_relay_tunnel_ends_total{cause=\"misbehaved\"}";
        world.relay.until_metric(ends, |ends| ends == 1.0).await;
        drop(connection);
        world.stop().await;
    });
}
