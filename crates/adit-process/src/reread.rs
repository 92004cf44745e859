//! Decides when files are read again while a process runs: every ten seconds, and at once when somebody asks for it, with SIGHUP for
//! instance. Certificates, secrets and configurations all go this way.
//!
//! Whoever uses what a file holds implements [`Kept`], and its owner runs [`keep`]. Content is compared, not times: a mounted Kubernetes
//! secret changes by a symbolic link. Invariant: what cannot be read or used changes nothing; it is counted each time and said once.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::chain;
use crate::metrics::{Each, Reload};

/// Has files read before their time. Clones ask for the same files.
#[derive(Clone, Debug, Default)]
pub struct Reread {
    asked: watch::Sender<()>,
}

impl Reread {
    /// Has all of them read now.
    pub fn now(&self) {
        self.asked.send_replace(());
    }
}

/// What was read from files, and is in use.
pub trait Kept: Send + Sync + 'static {
    /// What they hold.
    type Content: Send + 'static;
    /// Why they cannot be used.
    type Error: Error + Send + 'static;

    /// Reads the files; nothing if they hold what is in use. Called on a thread that may wait: they may lie on a network.
    ///
    /// # Errors
    /// They cannot be used.
    fn read(&self) -> Result<Option<Self::Content>, Self::Error>;

    /// Uses that from now on, or none of it.
    ///
    /// # Errors
    /// It cannot be used.
    fn take(&self, content: Self::Content) -> Result<(), Self::Error>;

    /// Where it is noted how that goes.
    fn looks(&self) -> &Looks;

    /// Tells the log that something else is in use now.
    fn tell_replaced(&self);

    /// Tells the log why it is not, and that what was in use stays.
    fn tell_refused(&self, error: &str);

    /// Tells the log that the files can be used again, and hold what stayed in use.
    fn tell_mended(&self);
}

/// What a look says to the log of trouble.
enum Told {
    /// Another one than before.
    Trouble(Arc<String>),
    Mended,
}

/// What a look at files found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// They hold what is in use.
    Unchanged,
    /// Something new, which is in use from now on.
    Replaced,
}

/// How looks at files went: for metrics, and for whoever asks what is wrong. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    reloads: Each<Reload, Counter>,
    /// Why the files could not be used the last time.
    trouble: Arc<ArcSwapOption<String>>,
}

impl Looks {
    /// Of one of several that are counted together.
    #[must_use]
    pub fn counted_by(reloads: Each<Reload, Counter>) -> Self {
        Self {
            reloads,
            trouble: Arc::default(),
        }
    }

    /// How many found something new, or failed: for a registry.
    #[must_use]
    pub fn reloads(&self) -> Each<Reload, Counter> {
        self.reloads.clone()
    }

    /// Why the files could not be used when they were last looked at, if that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.trouble.load_full()
    }

    /// Gives what is new of trouble. Where something else is in use now, that says that it is over.
    fn note<E: Error + 'static>(&self, outcome: &Result<Look, E>) -> Option<Told> {
        let trouble = match outcome {
            Ok(Look::Unchanged) => None,
            Ok(Look::Replaced) => {
                self.reloads.of(Reload::Replaced).inc();
                None
            }
            Err(error) => {
                self.reloads.of(Reload::Failed).inc();
                Some(Arc::new(chain(error)))
            }
        };
        let before = self.trouble.swap(trouble.clone());
        match (trouble, outcome) {
            (Some(trouble), _) if before.as_ref() == Some(&trouble) => None,
            (Some(trouble), _) => Some(Told::Trouble(trouble)),
            (None, Ok(Look::Unchanged)) => before.map(|_| Told::Mended),
            (None, _) => None,
        }
    }
}

/// Looks now.
///
/// # Errors
/// The files cannot be used, and what was in use stays.
pub fn look<K: Kept>(kept: &K) -> Result<Look, K::Error> {
    settle(kept, kept.read())
}

/// Looks again and again, for ever; its owner runs it.
pub fn keep<K: Kept>(kept: Arc<K>, reread: &Reread) -> impl Future<Output = ()> + Send + use<K> {
    // Subscribed at once: who asks from now on is heard.
    let (reread, asked) = (reread.clone(), reread.asked.subscribe());
    run(kept, reread, asked)
}

