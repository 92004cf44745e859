//! What is remembered of tokens: those that GitLab has vouched for, those it is being asked about, those it refused a moment
//! ago. Kept by [`super::vouch`] under one lock.
//! Invariants: entries and bytes are bounded; a token is found by its keyed hash, and its text is kept only while GitLab may have
//! to be asked about it again; what somebody holds is never dropped to make room, and what GitLab has vouched for only for what it has
//! vouched for, too: strangers push nobody out.

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::watch, time::Instant};

use super::GitLabError;
use crate::tag::{TagHasher, TokenTag};

/// What GitLab's yes means for one kind of token.
pub(super) trait Proof: Clone + std::fmt::Debug + Send + Sync + 'static {
    /// Whether anybody but the book holds it: something runs under it, or may at any moment.
    fn is_held(&self) -> bool;
}

/// A call that is under way, and who waits for it.
pub(super) type Flight<P> = watch::Sender<Option<Verdict<P>>>;
/// How it ended.
pub(super) type Verdict<P> = Result<P, GitLabError>;

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Tokens that GitLab has vouched for.
    pub(super) tokens: usize,
    /// Bytes of those tokens, and of what it said.
    pub(super) bytes: usize,
    /// How long a proof holds without a new one.
    pub(super) max_stale: Duration,
}

/// What is remembered of one kind of token.
#[derive(Debug)]
pub(super) struct Book<P> {
    /// Those that GitLab has vouched for.
    known: Tagged<Known<P>>,
    /// Those that it is asked about and has not vouched for. As many as have a place with the driver, in its queues or among its calls.
    new: Tagged<New<P>>,
    refused: Tagged<(GitLabError, Instant)>,
    /// Of the known ones.
    bytes: usize,
    bounds: Bounds,
}

type Tagged<T> = HashMap<TokenTag, T, BuildHasherDefault<TagHasher>>;

#[derive(Debug)]
struct Known<P> {
    token: SecretString,
    bytes: usize,
    proof: P,
    at: Instant,
    /// Until then nobody asks again.
    ask_at: Instant,
    flight: Option<Arc<Flight<P>>>,
}

#[derive(Debug)]
struct New<P> {
    bytes: usize,
    flight: Arc<Flight<P>>,
}

/// What the book has on a token.
#[derive(Debug)]
pub(super) enum Found<P> {
    /// Vouched for, and asked about not long ago.
    Fresh(P),
    /// Refused a moment ago.
    Refused(GitLabError),
    /// Somebody is asking. With what GitLab said before, if that still holds.
    Asking(watch::Receiver<Option<Verdict<P>>>, Option<P>),
    /// GitLab must be asked. With the same.
    Due(Option<P>),
}

/// A call that must be made now.
#[derive(Debug)]
pub(super) struct Begun<P> {
    pub(super) tag: TokenTag,
    pub(super) token: SecretString,
    pub(super) flight: Arc<Flight<P>>,
    /// When it was this call's time; none for a token that was not known.
    pub(super) due_at: Option<Instant>,
}

/// What a new proof meant.
#[derive(Debug)]
pub(super) enum Proved<P> {
    /// It is the first.
    First(P),
    /// It says what the one before says, which stays.
    Same(P),
    /// It says something else.
    Changed { old: P, new: P },
    /// It says something else than this one, and there is no room for it: the token is struck out.
    Outgrown(P),
    /// The token was struck out meanwhile, or there is no room for the first.
    Lost(GitLabError),
}

