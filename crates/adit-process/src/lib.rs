//! What every adit process needs, and nothing that knows about clusters, tokens or tunnels.
//!
//! The relay, the agent and the binary build on it: how a process logs ([`logging`]), how it is
//! told to stop ([`signals`]), when it reads its files again ([`reread`]), secrets among them
//! ([`secret_file`]), how it uses its cores ([`shards`]), how it listens and reads ([`net`]), its
//! certificates and roots ([`tls`]), how it tries again ([`backoff`]), what operators see of it
//! ([`admin`], [`metrics`]), and with which code it ends ([`exit`]).
//!
//! Nothing here installs a process-wide default except [`logging::init`]; nothing spawns a task:
//! what must run is returned as a future for the owner to run.

pub mod backoff;
mod chain;
mod config_file;
pub mod exit;
mod how_long;
pub mod logging;
mod replica;
pub mod reread;
pub mod secret_file;
pub mod signals;
mod told;

pub mod shards;

pub mod net;
pub mod tls;

pub mod admin;
pub mod metrics;

pub use chain::chain;
pub use config_file::{BadConfigFile, ConfigFile};
pub use exit::Exit;
pub use how_long::how_long;
pub use replica::replica_name;
pub use reread::Reread;
pub use shards::{ShardId, Shards};
pub use signals::Stop;
pub use told::whole;
