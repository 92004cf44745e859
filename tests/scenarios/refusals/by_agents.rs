//! What an agent says of a request it does not answer, and what the caller is told then. The agent is made by hand: it says
//! everything that one can say, also what ours says only in rare moments.

use adit_tests::{
    TestRelay, World, body,
    caller::{PROTOBUF, get},
    kube, pki, relay, scenario, within,
};
use adit_tunnel::{Options, ResetReason, Tunnel, TunnelStream};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tokio::task::JoinSet;

use super::expect;

/// The agent `prod`, by hand.
pub(super) struct ByHand {
    tunnel: Tunnel,
    _driver: JoinSet<()>,
}

impl ByHand {
    pub(super) async fn of(relay: &TestRelay) -> Self {
        let io = relay.job(9001).tls(pki::HTTP2).await;
        let token = HeaderValue::from_static("Bearer canary-agent-token-of-prod");
        let options = Options {
            max_streams: 100,
            ..Options::default()
        };
        let connecting = adit_tunnel::connect(io, "localhost", &token, options);
        let (tunnel, _, driver) = within("a tunnel", connecting).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            driver.await;
        });
        Self {
            tunnel,
            _driver: tasks,
        }
    }

    /// The next request, which must come. Dropping it without an answer resets it.
    pub(super) async fn asked(&self) -> TunnelStream {
        let (stream, _) = within("a request", self.tunnel.accept()).await.unwrap();
        stream
    }
}

#[test]
fn every_reason_of_an_agent_is_told() {
    scenario(async {
        let relay = relay().start().await;
        let agent = ByHand::of(&relay).await;
        let http2 = relay.job(9001).http2().await;
        let failed = (502, "agent_failed", "agent", None);
        for (reason, (status, told, hop, retry)) in [
            (
                ResetReason::Refused,
                (503, "agent_refused", "agent", Some(1)),
            ),
            (
                ResetReason::Overloaded,
                (503, "overloaded", "agent", Some(1)),
            ),
            (
                ResetReason::TimedOut,
                (504, "timed_out", "api-server", None),
            ),
            (
                ResetReason::ApiServerUnreachable,
                (502, "api_server_unreachable", "api-server", None),
            ),
            (
                ResetReason::ApiServerLost,
                (502, "api_server_lost", "api-server", None),
            ),
            (
                ResetReason::BeyondCeiling,
                (403, "beyond_ceiling", "agent", None),
            ),
            (
                ResetReason::PermitEnded,
                (401, "permit_ended", "client", None),
            ),
            (
                ResetReason::Withdrawn,
                (403, "access_withdrawn", "relay", None),
            ),
            (ResetReason::Internal, failed),
            (ResetReason::Protocol, failed),
            (ResetReason::Cancelled, failed),
            (ResetReason::Unspecified, failed),
        ] {
            for form in ["application/json", PROTOBUF] {
                let mut request = get("/api");
                let accept = HeaderValue::from_static(form);
                request.headers_mut().insert(header::ACCEPT, accept);
                let (answer, ()) = tokio::join!(http2.answer(request), async {
                    agent.asked().await.reset(reason, "so it is");
                });
                assert_eq!(answer.headers[header::CONTENT_TYPE], form);
                let refused = answer.refused();
                expect(&refused, status, told, hop, retry);
                // What an agent says about a permit is not passed on: that is the relay's own.
                if !matches!(reason, ResetReason::PermitEnded | ResetReason::Withdrawn) {
                    assert!(refused.message.contains("so it is"), "{refused:?}");
                }
            }
        }
        drop((http2, agent));
        relay.stop().await;
    });
}

#[test]
fn agent_that_answers_with_noise_has_failed() {
    scenario(async {
        let relay = relay().start().await;
        let agent = ByHand::of(&relay).await;
        let http2 = relay.job(9001).http2().await;
        for noise in [&b"\xff\xff\xff"[..], b"", b"HTTP/1.1 200 OK\r\n\r\n"] {
            let (answer, _stream) = tokio::join!(http2.get("/api"), async {
                let stream = agent.asked().await;
                stream.send_head(Bytes::from_static(noise)).unwrap();
                stream
            });
            expect(&answer.refused(), 502, "agent_failed", "agent", None);
        }
        drop((http2, agent));
        relay.stop().await;
    });
}

#[test]
fn answer_whose_head_no_tunnel_takes_is_the_agents_failure() {
    scenario(async {
        let kube = kube().answer("/many", |_| async {
            let mut answer = Response::new(body::empty());
            let fields = answer.headers_mut();
            for _ in 0..300 {
                fields.append("warning", HeaderValue::from_static("299 - \"a\""));
            }
            answer
        });
        let world = World::of(kube, relay()).await;
        let refused = world.job.get("/many").await.refused();
        expect(&refused, 502, "agent_failed", "agent", None);
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}
