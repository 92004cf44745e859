//! How many tokens that GitLab does not know one address may bring, and which addresses bring such. Asked by [`super::vouch`]
//! before a new token is sent to GitLab. Invariant: a token that GitLab vouches for costs its address nothing, and what is held
//! does not grow with the number of addresses.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use adit_identity::site;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::pace::{Pace, Urgency};

/// Addresses told apart; the rest count as one.
const MOST: usize = 10_000;
/// Seconds' worth of tokens that may come at once.
const AT_ONCE: u32 = 10;

/// How long an address is doubted after a bad token: others go first. Longer than a flood that keeps below `per_second` takes from
/// one of its tokens to the next; short enough for a fleet of runners behind one address, one job of which has ended.
const DOUBTED_FOR: Duration = Duration::from_mins(1);

/// A bucket for each address that brought a new token a moment ago, and those that brought a bad one lately.
#[derive(Debug)]
pub(super) struct Addresses {
    buckets: Mutex<HashMap<IpAddr, Pace>>,
    doubted: Mutex<HashMap<IpAddr, Instant>>,
    per_second: u32,
}

/// Who brought a new token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bringer {
    from: IpAddr,
    pub(super) urgency: Urgency,
}

impl Addresses {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            buckets: Mutex::default(),
            doubted: Mutex::default(),
            per_second,
        }
    }

    /// Lets an address bring one more token, unless it has brought too many; it counts as a bad one until [`Addresses::forgive`].
    pub(super) fn admit(&self, from: IpAddr, now: Instant) -> Option<Bringer> {
        let urgency = self.urgency(from, now);
        self.has_room(from, now)
            .then_some(Bringer { from, urgency })
    }

    /// What is thought of whoever brought a token by the time that it is its turn.
    pub(super) fn reconsider(&self, by: Bringer, now: Instant) -> Bringer {
        let urgency = self.urgency(by.from, now);
        Bringer { urgency, ..by }
    }

    /// The token was good.
    pub(super) fn forgive(&self, by: Bringer) {
        if let Some(bucket) = self.buckets.lock().get_mut(&site(by.from)) {
            bucket.give_back();
        }
    }

    /// The token was bad.
    pub(super) fn doubt(&self, by: Bringer, now: Instant) {
        let mut doubted = self.doubted.lock();
        let site = site(by.from);
        // Whoever is not doubted for want of room is a stranger as others are.
        if doubted.len() < MOST || doubted.contains_key(&site) {
            doubted.insert(site, now + DOUBTED_FOR);
        }
    }

    /// Forgets addresses that have brought none for a while; called every second.
    pub(super) fn sweep(&self, now: Instant) {
        self.buckets.lock().retain(|_, bucket| !bucket.is_full(now));
        self.doubted.lock().retain(|_, until| *until > now);
    }

    fn urgency(&self, from: IpAddr, now: Instant) -> Urgency {
        let doubted = self.doubted.lock();
        match doubted.get(&site(from)) {
            Some(until) if *until > now => Urgency::Doubted,
            Some(_) | None => Urgency::New,
        }
    }

    fn has_room(&self, from: IpAddr, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        let full = || {
            Pace::new(
                self.per_second,
                self.per_second.saturating_mul(AT_ONCE),
                now,
            )
        };
        let site = site(from);
        let is_crowded = buckets.len() >= MOST && !buckets.contains_key(&site);
        let site = if is_crowded { REST } else { site };
        let bucket = buckets.entry(site).or_insert_with(full);
        bucket.take(now, Urgency::Known).is_ok()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.buckets.lock().len() + self.doubted.lock().len()
    }
}

/// Where all go for whom there is no bucket.
const REST: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(addresses: &Addresses, from: &str, tries: usize, now: Instant) -> usize {
        let from = from.parse().unwrap();
        let admit = |_: &usize| addresses.admit(from, now).is_some();
        (0..tries).filter(admit).count()
    }

    #[test]
    fn one_address_cannot_use_up_what_another_has() {
        let (addresses, now) = (Addresses::new(10), Instant::now());
        assert_eq!(admitted(&addresses, "192.0.2.1", 1000, now), 100);
        assert_eq!(admitted(&addresses, "192.0.2.2", 50, now), 50);
        let later = now + Duration::from_secs(3);
        assert_eq!(admitted(&addresses, "192.0.2.1", 1000, later), 30);
    }

    #[test]
    fn good_tokens_cost_nothing() {
        let (addresses, now) = (Addresses::new(1), Instant::now());
        for host in 1..=1000 {
            for from in ["192.0.2.1".to_owned(), format!("2001:db8::{host:x}")] {
                let by = addresses.admit(from.parse().unwrap(), now).unwrap();
                assert_eq!(by.urgency, Urgency::New);
                addresses.forgive(by);
            }
        }
        addresses.sweep(now);
        assert_eq!(addresses.len(), 0);
    }

    #[test]
    fn who_brings_a_bad_token_is_doubted_for_a_while_and_nobody_else_is() {
        let (addresses, now) = (Addresses::new(10), Instant::now());
        let urgency = |from: &str, now| {
            let by = addresses.admit(from.parse().unwrap(), now);
            by.unwrap().urgency
        };
        let by = addresses.admit("2001:db8::1".parse().unwrap(), now);
        addresses.doubt(by.unwrap(), now);
        assert_eq!(urgency("2001:db8::2", now), Urgency::Doubted);
        assert_eq!(urgency("192.0.2.1", now), Urgency::New);
        assert_eq!(urgency("2001:db8::1", now + DOUBTED_FOR), Urgency::New);
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let (addresses, now) = (Addresses::new(1), Instant::now());
        let mut let_in = 0;
        for host in 0..100 {
            let_in += admitted(&addresses, &format!("2001:db8:0:1::{host:x}"), 1, now);
        }
        assert_eq!(let_in, 10);
        assert_eq!(admitted(&addresses, "2001:db8:0:2::1", 20, now), 10);
        assert_eq!(admitted(&addresses, "::ffff:192.0.2.1", 20, now), 10);
        assert_eq!(admitted(&addresses, "192.0.2.1", 20, now), 0);
    }

    #[test]
    fn a_crowd_of_addresses_counts_as_one() {
        let (addresses, now) = (Addresses::new(1), Instant::now());
        let let_in: usize = (0..2 * MOST)
            .map(|at| {
                let from = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(at).unwrap());
                let by = addresses.admit(from.into(), now);
                by.inspect(|by| addresses.doubt(*by, now));
                usize::from(by.is_some())
            })
            .sum();
        assert_eq!(let_in, MOST + 10);
        assert!(addresses.len() <= 2 * MOST + 1);
        addresses.sweep(now + DOUBTED_FOR);
        assert_eq!(addresses.len(), 0);
    }
}