impl<P: Proof> Book<P> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            known: HashMap::default(),
            new: HashMap::default(),
            refused: HashMap::default(),
            bytes: 0,
            bounds,
        }
    }

    pub(super) fn find(&self, tag: &TokenTag, now: Instant) -> Found<P> {
        let Some(known) = self.known.get(tag) else {
            return match (self.new.get(tag), self.refused.get(tag)) {
                (Some(new), _) => Found::Asking(new.flight.subscribe(), None),
                (None, Some((error, until))) if *until > now => Found::Refused(*error),
                (None, Some(_) | None) => Found::Due(None),
            };
        };
        let holds = known.at + self.bounds.max_stale > now;
        let held = holds.then(|| known.proof.clone());
        match (held, &known.flight) {
            (Some(proof), _) if known.ask_at > now => Found::Fresh(proof),
            (held, Some(flight)) => Found::Asking(flight.subscribe(), held),
            (held, None) => Found::Due(held),
        }
    }

    /// Notes that GitLab is asked about a token, which [`Book::find`] has just said to be due. It is not asked about a new one for which
    /// there would be no room.
    pub(super) fn begin(&mut self, tag: TokenTag, token: &str) -> Result<Begun<P>, GitLabError> {
        if let Some(begun) = self.ask_again(tag) {
            return Ok(begun);
        }
        let bytes = token.len() + OVERHEAD;
        if self.is_beyond(1, bytes) && !self.known.values().any(Known::is_idle) {
            return Err(GitLabError::Busy);
        }
        let flight = Arc::new(watch::Sender::new(None));
        let new = New {
            bytes,
            flight: Arc::clone(&flight),
        };
        self.new.insert(tag, new);
        Ok(Begun {
            tag,
            token: SecretString::from(token),
            flight,
            due_at: None,
        })
    }

    /// GitLab has vouched for a token that this call asked about. `weight` is what its answer takes in bytes; `proof` makes one, given
    /// the one before, unless that says the same.
    pub(super) fn proved(
        &mut self,
        begun: &Begun<P>,
        weight: usize,
        (now, ask_at): (Instant, Instant),
        proof: impl FnOnce(Option<&P>) -> Option<P>,
    ) -> Proved<P> {
        let bytes = begun.token.expose_secret().len() + OVERHEAD + weight;
        if self.take_new(begun).is_none() {
            return self.proved_again(begun, bytes, (now, ask_at), |old| proof(Some(old)));
        }
        if let Err(full) = self.make_room(1, bytes) {
            return Proved::Lost(full);
        }
        let Some(first) = proof(None) else {
            return Proved::Lost(GitLabError::Busy);
        };
        let known = Known {
            token: begun.token.clone(),
            bytes,
            proof: first.clone(),
            at: now,
            ask_at,
            flight: None,
        };
        self.known.insert(begun.tag, known);
        self.bytes += bytes;
        Proved::First(first)
    }

    /// The same of a token that is known already. What GitLab said before needs no room again.
    fn proved_again(
        &mut self,
        begun: &Begun<P>,
        bytes: usize,
        (now, ask_at): (Instant, Instant),
        proof: impl FnOnce(&P) -> Option<P>,
    ) -> Proved<P> {
        let Some(known) = self.known_of(begun) else {
            return Proved::Lost(GitLabError::Ended);
        };
        known.flight = None;
        known.at = now;
        known.ask_at = ask_at;
        let Some(new) = proof(&known.proof) else {
            return Proved::Same(known.proof.clone());
        };
        let old = std::mem::replace(&mut known.proof, new.clone());
        let before = std::mem::replace(&mut known.bytes, bytes);
        self.bytes = self.bytes + bytes - before;
        // Not by dropping this one: as long as `new` is here it is held.
        match self.make_room(0, 0) {
            Ok(()) => Proved::Changed { old, new },
            Err(_) => {
                self.strike_tag(&begun.tag);
                Proved::Outgrown(old)
            }
        }
    }

    /// GitLab has said no, or something that cannot be believed: the token is struck out, and not asked about again until then.
    /// Gives what GitLab said before.
    pub(super) fn denied(
        &mut self,
        begun: &Begun<P>,
        error: GitLabError,
        until: Instant,
    ) -> Option<P> {
        self.take_new(begun);
        self.remember_refusal(begun.tag, error, until);
        self.known_of(begun)?;
        self.strike_tag(&begun.tag)
    }

    /// GitLab has said nothing that counts. What it said before holds on, and is asked about again at `ask_at`; a token that is new
    /// is forgotten, or refused for a while.
    pub(super) fn troubled(
        &mut self,
        begun: &Begun<P>,
        ask_at: Instant,
        refusal: Option<(GitLabError, Instant)>,
    ) {
        if let Some(known) = self.known_of(begun) {
            known.flight = None;
            known.ask_at = ask_at;
        } else if self.take_new(begun).is_some()
            && let Some((error, until)) = refusal
        {
            self.remember_refusal(begun.tag, error, until);
        }
    }

    /// Strikes out all tokens of which this is true, and gives what GitLab said of them.
    pub(super) fn strike_where(&mut self, is_so: impl Fn(&P) -> bool) -> Vec<P> {
        self.strike_known(|known| is_so(&known.proof))
    }

    /// Forgets what is over: refusals whose time has passed, and tokens that GitLab has not vouched for in long. Gives those.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<P> {
        self.refused.retain(|_, (_, until)| *until > now);
        let max_stale = self.bounds.max_stale;
        self.strike_known(|known| known.flight.is_none() && known.at + max_stale <= now)
    }

    /// Begins to ask about tokens in use whose time it is, the most overdue first, at most so many.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<Begun<P>> {
        self.begin_where(most, |known| known.due(now))
    }

    /// The same for tokens that nobody uses, and for which GitLab has not vouched since then.
    pub(super) fn idle(&mut self, now: Instant, since: Instant, most: usize) -> Vec<Begun<P>> {
        self.begin_where(most, |known| known.idle_due(now, since))
    }

    /// Tokens in use that should have been asked about by then.
    pub(super) fn overdue(&self, then: Instant) -> usize {
        let known = self.known.values();
        known.filter(|known| known.due(then).is_some()).count()
    }

    pub(super) fn len(&self) -> usize {
        self.known.len() + self.new.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let of_new: usize = self.new.values().map(|new| new.bytes).sum();
        self.bytes + of_new
    }

    fn begin_where(
        &mut self,
        most: usize,
        due_at: impl Fn(&Known<P>) -> Option<Instant>,
    ) -> Vec<Begun<P>> {
        let known = self.known.iter();
        let mut due: Vec<_> = known
            .filter_map(|(tag, known)| Some((due_at(known)?, *tag)))
            .collect();
        due.sort_unstable_by_key(|(due_at, _)| *due_at);
        due.truncate(most);
        due.into_iter()
            .filter_map(|(_, tag)| self.ask_again(tag))
            .collect()
    }

    fn ask_again(&mut self, tag: TokenTag) -> Option<Begun<P>> {
        let known = self.known.get_mut(&tag)?;
        let flight = Arc::new(watch::Sender::new(None));
        known.flight = Some(Arc::clone(&flight));
        Some(Begun {
            tag,
            token: known.token.clone(),
            flight,
            due_at: Some(known.ask_at),
        })
    }

    /// The token that this call asked about, if it is still known.
    fn known_of(&mut self, begun: &Begun<P>) -> Option<&mut Known<P>> {
        let is_its = |flight: &Arc<Flight<P>>| Arc::ptr_eq(flight, &begun.flight);
        let known = self.known.get_mut(&begun.tag)?;
        known.flight.as_ref().is_some_and(is_its).then_some(known)
    }

    /// The same if it is new, which it is not any more.
    fn take_new(&mut self, begun: &Begun<P>) -> Option<New<P>> {
        let new = self.new.get(&begun.tag)?;
        let is_its = Arc::ptr_eq(&new.flight, &begun.flight);
        is_its.then(|| self.new.remove(&begun.tag))?
    }

    fn strike_tag(&mut self, tag: &TokenTag) -> Option<P> {
        let known = self.known.remove(tag)?;
        self.bytes -= known.bytes;
        Some(known.proof)
    }

    fn strike_known(&mut self, is_so: impl Fn(&Known<P>) -> bool) -> Vec<P> {
        let known = self.known.iter();
        let struck: Vec<_> = known
            .filter(|(_, known)| is_so(known))
            .map(|(tag, _)| *tag)
            .collect();
        struck
            .iter()
            .filter_map(|tag| self.strike_tag(tag))
            .collect()
    }

    fn remember_refusal(&mut self, tag: TokenTag, error: GitLabError, until: Instant) {
        if self.refused.len() >= MAX_REFUSED
            && let Some(any) = self.refused.keys().next().copied()
        {
            self.refused.remove(&any);
        }
        self.refused.insert(tag, (error, until));
    }

    /// Drops tokens that nobody uses, those first that were asked about longest ago; none if all of them would not make enough.
    fn make_room(&mut self, tokens: usize, bytes: usize) -> Result<(), GitLabError> {
        if !self.is_beyond(tokens, bytes) {
            return Ok(());
        }
        let used = self.known.values().filter(|known| !known.is_idle());
        let (count, weight) = used.fold((0, 0), |(count, weight), known| {
            (count + 1, weight + known.bytes)
        });
        if count + tokens > self.bounds.tokens || weight + bytes > self.bounds.bytes {
            return Err(GitLabError::Busy);
        }
        while self.is_beyond(tokens, bytes) {
            let idle = self.known.iter().filter(|(_, known)| known.is_idle());
            let oldest = idle.min_by_key(|(_, known)| known.at);
            let victim = *oldest.ok_or(GitLabError::Busy)?.0;
            self.strike_tag(&victim);
        }
        Ok(())
    }

    /// Whether so much more would be too much.
    fn is_beyond(&self, tokens: usize, bytes: usize) -> bool {
        self.known.len() + tokens > self.bounds.tokens || self.bytes + bytes > self.bounds.bytes
    }
}

impl<P: Proof> Known<P> {
    /// Since when it should be asked about, if that is before `now` and somebody uses it.
    fn due(&self, now: Instant) -> Option<Instant> {
        let is_due = self.ask_at <= now && self.flight.is_none() && self.proof.is_held();
        is_due.then_some(self.ask_at)
    }

    /// When GitLab last vouched for it, if that was before `since` and nobody uses it.
    fn idle_due(&self, now: Instant, since: Instant) -> Option<Instant> {
        let is_due = self.at <= since && self.ask_at <= now && self.is_idle();
        is_due.then_some(self.at)
    }

    /// Whether nobody uses it, nor asks about it.
    fn is_idle(&self) -> bool {
        self.flight.is_none() && !self.proof.is_held()
    }
}

/// Beside the text of a token, for one entry.
const OVERHEAD: usize = 256;
/// Refused tokens remembered: of 100 bytes each.
const MAX_REFUSED: usize = 10_000;
