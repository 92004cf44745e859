//! Decides whether a process is ready: when each named condition is met.
//!
//! Whoever starts a part takes a [`Condition`] from the process's [`Readiness`] and meets it when
//! the part works; draining begins by unmeeting one. `/readyz` shows which are missing.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The named conditions of a process. Clones share them; without conditions it is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    conditions: Arc<Mutex<Vec<Condition>>>,
}

impl Readiness {
    /// No condition: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition, not met at first. The name is shown to operators.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        let condition = Condition {
            name,
            is_met: Arc::default(),
        };
        self.conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(condition.clone());
        condition
    }

    /// Names of those that are not met, in the order they were added. Empty: ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let conditions = self
            .conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        conditions
            .iter()
            .filter(|one| !one.is_met())
            .map(|one| one.name)
            .collect()
    }
}

/// One condition; cheap to clone and to set. It stays with its [`Readiness`] when dropped.
#[derive(Clone)]
pub struct Condition {
    name: &'static str,
    is_met: Arc<AtomicBool>,
}

impl Condition {
    /// The condition holds.
    pub fn met(&self) {
        self.is_met.store(true, Ordering::Release);
    }

    /// The condition no longer holds.
    pub fn unmet(&self) {
        self.is_met.store(false, Ordering::Release);
    }

    /// Whether it holds now.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.is_met.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.name,
            if self.is_met() { "met" } else { "missing" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_condition_is_met_and_not_after_one_is_taken_back() {
        let readiness = Readiness::new();
        assert!(readiness.missing().is_empty());
        let keys = readiness.condition("keys");
        let port = readiness.condition("port");
        assert_eq!(readiness.missing(), ["keys", "port"]);
        keys.met();
        port.met();
        assert!(readiness.missing().is_empty());
        keys.unmet();
        assert_eq!(readiness.missing(), ["keys"]);
    }
}
