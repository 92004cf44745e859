//! Finds out what a token stands for, by asking GitLab once for all who show it at the same time. One [`Vouch`] for each kind of
//! token, asked for every connection's first request; its [`Driver`] makes the calls.
//!
//! ```text
//! token ── known and fresh? ──────────────────────────────────────────▶ proof
//!            │ no                                                         ▲
//!            ▼                                                            │ yes, or trouble and
//!   somebody asking? ── no ─▶ limits ─▶ queue ─▶ Driver ─▶ Line ─▶ GitLab ┤ it was known before
//!            └─ yes ─▶ wait with them ────────────────────────────────────┤
//!                                                                         └ no ─▶ refused
//! ```
//!
//! Invariants:
//!  - GitLab's no ends a token at once, whatever was known; its silence ends one only after `max_stale`.
//!  - Who goes away while waiting takes nothing from the others: calls belong to the driver.
//!  - A token under which something runs is asked about at least every `recheck`, as long as the line takes the calls; a job's under
//!    which nothing does, now and then, so that what GitLab said last is not old when GitLab falls silent.

mod settle;

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

use super::{
    GitLabError,
    addresses::{Addresses, Bringer},
    book::{Begun, Book, Bounds, Found, Proof, Verdict},
    driver::Driver,
    line::{Answer, Asker, Line, Snag},
    pace::Urgency,
    stats::{Counts, Lookup, Outcome, Question, QuestionStats},
};
use crate::{
    Ended,
    tag::{Tags, TokenTag},
};

/// One kind of token: how GitLab is asked about it, and what its answer means.
pub(super) trait Kind: std::fmt::Debug + Send + Sync + 'static {
    /// What a yes says.
    type Said;
    /// What a caller is given for it.
    type Proof: Proof;

    /// For metrics.
    const QUESTION: Question;
    /// What a caller is told whose token ended in the same moment.
    const ENDED: GitLabError = GitLabError::Ended;
    /// Whether a token under which nothing runs is asked about, too.
    const IDLE: Idle = Idle::LeftAlone;

    /// Asks GitLab.
    fn ask(
        &self,
        asker: &Asker<'_>,
        token: &SecretString,
    ) -> impl Future<Output = Result<Answer, Snag>> + Send;

    /// What a no says.
    fn refusal(&self, status: StatusCode) -> GitLabError {
        GitLabError::of(status)
    }

    /// What a yes says.
    fn read(&self, token: &SecretString, body: &[u8]) -> Result<Self::Said, GitLabError>;

    /// What the first yes to a token gives.
    fn first(&self, tag: TokenTag, said: Self::Said) -> Self::Proof;

    /// What a later one gives, unless it means the same.
    fn next(&self, old: &Self::Proof, said: Self::Said) -> Option<Self::Proof>;

    /// What runs by the old answer and not by the new one must end.
    fn changed(&self, old: &Self::Proof, new: &Self::Proof);

    /// What runs under the token must end.
    fn end(&self, proof: &Self::Proof, why: Ended);

    /// Whether [`Kind::end`] was called for it.
    fn has_ended(&self, proof: &Self::Proof) -> bool;
}

/// When things are asked and given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// How often GitLab is asked about a token in use, at least.
    pub(super) recheck: Duration,
    /// How often about one that nobody uses, if at all.
    pub(super) idle_recheck: Duration,
    /// How long a call may take.
    pub(super) timeout: Duration,
    /// How long a refusal is remembered.
    pub(super) refused_for: Duration,
}

/// What kinds of token have in common.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) line: Arc<Line>,
    /// Who brings tokens that GitLab does not know.
    pub(super) addresses: Arc<Addresses>,
    pub(super) times: Times,
    pub(super) bounds: Bounds,
}

/// What becomes of tokens under which nothing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// They are asked about when they are shown again. To ask may mean something to GitLab, as that an agent is connected.
    LeftAlone,
    /// They are asked about, seldom: whoever has them will come back, and perhaps while GitLab is away.
    AskedAbout,
}

