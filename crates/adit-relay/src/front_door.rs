//! Decides who comes in: accepts connections on the public port, does TLS, and serves each by the HTTP it speaks.
//!
//! `relay.rs` runs one [`FrontDoor`] per shard, each with a listener of its own on the same port. A connection is one task
//! and stays on its shard. Invariant: when [`FrontDoor::run`] returns, no connection is left.

use std::sync::Arc;

use adit_process::{
    ShardId, Stop, chain,
    metrics::Label as _,
    net::{Listener, keep_alive},
    tls::ServerTls,
};
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_util::either::Either;
use tracing::{Instrument as _, Span};

use crate::{
    agents::Agents,
    audit::Audit,
    call::Connection,
    client::Client,
    config::FrontDoorConfig,
    connections,
    handle::Handler,
    metrics::{NoConnection, Spoken},
    rules::Current,
    seldom::Seldom,
};

mod accept;
mod http1;
mod http2;
mod patience;
mod proxy_header;
mod tallied;

pub(crate) use accept::{HandshakeError, Io, Place, Places, Protocol, accept};
use accept::{NoPlace, certificates_of};

/// Everything a connection needs.
#[derive(Debug)]
pub(crate) struct FrontDoor {
    pub(crate) rules: Current,
    pub(crate) tls: Option<ServerTls>,
    /// What the process was started with, for as long as keys of TLS wait for the next start.
    pub(crate) started: FrontDoorConfig,
    pub(crate) places: Arc<Places>,
    pub(crate) handler: Arc<Handler>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) audit: Audit,
    pub(crate) stop: Stop,
    /// How often it is told that somebody came past the balancer.
    pub(crate) strangers: Seldom,
}

impl FrontDoor {
    /// Takes connections until the process drains, and ends with the last of them.
    pub(crate) async fn run(self: Arc<Self>, shard: ShardId, listener: Listener) {
        connections::take(listener, &self.stop, |socket, from| {
            let from = Client::from(from);
            if !self.is_expected(from) {
                return None;
            }
            let place = self.place(from)?;
            Some(Arc::clone(&self).serve(shard, socket, from, place))
        })
        .await;
    }

    /// Whether TLS keeps what somebody from there says to himself, or a balancer that is named has done so as far as itself. Else he is
    /// hung up on before a byte is read: whoever was set up to come past it finds out before anybody else can have read his token.
    fn is_expected(&self, from: Client) -> bool {
        if self.tls.is_some() {
            return true;
        }
        let rules = self.rules.load();
        let now = &rules.front_door;
        // The lists of a file that wants TLS from the next start on were not written for plain connections.
        let meant = if now.tls_ended_before {
            now
        } else {
            &self.started
        };
        if meant.takes_plain_from(from.ip) {
            return true;
        }
        let refused = NoConnection::PastBalancer;
        self.handler.metrics.connection_refused(refused);
        if let Some(unlogged) = self.strangers.told(Instant::now()) {
            tracing::warn!(
                client.addr = %from,
                unlogged,
                "hung up on who came past the balancer at which TLS ends: listen.proxy_protocol_from and listen.forwarded_for_from do not have this address"
            );
        }
        false
    }

    /// A place for a connection, counted for its address unless a balancer is about to say another.
    fn place(&self, from: Client) -> Option<Place> {
        let limits = self.rules.load().limits;
        let place = self.places.take(limits.connections);
        let place = if self.comes_from_balancer(from) {
            place
        } else {
            place.and_then(|place| place.of(from.ip, limits.connections_per_address))
        };
        self.taken(place, from)
    }

    fn taken(&self, place: Result<Place, NoPlace>, from: Client) -> Option<Place> {
        place
            .inspect_err(|full| {
                let reason = match full {
                    NoPlace::Relay => NoConnection::Relay,
                    NoPlace::Address => NoConnection::Address,
                };
                self.handler.metrics.connection_refused(reason);
                tracing::debug!(client.addr = %from, error = %full, "connection refused");
            })
            .ok()
    }

    fn comes_from_balancer(&self, from: Client) -> bool {
        let rules = self.rules.load();
        rules.front_door.proxy_protocol_from.contains(from.ip)
    }

    /// Reads who is behind a balancer, and counts its connection for that address.
    async fn introduce(
        &self,
        socket: &mut TcpStream,
        from: Client,
        place: Place,
        deadline: Instant,
    ) -> Option<(Client, Place)> {
        if !self.comes_from_balancer(from) {
            return Some((from, place));
        }
        let read = match timeout_at(deadline, proxy_header::read(socket)).await {
            Ok(read) => read.map_err(HandshakeError::ProxyHeader),
            Err(_) => Err(HandshakeError::TimedOut),
        };
        match read {
            Ok(client) => {
                let client = client.map_or(from, Client::from);
                let most = self.rules.load().limits.connections_per_address;
                let place = self.taken(place.of(client.ip, most), client)?;
                Some((client, place))
            }
            Err(error) => {
                self.handshake_failed(from, &error);
                None
            }
        }
    }

    async fn serve(self: Arc<Self>, shard: ShardId, socket: TcpStream, from: Client, place: Place) {
        // Boxed, or every connection kept room for its beginning.
        let begun = Box::pin(self.begin(shard, socket, from, place)).await;
        let Some((io, protocol, connection, place)) = begun else {
            return;
        };
        let metrics = Arc::clone(&self.handler.metrics);
        let mut counted = metrics.connection(protocol.into());
        let http2 = match protocol {
            Protocol::Http1 => {
                let span = span(&connection, protocol);
                let served = http1::serve(io, connection, Arc::clone(&self));
                let inside = Box::pin(served.instrument(span)).await;
                inside.inspect(|_| counted = metrics.connection(Spoken::WebSocket))
            }
            Protocol::Http2 => Some((Either::Left(io), connection)),
        };
        if let Some((io, connection)) = http2 {
            let span = span(&connection, Protocol::Http2);
            Box::pin(http2::serve(io, connection, self).instrument(span)).await;
        }
        drop((counted, place));
    }

    /// Until it is known who is there, and what is spoken.
    async fn begin(
        &self,
        shard: ShardId,
        mut socket: TcpStream,
        from: Client,
        place: Place,
    ) -> Option<(Io, Protocol, Connection, Place)> {
        // It has a place, whether or not it ever says a word.
        let _counted = self.handler.metrics.connection(Spoken::Handshake);
        let config = Arc::clone(&self.rules.load().front_door);
        keep_alive(&socket, config.keepalive);
        let deadline = Instant::now() + config.handshake_timeout;
        let introduced = self.introduce(&mut socket, from, place, deadline);
        let (client, place) = introduced.await?;
        let tls = self.tls.as_ref().map(ServerTls::acceptor);
        let accepted = accept(socket, tls.as_ref(), deadline).await;
        let (io, protocol) = accepted
            .inspect_err(|error| self.handshake_failed(client, error))
            .ok()?;
        let connection = Connection {
            client,
            shown: self.agents.shown(certificates_of(&io)),
            config,
            bearer: Mutex::default(),
            audit: self.audit.connection(shard, client),
        };
        Some((io, protocol, connection, place))
    }

    fn handshake_failed(&self, from: Client, error: &HandshakeError) {
        self.handler.metrics.handshake_failed(error.into());
        tracing::debug!(client.addr = %from, error = %chain(error), "handshake failed");
    }
}

/// What the log has around all that happens on a connection, from `debug` on.
fn span(connection: &Connection, protocol: Protocol) -> Span {
    tracing::debug_span!("connection", client.addr = %connection.client, protocol = Spoken::from(protocol).as_str())
}
