//! Decides how adit listens, accepts and reads below TLS.
//!
//! The relay's front door and the admin listener accept through [`Listener`]; both ends of every
//! connection wrap the socket in [`BufferedStream`]. An accept loop built here never ends by
//! itself: a lack of file descriptors is waited out.

mod buffered;
mod listener;

pub use buffered::{BufferedStream, CLIENT_BUFFER, KeepBuffer, TUNNEL_BUFFER, UNSENT_LIMIT};
pub use listener::{Listener, ReusePort, listen, listen_shards};
