//! Decides who comes in: accepts connections on the public port, does TLS, and serves each by the HTTP it speaks.
//!
//! `relay.rs` runs one [`FrontDoor`] per shard, each with a listener of its own on the same port. A connection is one task
//! in the door's `JoinSet` and stays on its shard. Invariant: when [`FrontDoor::run`] returns, no connection is left.

use std::{net::SocketAddr, sync::Arc};

use adit_process::{ShardId, Stop, chain, net::Listener, tls::ServerTls};
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    agents::Agents, audit::Audit, call::Connection, config::FrontDoorConfig, handle::Handler,
};

mod accept;
mod http1;
mod http2;
mod patience;
mod tallied;

pub(crate) use accept::Places;
use accept::{HandshakeError, NoPlace, Place, Protocol};

/// Everything a connection needs.
#[derive(Debug)]
pub(crate) struct FrontDoor {
    pub(crate) config: FrontDoorConfig,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) places: Arc<Places>,
    pub(crate) handler: Arc<Handler>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) audit: Audit,
    pub(crate) stop: Stop,
}

impl FrontDoor {
    /// Accepts until the process drains, then waits for the connections to end, or for the abort that cuts them.
    pub(crate) async fn run(self: Arc<Self>, shard: ShardId, listener: Listener) {
        let mut connections = JoinSet::new();
        let mut draining = std::pin::pin!(self.stop.draining());
        loop {
            tokio::select! {
                biased;
                () = draining.as_mut() => break,
                Some(ended) = connections.join_next() => note_panic(ended),
                (socket, from) = listener.accept() => {
                    if let Some(place) = self.place(from) {
                        connections.spawn(Arc::clone(&self).serve(shard, socket, from, place));
                    }
                }
            }
        }
        drop(listener);
        let mut aborting = std::pin::pin!(self.stop.aborting());
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

    fn place(&self, from: SocketAddr) -> Option<Place> {
        match self.places.take(from.ip()) {
            Ok(place) => Some(place),
            Err(full) => {
                let reason = match full {
                    NoPlace::Relay => "relay",
                    NoPlace::Address => "address",
                };
                self.handler.metrics.connection_refused(reason);
                tracing::debug!(client.addr = %from, error = %full, "connection refused");
                None
            }
        }
    }

    async fn serve(
        self: Arc<Self>,
        shard: ShardId,
        socket: TcpStream,
        from: SocketAddr,
        place: Place,
    ) {
        accept::keep_alive(&socket, self.config.keepalive);
        let accepted = accept::accept(
            socket,
            self.tls.as_ref().map(ServerTls::acceptor).as_ref(),
            self.config.handshake_timeout,
        )
        .await;
        let (io, protocol) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => return self.handshake_failed(from, &error),
        };
        let connection = Connection::new(from, self.audit.connection(shard, from));
        match protocol {
            Protocol::Http1 => {
                let _counted = self.handler.metrics.connection("http1");
                Box::pin(http1::serve(io, connection, self)).await;
            }
            Protocol::Http2 => {
                let _counted = self.handler.metrics.connection("http2");
                Box::pin(http2::serve(io, connection, self)).await;
            }
        }
        drop(place);
    }

    fn handshake_failed(&self, from: SocketAddr, error: &HandshakeError) {
        let reason = match error {
            HandshakeError::TimedOut => "timed_out",
            HandshakeError::Tls(_) => "tls",
        };
        self.handler.metrics.handshake_failed(reason);
        tracing::debug!(client.addr = %from, error = %chain(error), "handshake failed");
    }
}

/// A connection's task ends by itself or by abort; a panic in it is a defect that must not go unseen.
fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(error = %error, "a connection's task panicked");
    }
}
