//! What is remembered of tokens: those that GitLab has vouched for, those it is being asked about, those it refused a moment
//! ago. Kept by [`super::vouch`] under one lock.
//! Invariants: entries and bytes are bounded; a token is found by its keyed hash, and its text is kept only while GitLab may have
//! to be asked about it again; what somebody holds is never dropped to make room.

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
    /// Tokens, with those being asked about; refused ones apart.
    pub(super) tokens: usize,
    /// Bytes of tokens and answers.
    pub(super) bytes: usize,
    /// How long a proof holds without a new one.
    pub(super) max_stale: Duration,
}

/// What is remembered of one kind of token.
#[derive(Debug)]
pub(super) struct Book<P> {
    entries: Tagged<Entry<P>>,
    refused: Tagged<(GitLabError, Instant)>,
    bytes: usize,
    bounds: Bounds,
}

type Tagged<T> = HashMap<TokenTag, T, BuildHasherDefault<TagHasher>>;

#[derive(Debug)]
struct Entry<P> {
    token: SecretString,
    bytes: usize,
    proven: Option<Proven<P>>,
    flight: Option<Arc<Flight<P>>>,
}

#[derive(Debug)]
struct Proven<P> {
    proof: P,
    at: Instant,
    /// Until then nobody asks again.
    ask_at: Instant,
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
    /// The token was struck out meanwhile, or there is no room for what GitLab says.
    Lost(GitLabError),
}

