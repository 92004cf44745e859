//! The simulation that all tests here, and the fuzz targets, play in: two sessions, a wire each way, a clock that only tests move.

pub(crate) mod alarm;
pub(crate) mod content;
pub(crate) mod foreign;
pub(crate) mod mischief;
pub(crate) mod operation;
pub(crate) mod pair;
pub(crate) mod rogue;
pub(crate) mod single;
pub(crate) mod user;
pub(crate) mod wire;
pub(crate) mod world;