/// All tokens of one kind.
#[derive(Debug)]
pub(super) struct Vouch<K: Kind> {
    pub(super) kind: K,
    line: Arc<Line>,
    addresses: Arc<Addresses>,
    tags: Tags,
    book: Mutex<Book<K::Proof>>,
    times: Times,
    asks: Asks<mpsc::Sender<Ask<K::Proof>>>,
    calls: Counts<Outcome>,
    lookups: Counts<Lookup>,
    ended: Counts<Ended>,
}

/// A call to be made.
#[derive(Debug)]
pub(super) struct Ask<P> {
    begun: Begun<P>,
    /// Who brought it, if it is new.
    by: Option<Bringer>,
    /// How urgent it is if it is not.
    otherwise: Urgency,
}

/// A queue to the driver for each urgency, so that none of them takes another's places.
#[derive(Debug)]
pub(super) struct Asks<Q> {
    pub(super) known: Q,
    pub(super) new: Q,
    pub(super) doubted: Q,
}

/// Tokens of one urgency that may wait for the driver. Filled by a burst of new jobs, or of invented tokens; then they are refused.
const MOST_WAITING: usize = 1024;
/// How long a caller waits for a call to begin, beyond what the call itself may take.
const QUEUE: Duration = Duration::from_secs(5);
/// How long the caller of a known token waits for GitLab's word before going on by the last one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Places for calls that those about tokens which nobody uses leave to others.
const KEPT_FROM_IDLE: usize = 32;
/// By how much a token in use may be asked about later than it should before it counts as overdue.
const LATE: Duration = Duration::from_secs(5);
/// By which part of `recheck` a token may be asked about earlier than that.
const LEEWAY: f64 = 0.2;

/// What a caller does next.
enum Step<P> {
    /// Goes on with it.
    Go(Lookup, P),
    /// Waits for a call, perhaps with what GitLab said before.
    Wait(Lookup, watch::Receiver<Option<Verdict<P>>>, Option<P>),
}

impl<K: Kind> Vouch<K> {
    pub(super) fn new(kind: K, shared: &Shared) -> (Arc<Self>, Driver<K>) {
        let (known, known_asks) = mpsc::channel(MOST_WAITING);
        let (new, new_asks) = mpsc::channel(MOST_WAITING);
        let (doubted, doubted_asks) = mpsc::channel(MOST_WAITING);
        let vouch = Arc::new(Self {
            kind,
            line: Arc::clone(&shared.line),
            addresses: Arc::clone(&shared.addresses),
            tags: Tags::new(),
            book: Mutex::new(Book::new(shared.bounds)),
            times: shared.times,
            asks: Asks {
                known,
                new,
                doubted,
            },
            calls: Counts::new(Outcome::ALL),
            lookups: Counts::new(Lookup::ALL),
            ended: Counts::new(Ended::ALL),
        });
        let asks = Asks {
            known: known_asks,
            new: new_asks,
            doubted: doubted_asks,
        };
        let driver = Driver::new(Arc::clone(&vouch), asks);
        (vouch, driver)
    }

    /// What the token stands for. Cancel-safe; waits only when GitLab must be asked.
    pub(super) async fn verify(&self, token: &str, from: IpAddr) -> Result<K::Proof, GitLabError> {
        let proof = match self.step(token, from)? {
            Step::Go(lookup, proof) => {
                self.lookups.count(lookup);
                proof
            }
            Step::Wait(lookup, flight, held) => {
                self.lookups.count(lookup);
                self.wait(flight, held).await?
            }
        };
        // Its end may have come in between.
        if self.kind.has_ended(&proof) {
            return Err(K::ENDED);
        }
        Ok(proof)
    }

