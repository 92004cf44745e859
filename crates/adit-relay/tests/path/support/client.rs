//! Clients that hyper drives, with a connection for each request, and what they got.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet};

use super::{Setup, by_hand::absolute};

impl Setup {
    pub(crate) fn http1(&self, request: Request<Vec<u8>>) -> impl Future<Output = Answer> + use<> {
        http1(self.address.clone(), request, || {})
    }

    pub(crate) fn http2(&self, request: Request<Vec<u8>>) -> impl Future<Output = Answer> + use<> {
        http2(self.address.clone(), request, || {})
    }

    /// By either protocol, one after the other.
    pub(crate) async fn both(&self, request: Request<Vec<u8>>) -> [Answer; 2] {
        self.both_then(request, || {}).await
    }

    /// The same; calls `on_head` between each answer's head and its body.
    pub(crate) async fn both_then(
        &self,
        request: Request<Vec<u8>>,
        on_head: impl Fn(),
    ) -> [Answer; 2] {
        [
            http1(self.address.clone(), request.clone(), &on_head).await,
            http2(self.address.clone(), request, &on_head).await,
        ]
    }
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// The body broke off.
    pub(crate) is_cut: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The relay's own reason; empty when it is not the relay's own answer.
    pub(crate) fn reason(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let causes = json["details"]["causes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let cause = causes.iter().find(|cause| cause["reason"] == "AditReason");
        cause
            .map(|cause| cause["message"].as_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    /// Fails unless the relay itself answered, with this.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, reason: &str) {
        assert_eq!(
            (self.status.as_u16(), self.reason().as_str()),
            (status, reason),
            "{self:?}"
        );
    }

    async fn read<B: http_body::Body<Data = Bytes> + Unpin>(response: Response<B>) -> Self {
        let (head, mut rest) = response.into_parts();
        let (mut body, mut trailers, mut is_cut) = (Vec::new(), HeaderMap::new(), false);
        while let Some(frame) = rest.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => body.extend_from_slice(&data),
                Ok(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
                Err(_) => {
                    is_cut = true;
                    break;
                }
            }
        }
        Self {
            status: head.status,
            headers: head.headers,
            body,
            trailers,
            is_cut,
        }
    }
}

pub(super) async fn http1(
    address: String,
    request: Request<Vec<u8>>,
    on_head: impl FnOnce(),
) -> Answer {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let mut request = request.map(|body| Full::new(Bytes::from(body)));
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("relay"));
    let response = send.send_request(request).await.unwrap();
    on_head();
    Answer::read(response).await
}

async fn http2(address: String, request: Request<Vec<u8>>, on_head: impl FnOnce()) -> Answer {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = absolute(request).map(|body| Full::new(Bytes::from(body)));
    let response = send.send_request(request).await.unwrap();
    on_head();
    Answer::read(response).await
}
