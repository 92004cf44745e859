//! Decides how adit listens, accepts, reads below TLS and writes above it.
//!
//! The relay's front door and the admin listener accept through [`Listener`]; both ends of every
//! connection wrap the socket in [`BufferedStream`], and an agent's may be a [`WebSocket`] above
//! that. An accept loop built here never ends by itself: a lack of file descriptors is waited out.

mod buffered;
mod corked;
mod keepalive;
mod listener;
mod loopback;
mod scheme;
pub mod websocket;

pub use buffered::{BufferedStream, UNSENT_LIMIT};
pub use corked::{Cork, Corked, cork};
pub use keepalive::keep_alive;
pub use listener::{Listener, ReusePort, listen, listen_advice, listen_shards};
pub use loopback::is_loopback;
pub use scheme::lacks_scheme;
pub use websocket::WebSocket;