    /// Ends all tokens of which this is true.
    pub(super) fn end_where(&self, is_so: impl Fn(&K::Proof) -> bool, why: Ended) {
        let struck = self.book.lock().strike_where(is_so);
        struck.iter().for_each(|proof| self.end(proof, why));
    }

    /// Forgets what is over, and begins to ask about tokens in use whose time it is.
    pub(super) fn tick(&self, room: usize) -> Vec<Ask<K::Proof>> {
        let now = Instant::now();
        self.addresses.sweep(now);
        let room = if self.line.is_left_alone().is_some() {
            0
        } else {
            room
        };
        let idle_since = match K::IDLE {
            Idle::LeftAlone => None,
            Idle::AskedAbout => now.checked_sub(self.times.idle_recheck),
        };
        let mut book = self.book.lock();
        let unproved = book.sweep(now);
        let due = book.due(now, room);
        let room = (room - due.len()).saturating_sub(KEPT_FROM_IDLE);
        let idle = idle_since.map(|since| book.idle(now, since, room));
        drop(book);
        for proof in &unproved {
            self.end(proof, Ended::Unproved);
        }
        let due = due.into_iter().map(|begun| Ask::of(begun, Urgency::Known));
        let idle = idle.into_iter().flatten();
        // Like new ones, so that they do not hold up what is in use.
        due.chain(idle.map(|begun| Ask::of(begun, Urgency::New)))
            .collect()
    }

    /// Makes a call and settles what it says. A new token that nobody waits for any more costs no turn: else those who have left, in a
    /// flood, would use up the turns of those who have not.
    pub(super) async fn call(&self, ask: Ask<K::Proof>) {
        let turn = self.line.turn(ask.urgency());
        let is_wanted = tokio::select! {
            biased;
            () = ask.begun.flight.closed(), if ask.by.is_some() => false,
            () = turn => true,
        };
        let verdict = if is_wanted {
            let asker = Asker::new(&self.line, &self.calls, ask.urgency());
            let answer = self.kind.ask(&asker, &ask.begun.token).await;
            self.settle(&ask, answer)
        } else {
            self.given_up(&ask.begun)
        };
        ask.begun.flight.send_replace(Some(verdict));
    }

    /// The ask, unless whoever brought it has come to be doubted while it waited: then it waits on, with its like. A flood begins with
    /// many tokens from addresses that nobody has doubted yet.
    pub(super) fn unless_doubted(&self, mut ask: Ask<K::Proof>) -> Option<Ask<K::Proof>> {
        let reconsider = |by| self.addresses.reconsider(by, Instant::now());
        ask.by = ask.by.map(reconsider);
        match ask.urgency() {
            Urgency::Known | Urgency::New => Some(ask),
            Urgency::Doubted => {
                self.queue(ask);
                None
            }
        }
    }

    pub(super) fn stats(&self) -> QuestionStats {
        let late = Instant::now().checked_sub(LATE);
        let book = self.book.lock();
        QuestionStats {
            question: K::QUESTION,
            known: book.len(),
            known_bytes: book.bytes(),
            overdue: late.map_or(0, |late| book.overdue(late)),
            calls: self.calls.read(),
            lookups: self.lookups.read(),
            ended: self.ended.read(),
        }
    }

    /// Finds the token, or sees to it that GitLab is asked.
    fn step(&self, token: &str, from: IpAddr) -> Result<Step<K::Proof>, GitLabError> {
        let tag = self.tags.of_text(token);
        let now = Instant::now();
        let mut book = self.book.lock();
        let held = match book.find(&tag, now) {
            Found::Fresh(proof) => return Ok(Step::Go(Lookup::Known, proof)),
            Found::Refused(error) => return self.turned_away(Lookup::Refused, error),
            Found::Asking(flight, held) => return Ok(Step::Wait(Lookup::Joined, flight, held)),
            Found::Due(held) => held,
        };
        let ask = self.admit(from, held.is_some(), now).and_then(|by| {
            let begun = book.begin(tag, token)?;
            Ok(Ask {
                by,
                ..Ask::of(begun, Urgency::Known)
            })
        });
        drop(book);
        let ask = match (ask, held.clone()) {
            (Ok(ask), _) => ask,
            (Err(_), Some(proof)) => return Ok(Step::Go(Lookup::Honoured, proof)),
            (Err(error), None) => return self.turned_away(Lookup::Withheld, error),
        };
        let flight = ask.begun.flight.subscribe();
        self.queue(ask);
        Ok(Step::Wait(Lookup::Asked, flight, held))
    }

