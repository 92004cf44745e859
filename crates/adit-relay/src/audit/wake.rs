//! Tells the writer's thread when to come. A call costs a system call, so a shard calls once for all that gathers meanwhile.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio_util::sync::CancellationToken;

/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// Between two attempts when there will be no more.
const AT_LAST: Duration = Duration::from_millis(500);

/// How urgent it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    /// Not at all.
    #[default]
    Not,
    /// There is something.
    Soon,
    /// There is much.
    Now,
    /// There will be no more.
    Last,
    /// What is not written by now is lost.
    GiveUp,
}

/// Where calls arrive.
#[derive(Debug, Default)]
pub(super) struct Wake {
    call: Mutex<Call>,
    called: Condvar,
    /// For whoever waits for something else meanwhile.
    given_up: CancellationToken,
}

impl Wake {
    pub(super) fn call(&self, call: Call) {
        if call == Call::GiveUp {
            self.given_up.cancel();
        }
        let mut most = self.call.lock();
        if call > *most {
            *most = call;
            drop(most);
            self.called.notify_one();
        }
    }

    /// Blocks until there is something to write, and for a moment longer unless it is urgent.
    pub(super) fn wait(&self) -> Call {
        let mut call = self.call.lock();
        self.called.wait_while(&mut call, |call| *call == Call::Not);
        self.called
            .wait_while_for(&mut call, |call| *call < Call::Now, GATHER);
        let came = *call;
        if came < Call::Last {
            *call = Call::Not;
        }
        came
    }

    /// Blocks for `time` at most, until there is an end to trying; says whether that has come. Before there will be no more, which may be
    /// sooner, it is tried at once, and then without long waits.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let mut call = self.call.lock();
        let (enough, time) = if *call < Call::Last {
            (Call::Last, time)
        } else {
            (Call::GiveUp, time.min(AT_LAST))
        };
        self.called
            .wait_while_for(&mut call, |call| *call < enough, time);
        *call == Call::GiveUp
    }

    /// Waits until there is an end to trying. Cancel-safe.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }
}
