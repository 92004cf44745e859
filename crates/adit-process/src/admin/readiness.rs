//! Decides whether a process is ready: when each named condition is met.

/// The named conditions of a process. Clones share them; without conditions it is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    _private: (),
}

impl Readiness {
    /// No condition: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition, not met at first.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        let _ = name;
        todo!()
    }

    /// Names of those that are not met, in the order they were added.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        todo!()
    }
}

/// One condition; cheap to clone and to set. It stays with the [`Readiness`] when dropped.
#[derive(Clone, Debug)]
pub struct Condition {
    _private: (),
}

impl Condition {
    /// The condition holds.
    pub fn met(&self) {
        todo!()
    }

    /// The condition no longer holds.
    pub fn unmet(&self) {
        todo!()
    }
}
