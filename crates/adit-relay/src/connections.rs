//! Decides how long connections are taken, and that none outlives its listener: the public port's, and those of GitLab's own.

use std::net::SocketAddr;

use adit_process::{Stop, net::Listener};
use tokio::{
    net::TcpStream,
    task::{JoinError, JoinSet},
};

/// Accepts until the process drains, then waits for the connections to end, or for the abort that cuts them. `serve` may hang up at once.
pub(crate) async fn take<F>(
    listener: Listener,
    stop: &Stop,
    serve: impl Fn(TcpStream, SocketAddr) -> Option<F>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut draining = std::pin::pin!(stop.draining());
    loop {
        tokio::select! {
            biased;
            () = draining.as_mut() => break,
            Some(ended) = connections.join_next() => note_panic(ended),
            (socket, from) = listener.accept() => {
                if let Some(connection) = serve(socket, from) {
                    connections.spawn(connection);
                }
            }
        }
    }
    drop(listener);
    let mut aborting = std::pin::pin!(stop.aborting());
    loop {
        tokio::select! {
            biased;
            () = aborting.as_mut() => break,
            ended = connections.join_next() => match ended {
                Some(ended) => note_panic(ended),
                None => break,
            },
        }
    }
    connections.shutdown().await;
}

/// A connection's task ends by itself or by abort; a panic in it is a defect that must not go unseen.
fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(error = %error, "a connection's task panicked");
    }
}
