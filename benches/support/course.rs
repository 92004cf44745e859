//! What a path leads to.

use crate::rig::Rig;

/// The same for every contender.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// The port of whoever stands for the API server.
    pub backend: u16,
}

impl Course {
    /// To nginx.
    #[must_use]
    pub fn short(rig: &Rig) -> Self {
        Self::to(rig.backend_port)
    }

    #[must_use]
    pub fn to(backend: u16) -> Self {
        Self { backend }
    }
}