    /// Whether GitLab may be asked at all; on whose account, if the token is new.
    fn admit(
        &self,
        from: IpAddr,
        is_known: bool,
        now: Instant,
    ) -> Result<Option<Bringer>, GitLabError> {
        if let Some(snag) = self.line.is_left_alone() {
            return Err(snag.into());
        }
        if is_known {
            return Ok(None);
        }
        let by = self.addresses.admit(from, now);
        by.map(Some).ok_or(GitLabError::TooManyBadTokens)
    }

    fn turned_away<T>(&self, lookup: Lookup, error: GitLabError) -> Result<T, GitLabError> {
        self.lookups.count(lookup);
        Err(error)
    }

    fn queue(&self, ask: Ask<K::Proof>) {
        let queue = match ask.urgency() {
            Urgency::Known => &self.asks.known,
            Urgency::New => &self.asks.new,
            Urgency::Doubted => &self.asks.doubted,
        };
        if let Err(full) = queue.try_send(ask) {
            let ask = full.into_inner();
            let verdict = self.given_up(&ask.begun);
            self.forgive(&ask);
            ask.begun.flight.send_replace(Some(verdict));
        }
    }

    async fn wait(
        &self,
        mut flight: watch::Receiver<Option<Verdict<K::Proof>>>,
        held: Option<K::Proof>,
    ) -> Verdict<K::Proof> {
        let patience = match held {
            Some(_) => PATIENCE,
            None => self.times.timeout + QUEUE,
        };
        let verdict = timeout(patience, flight.wait_for(Option::is_some)).await;
        let verdict = verdict.ok().and_then(|verdict| verdict.ok()?.clone());
        match (verdict, held) {
            (Some(Ok(proof)), _) => Ok(proof),
            (Some(Err(error)), _) if error.is_no() => Err(error),
            (Some(Err(_)) | None, Some(proof)) => {
                self.lookups.count(Lookup::Honoured);
                Ok(proof)
            }
            (Some(Err(error)), None) => Err(error),
            (None, None) => Err(GitLabError::Busy),
        }
    }

    fn end(&self, proof: &K::Proof, why: Ended) {
        self.ended.count(why);
        self.kind.end(proof, why);
    }

    fn forgive(&self, ask: &Ask<K::Proof>) {
        if let Some(by) = ask.by {
            self.addresses.forgive(by);
        }
    }

    /// When a token is to be asked about after a call that was due then: one `recheck` after that, however late the call was, so that a
    /// token in use costs one call in each. The first time, and when the call was much too late, up to a fifth earlier by chance, so that
    /// tokens that came together are not asked about together for ever.
    fn next_turn(&self, due_at: Option<Instant>, now: Instant) -> Instant {
        let recheck = self.times.recheck;
        let early = |most: f64| now + recheck.mul_f64(1.0 - most * LEEWAY);
        let in_step = due_at.map(|due_at| due_at + recheck);
        let in_step = in_step.filter(|at| *at >= early(1.0));
        in_step.unwrap_or_else(|| early(rand::random()))
    }
}

impl<P> Ask<P> {
    const fn of(begun: Begun<P>, otherwise: Urgency) -> Self {
        Self {
            begun,
            by: None,
            otherwise,
        }
    }

    fn urgency(&self) -> Urgency {
        self.by.map_or(self.otherwise, |by| by.urgency)
    }
}
