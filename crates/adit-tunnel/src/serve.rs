//! The relay's end of a tunnel: answers the agent's call and waits for its Hello.

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use adit_mux::{Session, SessionError};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::time::Instant;

use crate::{
    Driver,
    driver::{Lane, Role},
    handle::{Shared, Tunnel},
    options::Options,
    send_buf::SendBuf,
};

/// Waits for the agent's Hello; an error when the session ends before. Needs its driver to be polled.
pub type Opening = Pin<Box<dyn Future<Output = Result<Tunnel, Arc<SessionError>>> + Send>>;

/// Answers an agent's call, whose path was [`crate::PATH`] and whose token was accepted.
///
/// The driver may be polled in the task that polls the call's connection, which is fastest, or in one of its own.
pub fn serve(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<SendBuf>,
    options: Options,
) -> (Opening, Driver) {
    let origin = Instant::now();
    let session_id = Bytes::copy_from_slice(&rand::random::<[u8; 16]>());
    let session = Session::opener(
        options.config(),
        session_id,
        Arc::clone(&options.budget),
        Default::default(),
    );
    let shared = Shared::new(session, origin);
    let opening = Tunnel {
        shared: Arc::clone(&shared),
    };
    // The head is not kept for as long as the tunnel lives.
    let body = request.into_body();
    let driver = async move {
        let send = match respond.send_response(answer(), false) {
            Ok(send) => send,
            Err(error) => {
                shared.with(|session| session.close(SessionError::Transport(error.to_string())));
                return poll_fn(|cx| shared.poll_closed(cx)).await;
            }
        };
        let mut lane = Lane::new(shared, body, send, Role::Server);
        poll_fn(|cx| lane.poll_turn(cx)).await
    };
    (Box::pin(opened(opening)), Box::pin(driver))
}

/// Waits until the handshake is done or the session over.
pub(crate) async fn opened(tunnel: Tunnel) -> Result<Tunnel, Arc<SessionError>> {
    poll_fn(|cx| {
        tunnel.shared.with(|session| {
            if session.is_open() {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = session.end() {
                return Poll::Ready(Err(Arc::clone(error)));
            }
            session.watch(cx);
            Poll::Pending
        })
    })
    .await?;
    Ok(tunnel)
}

/// The head of an answer to any call.
pub(crate) fn answer() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}