impl<P: Proof> Book<P> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            entries: HashMap::default(),
            refused: HashMap::default(),
            bytes: 0,
            bounds,
        }
    }

    pub(super) fn find(&self, tag: &TokenTag, now: Instant) -> Found<P> {
        let Some(entry) = self.entries.get(tag) else {
            return match self.refused.get(tag) {
                Some((error, until)) if *until > now => Found::Refused(*error),
                Some(_) | None => Found::Due(None),
            };
        };
        let proven = entry
            .proven
            .as_ref()
            .filter(|proven| proven.at + self.bounds.max_stale > now);
        let held = proven.map(|proven| proven.proof.clone());
        match (held, &entry.flight) {
            (Some(proof), _) if proven.is_some_and(|proven| proven.ask_at > now) => {
                Found::Fresh(proof)
            }
            (held, Some(flight)) => Found::Asking(flight.subscribe(), held),
            (held, None) => Found::Due(held),
        }
    }

    /// Notes that GitLab is asked about a token, which [`Book::find`] has just said to be due.
    pub(super) fn begin(&mut self, tag: TokenTag, token: &str) -> Result<Begun<P>, GitLabError> {
        if !self.entries.contains_key(&tag) {
            let bytes = token.len() + OVERHEAD;
            self.make_room(1, bytes)?;
            self.bytes += bytes;
            let entry = Entry {
                token: SecretString::from(token),
                bytes,
                proven: None,
                flight: None,
            };
            self.entries.insert(tag, entry);
        }
        self.ask_again(tag).ok_or(GitLabError::Busy)
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
        // While it is asked about, it is not dropped for others.
        if let Err(full) = self.make_room(0, weight) {
            self.strike(begun);
            return Proved::Lost(full);
        }
        let Some(entry) = self.entry_of(begun) else {
            return Proved::Lost(GitLabError::Ended);
        };
        entry.flight = None;
        let old = entry.proven.take().map(|proven| proven.proof);
        let (stays, proved) = match (proof(old.as_ref()), old) {
            (Some(new), None) => (new.clone(), Proved::First(new)),
            (Some(new), Some(old)) => (new.clone(), Proved::Changed { old, new }),
            (None, Some(old)) => (old.clone(), Proved::Same(old)),
            (None, None) => return Proved::Lost(GitLabError::Busy),
        };
        entry.proven = Some(Proven {
            proof: stays,
            at: now,
            ask_at,
        });
        let bytes = begun.token.expose_secret().len() + OVERHEAD + weight;
        let before = std::mem::replace(&mut entry.bytes, bytes);
        self.bytes = self.bytes + bytes - before;
        proved
    }

    /// GitLab has said no, or something that cannot be believed: the token is struck out, and not asked about again until then.
    /// Gives what GitLab said before.
    pub(super) fn denied(
        &mut self,
        begun: &Begun<P>,
        error: GitLabError,
        until: Instant,
    ) -> Option<P> {
        let struck = self.strike(begun);
        self.remember_refusal(begun.tag, error, until);
        struck
    }

    /// GitLab has said nothing that counts. What it said before holds on, and is asked about again at `ask_at`; a token that is new
    /// is forgotten, or refused for a while.
    pub(super) fn troubled(
        &mut self,
        begun: &Begun<P>,
        ask_at: Instant,
        refusal: Option<(GitLabError, Instant)>,
    ) {
        let Some(entry) = self.entry_of(begun) else {
            return;
        };
        entry.flight = None;
        if let Some(proven) = &mut entry.proven {
            proven.ask_at = ask_at;
            return;
        }
        self.strike_tag(&begun.tag);
        if let Some((error, until)) = refusal {
            self.remember_refusal(begun.tag, error, until);
        }
    }

    /// Strikes out all tokens of which this is true, and gives what GitLab said of them.
    pub(super) fn strike_where(&mut self, is_so: impl Fn(&P) -> bool) -> Vec<P> {
        self.strike_entries(|entry| {
            entry
                .proven
                .as_ref()
                .is_some_and(|proven| is_so(&proven.proof))
        })
    }

    /// Forgets what is over: refusals whose time has passed, and tokens that GitLab has not vouched for in long. Gives those.
    pub(super) fn sweep(&mut self, now: Instant) -> Vec<P> {
        self.refused.retain(|_, (_, until)| *until > now);
        let max_stale = self.bounds.max_stale;
        self.strike_entries(|entry| {
            let is_old = |proven: &Proven<P>| proven.at + max_stale <= now;
            entry.flight.is_none() && entry.proven.as_ref().is_some_and(is_old)
        })
    }

    /// Begins to ask about tokens in use whose time it is, the most overdue first, at most so many.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<Begun<P>> {
        self.begin_where(most, |entry| entry.due(now))
    }

    /// The same for tokens that nobody uses, and for which GitLab has not vouched since then.
    pub(super) fn idle(&mut self, now: Instant, since: Instant, most: usize) -> Vec<Begun<P>> {
        self.begin_where(most, |entry| entry.idle_due(now, since))
    }

    /// Tokens in use that should have been asked about by then.
    pub(super) fn overdue(&self, then: Instant) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.due(then).is_some())
            .count()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn begin_where(
        &mut self,
        most: usize,
        due_at: impl Fn(&Entry<P>) -> Option<Instant>,
    ) -> Vec<Begun<P>> {
        let entries = self.entries.iter();
        let mut due: Vec<_> = entries
            .filter_map(|(tag, entry)| Some((due_at(entry)?, *tag)))
            .collect();
        due.sort_unstable_by_key(|(due_at, _)| *due_at);
        due.truncate(most);
        due.into_iter()
            .filter_map(|(_, tag)| self.ask_again(tag))
            .collect()
    }

    fn ask_again(&mut self, tag: TokenTag) -> Option<Begun<P>> {
        let entry = self.entries.get_mut(&tag)?;
        let flight = Arc::new(watch::Sender::new(None));
        entry.flight = Some(Arc::clone(&flight));
        Some(Begun {
            tag,
            token: entry.token.clone(),
            flight,
            due_at: entry.proven.as_ref().map(|proven| proven.ask_at),
        })
    }

    fn entry_of(&mut self, begun: &Begun<P>) -> Option<&mut Entry<P>> {
        let is_its = |flight: &Arc<Flight<P>>| Arc::ptr_eq(flight, &begun.flight);
        let entry = self.entries.get_mut(&begun.tag)?;
        entry.flight.as_ref().is_some_and(is_its).then_some(entry)
    }

    fn strike(&mut self, begun: &Begun<P>) -> Option<P> {
        self.entry_of(begun)?;
        self.strike_tag(&begun.tag)
    }

    fn strike_tag(&mut self, tag: &TokenTag) -> Option<P> {
        let entry = self.entries.remove(tag)?;
        self.bytes -= entry.bytes;
        Some(entry.proven?.proof)
    }

    fn strike_entries(&mut self, is_so: impl Fn(&Entry<P>) -> bool) -> Vec<P> {
        let tags: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| is_so(entry))
            .map(|(tag, _)| *tag)
            .collect();
        tags.iter().filter_map(|tag| self.strike_tag(tag)).collect()
    }

    fn remember_refusal(&mut self, tag: TokenTag, error: GitLabError, until: Instant) {
        if self.refused.len() >= MAX_REFUSED
            && let Some(any) = self.refused.keys().next().copied()
        {
            self.refused.remove(&any);
        }
        self.refused.insert(tag, (error, until));
    }

    /// Drops tokens that nobody uses, those first that were asked about longest ago.
    fn make_room(&mut self, entries: usize, bytes: usize) -> Result<(), GitLabError> {
        while self.entries.len() + entries > self.bounds.tokens
            || self.bytes + bytes > self.bounds.bytes
        {
            let idle = self.entries.iter().filter_map(|(tag, entry)| {
                let proven = entry.proven.as_ref()?;
                let is_idle = entry.flight.is_none() && !proven.proof.is_held();
                is_idle.then_some((proven.at, *tag))
            });
            let (_, victim) = idle.min_by_key(|(at, _)| *at).ok_or(GitLabError::Busy)?;
            self.strike_tag(&victim);
        }
        Ok(())
    }
}

impl<P: Proof> Entry<P> {
    /// Since when it should be asked about, if that is before `now` and somebody uses it.
    fn due(&self, now: Instant) -> Option<Instant> {
        let proven = self.proven.as_ref()?;
        let is_due = proven.ask_at <= now && self.flight.is_none() && proven.proof.is_held();
        is_due.then_some(proven.ask_at)
    }

    /// When GitLab last vouched for it, if that was before `since` and nobody uses it.
    fn idle_due(&self, now: Instant, since: Instant) -> Option<Instant> {
        let proven = self.proven.as_ref()?;
        let is_due = proven.at <= since
            && proven.ask_at <= now
            && self.flight.is_none()
            && !proven.proof.is_held();
        is_due.then_some(proven.at)
    }
}

/// Beside the text of a token, for one entry.
const OVERHEAD: usize = 256;
/// Refused tokens remembered: of 100 bytes each.
const MAX_REFUSED: usize = 10_000;
