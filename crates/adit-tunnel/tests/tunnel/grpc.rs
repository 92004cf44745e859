//! The tunnel is ordinary gRPC: tonic's own generated client and server against our two ends.

use std::pin::Pin;

use adit_proto::tunnel::{
    Credit, Frame, Frames, Hello, Welcome, frame::Kind, tunnel_client::TunnelClient, tunnel_server,
};
use adit_tunnel::{
    CloseReason, Options, RequestBody, SessionError, Terms, connect, testing::accept,
};
use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use http::HeaderValue;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::support::{head, pattern, read_all, within, write_all};

fn frame(stream: u64, end: bool, kind: Kind) -> Frames {
    Frames {
        frame: vec![Frame {
            stream,
            end,
            kind: Some(kind),
        }],
    }
}

#[tokio::test]
async fn a_tonic_client_can_be_the_agent() {
    within(async {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let mut tasks = JoinSet::new();
        let (opened, relay) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            let (tunnel, driver) = accept(theirs, Options::default()).await;
            let _ = opened.send(tunnel);
            driver.await;
        });
        let mut ours = Some(TokioIo::new(ours));
        let connector = tower::service_fn(move |_| {
            std::future::ready(
                ours.take()
                    .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound)),
            )
        });
        let channel = tonic::transport::Endpoint::from_static("http://relay.test");
        let channel = channel.connect_with_connector(connector).await.unwrap();

        let (send, frames) = mpsc::channel(16);
        send.send(frame(
            0,
            false,
            Kind::Hello(Hello {
                min_version: 1,
                max_version: 9,
                ..Hello::default()
            }),
        ))
        .await
        .unwrap();
        let mut answers = TunnelClient::new(channel)
            .open(ReceiverStream::new(frames))
            .await
            .unwrap()
            .into_inner();
        let mut next = async || answers.message().await.unwrap().unwrap().frame;
        let welcome = next().await;
        assert!(
            matches!(&welcome[0].kind, Some(Kind::Welcome(welcome)) if welcome.version == 1),
            "{welcome:?}"
        );

        let relay = relay.await.unwrap();
        let stream = relay
            .open("GET /".into(), RequestBody::Absent, Terms::default())
            .unwrap();
        let open = loop {
            let found = next()
                .await
                .into_iter()
                .find(|frame| matches!(frame.kind, Some(Kind::Open(_))));
            if let Some(open) = found {
                break open;
            }
        };
        assert_eq!(
            open,
            Frame {
                stream: 1,
                end: true,
                kind: Some(Kind::Open("GET /".into()))
            }
        );
        let mut answer = frame(1, false, Kind::Head("200".into()));
        answer.frame.push(Frame {
            stream: 1,
            end: false,
            kind: Some(Kind::Data("hello ".into())),
        });
        send.send(answer).await.unwrap();
        send.send(frame(1, true, Kind::Data("world".into())))
            .await
            .unwrap();
        assert_eq!(head(&stream).await.unwrap(), "200");
        assert_eq!(read_all(&stream).await.unwrap(), "hello world");

        // And what breaks the protocol is told by gRPC status.
        send.send(frame(77, false, Kind::Credit(Credit { bytes: 1 })))
            .await
            .unwrap();
        let status = loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended without a status"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(matches!(
            *relay.closed().await,
            SessionError::PeerMisbehaved(_)
        ));
    })
    .await;
}

struct Relay;

#[tonic::async_trait]
impl tunnel_server::Tunnel for Relay {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<Frames, Status>> + Send>>;

    async fn open(
        &self,
        request: Request<Streaming<Frames>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        if request
            .metadata()
            .get("authorization")
            .is_none_or(|token| token != "Bearer good")
        {
            return Err(Status::unauthenticated(
                "the agent's token is not known here",
            ));
        }
        let answers = futures_util::stream::unfold(
            (request.into_inner(), 0_u32),
            |(mut frames, mut turn)| async move {
                let answer = loop {
                    let received = frames.next().await?.ok()?;
                    turn += 1;
                    let hello = received
                        .frame
                        .iter()
                        .any(|frame| matches!(frame.kind, Some(Kind::Hello(_))));
                    let data = received
                        .frame
                        .iter()
                        .any(|frame| matches!(frame.kind, Some(Kind::Data(_))) && frame.end);
                    if hello {
                        let mut answer = frame(
                            0,
                            false,
                            Kind::Welcome(Welcome {
                                version: 1,
                                ..Welcome::default()
                            }),
                        );
                        answer.frame.push(Frame {
                            stream: 5,
                            end: true,
                            kind: Some(Kind::Open("GET /tonic".into())),
                        });
                        break answer;
                    } else if data {
                        break frame(
                            0,
                            false,
                            Kind::Close(adit_proto::tunnel::Close {
                                reason: CloseReason::Done.into(),
                                message: "enough".into(),
                            }),
                        );
                    }
                };
                Some((Ok(answer), (frames, turn)))
            },
        );
        Ok(Response::new(Box::pin(answers)))
    }
}

async fn tonic_relay(
    token: &'static str,
    tasks: &mut JoinSet<()>,
) -> Result<adit_tunnel::Tunnel, adit_tunnel::ConnectError> {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let service =
        hyper_util::service::TowerToHyperService::new(tunnel_server::TunnelServer::new(Relay));
    tasks.spawn(async move {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder
            .serve_connection(TokioIo::new(theirs), service)
            .await;
    });
    let token = HeaderValue::from_static(token);
    let (agent, _, driver) = connect(ours, "relay.test", &token, Options::default()).await?;
    tasks.spawn(driver.map(drop));
    Ok(agent)
}

#[tokio::test]
async fn a_tonic_server_can_be_the_relay() {
    within(async {
        let mut tasks = JoinSet::new();
        let agent = tonic_relay("Bearer good", &mut tasks).await.unwrap();
        let (stream, open) = agent.accept().await.unwrap();
        assert_eq!((stream.id(), open), (5, Bytes::from("GET /tonic")));
        stream.send_head("200".into()).unwrap();
        write_all(&stream, pattern(10_000)).await.unwrap();
        let end = agent.closed().await;
        assert!(
            matches!(&*end, SessionError::ClosedByPeer { message, .. } if message == "enough"),
            "{end:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_refusal_tells_the_relays_words() {
    within(async {
        let error = tonic_relay("Bearer bad", &mut JoinSet::new())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("gRPC status 16"), "{error}");
        assert!(error.to_string().contains("not known here"), "{error}");
    })
    .await;
}
