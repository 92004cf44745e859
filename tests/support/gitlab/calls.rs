//! How often GitLab was asked. Counted when a request arrives, whatever then becomes of it.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::endpoint::Endpoint;

/// The counts.
#[derive(Debug, Default)]
pub struct Calls(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: BTreeMap<Endpoint, usize>,
    open: BTreeMap<Endpoint, usize>,
    peak: BTreeMap<Endpoint, usize>,
}

impl Calls {
    /// Requests so far.
    #[must_use]
    pub fn to(&self, endpoint: Endpoint) -> usize {
        count(&self.0.lock().total, endpoint)
    }

    /// Requests now that are not answered.
    #[must_use]
    pub fn open(&self, endpoint: Endpoint) -> usize {
        count(&self.0.lock().open, endpoint)
    }

    /// The most there were at once.
    #[must_use]
    pub fn peak(&self, endpoint: Endpoint) -> usize {
        count(&self.0.lock().peak, endpoint)
    }

    /// Requests so far, to whatever.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.lock().total.values().sum()
    }

    /// Starts over; what is open stays so.
    pub fn forget(&self) {
        let mut counts = self.0.lock();
        counts.total.clear();
        counts.peak = counts.open.clone();
    }

    /// Open until the guard is dropped.
    pub(super) fn begin(&self, endpoint: Endpoint) -> Begun<'_> {
        let mut counts = self.0.lock();
        *counts.total.entry(endpoint).or_default() += 1;
        *counts.open.entry(endpoint).or_default() += 1;
        let open = count(&counts.open, endpoint);
        let peak = counts.peak.entry(endpoint).or_default();
        *peak = open.max(*peak);
        Begun {
            calls: self,
            endpoint,
        }
    }
}

fn count(counts: &BTreeMap<Endpoint, usize>, endpoint: Endpoint) -> usize {
    counts.get(&endpoint).copied().unwrap_or(0)
}

/// One request that is not answered yet.
pub(super) struct Begun<'a> {
    calls: &'a Calls,
    endpoint: Endpoint,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut counts = self.calls.0.lock();
        if let Some(open) = counts.open.get_mut(&self.endpoint) {
            *open -= 1;
        }
    }
}