async fn run<K: Kept>(kept: Arc<K>, _never_closed: Reread, mut asked: watch::Receiver<()>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = asked.changed() => {}
            _ = ticks.tick() => {}
        }
        let reading = Arc::clone(&kept);
        if let Ok(read) = tokio::task::spawn_blocking(move || reading.read()).await {
            // What it comes to was told.
            let _ = settle(&*kept, read);
        }
    }
}

fn settle<K: Kept>(kept: &K, read: Result<Option<K::Content>, K::Error>) -> Result<Look, K::Error> {
    let outcome = read.and_then(|content| match content {
        Some(content) => kept.take(content).map(|()| Look::Replaced),
        None => Ok(Look::Unchanged),
    });
    match kept.looks().note(&outcome) {
        Some(Told::Trouble(trouble)) => kept.tell_refused(&trouble),
        Some(Told::Mended) => kept.tell_mended(),
        None => {}
    }
    if matches!(outcome, Ok(Look::Replaced)) {
        kept.tell_replaced();
    }
    outcome
}

const EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::Mutex;
    use tokio::task::JoinSet;
    use tokio::time::{sleep, timeout};

    use super::*;

    /// A file that tests write in memory: a number, and none that can be used if it is odd.
    #[derive(Default)]
    struct File {
        holds: Mutex<u32>,
        in_use: Mutex<u32>,
        refusals: AtomicUsize,
        mendings: AtomicUsize,
        looks: Looks,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0} is odd")]
    struct Odd(u32);

    impl Kept for File {
        type Content = u32;
        type Error = Odd;

        fn read(&self) -> Result<Option<u32>, Odd> {
            let holds = *self.holds.lock();
            Ok((holds != *self.in_use.lock()).then_some(holds))
        }

        fn take(&self, content: u32) -> Result<(), Odd> {
            if content % 2 == 1 {
                return Err(Odd(content));
            }
            *self.in_use.lock() = content;
            Ok(())
        }

        fn looks(&self) -> &Looks {
            &self.looks
        }

        fn tell_replaced(&self) {}

        fn tell_refused(&self, _error: &str) {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }

        fn tell_mended(&self) {
            self.mendings.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl File {
        fn write(&self, number: u32) {
            *self.holds.lock() = number;
        }

        fn trouble(&self) -> Option<String> {
            self.looks.trouble().map(|trouble| String::clone(&trouble))
        }
    }

    #[test]
    fn what_cannot_be_used_changes_nothing_and_is_told_once() {
        let file = File::default();
        assert_eq!(look(&file).unwrap(), Look::Unchanged);
        file.write(2);
        assert_eq!(look(&file).unwrap(), Look::Replaced);
        file.write(3);
        look(&file).unwrap_err();
        look(&file).unwrap_err();
        assert_eq!(*file.in_use.lock(), 2);
        assert_eq!(file.trouble().as_deref(), Some("3 is odd"));
        assert_eq!(file.refusals.load(Ordering::Relaxed), 1);
        file.write(5);
        look(&file).unwrap_err();
        assert_eq!(file.refusals.load(Ordering::Relaxed), 2);
        file.write(2);
        assert_eq!(look(&file).unwrap(), Look::Unchanged);
        assert_eq!(file.trouble(), None);
        let reloads = file.looks.reloads();
        assert_eq!(reloads.of(Reload::Replaced).get(), 1);
        assert_eq!(reloads.of(Reload::Failed).get(), 3);
    }

    #[test]
    fn what_can_be_used_again_as_before_is_told_once() {
        let file = File::default();
        let mendings = || file.mendings.load(Ordering::Relaxed);
        look(&file).unwrap();
        file.write(3);
        look(&file).unwrap_err();
        assert_eq!(mendings(), 0);
        file.write(0);
        look(&file).unwrap();
        look(&file).unwrap();
        assert_eq!(mendings(), 1);
        file.write(3);
        look(&file).unwrap_err();
        file.write(2);
        assert_eq!(look(&file).unwrap(), Look::Replaced);
        look(&file).unwrap();
        assert_eq!(mendings(), 1, "it is told that another is in use");
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_read_by_themselves_and_at_once_when_asked() {
        let (file, reread) = (Arc::new(File::default()), Reread::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(Arc::clone(&file), &reread));
        file.write(4);
        let by_itself = async {
            while *file.in_use.lock() != 4 {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(10 * EVERY, by_itself).await.expect("it is read");
        // Whoever is never idle has the paused clock stand still: its own time does not come.
        file.write(6);
        reread.now();
        while *file.in_use.lock() != 6 {
            tokio::task::yield_now().await;
        }
    }
}
