//! Decides how long an identity that was read is remembered. Called by [`crate::serve`] for each request: a job sends hundreds, and
//! all of them carry the same identity, in the same bytes.
//! Invariant: what is remembered is what reading the same bytes anew would give, under the ceiling that holds now. An identity is compared
//! whole, never by a hash alone.

use std::sync::Arc;

use adit_exchange::{BadIdentity, read_identity};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{Acting, Ceiling};

/// Identities by their encoding.
#[derive(Debug)]
pub(crate) struct Identities(Mutex<Known>);

/// Two generations: what is not asked for while the newer one fills up is forgotten.
#[derive(Debug)]
struct Known {
    ceiling: Arc<Ceiling>,
    newer: Generation,
    older: Generation,
}

/// A hash that can be aimed at is good enough: it holds few.
type Generation = FxHashMap<Box<[u8]>, Acting>;

impl Identities {
    pub(crate) fn new(ceiling: Ceiling) -> Self {
        Self(Mutex::new(Known::new(ceiling.into())))
    }

    /// Judges by this ceiling from now on.
    pub(crate) fn judge_by(&self, ceiling: Arc<Ceiling>) {
        let known = Known::new(ceiling);
        let forgotten = std::mem::replace(&mut *self.0.lock(), known);
        // Not while others wait for the lock.
        drop(forgotten);
    }

    /// Whether an identity was judged by the ceiling that holds now.
    pub(crate) fn hold(&self, acting: &Acting) -> bool {
        acting.is_under(&self.0.lock().ceiling)
    }

    /// Reads an identity, or remembers what came of it before.
    ///
    /// # Errors
    /// It is not one to act as. That is not remembered: a relay sends no such thing.
    pub(crate) fn read(&self, encoded: &[u8]) -> Result<Acting, BadIdentity> {
        let mut known = self.0.lock();
        if let Some(acting) = known.get(encoded) {
            return Ok(acting);
        }
        let ceiling = Arc::clone(&known.ceiling);
        drop(known);
        let acting = Acting::new(read_identity(encoded)?, ceiling);
        let mut known = self.0.lock();
        if encoded.len() <= MAX_BYTES && acting.is_under(&known.ceiling) {
            known.insert(encoded.into(), acting.clone());
        }
        Ok(acting)
    }
}

impl Known {
    fn new(ceiling: Arc<Ceiling>) -> Self {
        Self {
            ceiling,
            newer: Generation::default(),
            older: Generation::default(),
        }
    }

    fn get(&mut self, encoded: &[u8]) -> Option<Acting> {
        if let Some(acting) = self.newer.get(encoded) {
            return Some(acting.clone());
        }
        let (encoded, acting) = self.older.remove_entry(encoded)?;
        self.insert(encoded, acting.clone());
        Some(acting)
    }

    fn insert(&mut self, encoded: Box<[u8]>, acting: Acting) {
        if self.newer.len() >= GENERATION {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(encoded, acting);
    }
}

/// Jobs that are remembered for sure. Together with [`MAX_BYTES`] it bounds what is kept: at most 8 MiB, and about 1 MiB of what jobs
/// really look like.
const GENERATION: usize = 128;
/// Encoded. A job's identity has about 700 bytes.
const MAX_BYTES: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use adit_proto::exchange::{Identity, Impersonation, identity::Kind};
    use prost::Message;

    use super::*;
    use crate::impersonate::{Deed, NotActing};

    fn encoded(user: &str, groups: &[&str]) -> Vec<u8> {
        let impersonation = Impersonation {
            user: user.into(),
            groups: groups.iter().map(|&group| group.into()).collect(),
            ..Default::default()
        };
        let kind = Some(Kind::Impersonation(impersonation));
        Identity { kind }.encode_to_vec()
    }

    fn user(acting: &Acting) -> String {
        let mut headers = http::HeaderMap::new();
        acting.apply(&mut headers, &Deed::Discovery).unwrap();
        headers["impersonate-user"].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_identity_is_read_once_and_no_other_is_taken_for_it() {
        let identities = Identities::new(Ceiling::default());
        let (jane, joan) = (encoded("jane", &[]), encoded("joan", &[]));
        let first = identities.read(&jane).unwrap();
        assert!(Arc::ptr_eq(&first.0, &identities.read(&jane).unwrap().0));
        assert_eq!(user(&identities.read(&joan).unwrap()), "joan");
        assert_eq!(user(&identities.read(&jane).unwrap()), "jane");
    }

    #[test]
    fn an_identity_that_is_remembered_is_held_to_the_ceiling_all_the_same() {
        let identities = Identities::new(Ceiling::default());
        let masters = encoded("jane", &["system:masters"]);
        for _ in 0..2 {
            let acting = identities.read(&masters).unwrap();
            let refused = acting.apply(&mut http::HeaderMap::new(), &Deed::Discovery);
            assert!(matches!(refused, Err(NotActing::Beyond(_))), "{refused:?}");
        }
    }

    #[test]
    fn another_ceiling_holds_for_what_is_remembered_too() {
        let identities = Identities::new(Ceiling::default());
        let jane = encoded("jane", &["devs"]);
        let before = identities.read(&jane).unwrap();
        assert!(identities.hold(&before));
        let nobody = Ceiling {
            groups: Vec::new(),
            ..Ceiling::default()
        };
        identities.judge_by(Arc::new(nobody));
        assert!(!identities.hold(&before));
        let after = identities.read(&jane).unwrap();
        assert!(identities.hold(&after));
        let refused = after.apply(&mut http::HeaderMap::new(), &Deed::Discovery);
        assert!(matches!(refused, Err(NotActing::Beyond(_))), "{refused:?}");
    }

    #[test]
    fn what_is_no_identity_is_refused_each_time() {
        let identities = Identities::new(Ceiling::default());
        for _ in 0..2 {
            assert!(identities.read(b"").is_err());
            assert!(identities.read(&encoded(" padded", &[])).is_err());
        }
        assert!(identities.0.lock().newer.is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_in_use_stays() {
        let identities = Identities::new(Ceiling::default());
        let busy = encoded("busy", &[]);
        let first = identities.read(&busy).unwrap();
        for job in 0..10 * GENERATION {
            identities.read(&encoded(&job.to_string(), &[])).unwrap();
            assert!(Arc::ptr_eq(&first.0, &identities.read(&busy).unwrap().0));
        }
        let group = "g".repeat(MAX_BYTES);
        identities.read(&encoded("large", &[&group])).unwrap();
        let known = identities.0.lock();
        assert!(known.newer.len() <= GENERATION && known.older.len() <= GENERATION);
        let mut kept = known.newer.keys().chain(known.older.keys());
        assert!(kept.all(|encoded| encoded.len() <= MAX_BYTES));
    }
}
