//! What a path leads to, and through what.

use crate::{line::Line, rig::Rig};

/// The same for every contender.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    /// The port of whoever stands for the API server.
    pub backend: u16,
    /// Between the hops; nothing when there is none.
    pub line: Option<&'a Line>,
    /// Threads of the outer hop, where it is adit's.
    pub shards: u32,
}

impl<'a> Course<'a> {
    /// To nginx.
    #[must_use]
    pub fn short(rig: &Rig) -> Self {
        Self::to(rig.backend_port)
    }

    #[must_use]
    pub fn to(backend: u16) -> Self {
        Self {
            backend,
            line: None,
            shards: 1,
        }
    }

    #[must_use]
    pub fn through(self, line: &'a Line) -> Self {
        Self {
            line: Some(line),
            ..self
        }
    }

    #[must_use]
    pub fn on_shards(self, shards: u32) -> Self {
        Self { shards, ..self }
    }

    /// Where one hop connects to reach the other, which listens on this port.
    pub(crate) fn middle(&self, port: u16) -> u16 {
        self.line.map_or(port, |line| line.lead_to(port))
    }
}
