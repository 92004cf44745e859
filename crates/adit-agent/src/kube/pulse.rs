//! Tells whether the API server is still there, for connections that cannot ask by themselves: HTTP/1.1 has no ping, and the bytes of
//! an upgraded connection are not ours. A TCP connection alone proves little: what stands in between may answer for a peer that is gone.
//!
//! Whoever waits for such a connection is given a [`Listening`] by [`super::Kube`]. Once nothing was heard for long, a connection is
//! opened up to the end of the TLS handshake, one for all who wait, in a task of its own: who waits may be held up by a slow reader.
//! Invariant: only silence counts, of two new connections and of the old one: an API server that refuses has answered, one that has
//! no time for new connections may serve the old ones, and behind one address there may be several, of which one is gone.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::ReusableBoxFuture;

use crate::config::PoolLimits;
use crate::dial::{DialError, Dialler};

/// The question, and what was last answered.
#[derive(Debug)]
pub(crate) struct Pulse {
    dialler: Dialler,
    every: Duration,
    beat: watch::Sender<Beat>,
    /// At most one asks.
    asking: Mutex<JoinSet<()>>,
}

/// For one connection: resolves once nothing comes on it any more, and the API server has fallen silent.
#[derive(Debug)]
pub(crate) struct Listening {
    heard: Heard,
    silence: ReusableBoxFuture<'static, ()>,
}

/// When something last came on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Heard(Arc<Mutex<Instant>>);

#[derive(Clone, Copy, Debug)]
enum Beat {
    /// Somebody asks just now.
    Asked,
    /// There was an answer, then.
    Felt(Instant),
    /// There was none to what was asked then.
    Missed(Instant),
}

impl Pulse {
    /// Asks as often as an HTTP/2 connection is pinged, and waits as long for an answer.
    pub(crate) fn new(dialler: &Dialler, limits: PoolLimits) -> Arc<Self> {
        let patience = limits.dead_after.saturating_sub(limits.ping_interval);
        let mut dialler = dialler.clone();
        dialler.timeout = dialler.timeout.min(patience);
        Arc::new(Self {
            dialler,
            every: limits.ping_interval,
            beat: watch::Sender::new(Beat::Felt(Instant::now())),
            asking: Mutex::default(),
        })
    }

    /// For a connection on which something has just come, or that is new.
    pub(crate) fn listen(self: &Arc<Self>) -> Listening {
        let heard = Heard(Arc::new(Mutex::new(Instant::now())));
        Listening {
            silence: ReusableBoxFuture::new(Arc::clone(self).stops(heard.clone())),
            heard,
        }
    }

    async fn stops(self: Arc<Self>, heard: Heard) {
        loop {
            let due = self.felt_or(heard.at()) + self.every;
            if Instant::now() < due {
                sleep_until(due).await;
                continue;
            }
            if let Beat::Missed(asked) = self.ask().await
                && heard.at() < asked
            {
                return;
            }
        }
    }

    /// Whichever is later: then, or the last answer.
    fn felt_or(&self, then: Instant) -> Instant {
        let beat = *self.beat.borrow();
        match beat {
            Beat::Felt(at) => at.max(then),
            Beat::Asked | Beat::Missed(_) => then,
        }
    }

    /// What comes of asking, or of what somebody asks already.
    async fn ask(&self) -> Beat {
        let mut beats = self.beat.subscribe();
        let is_first = self.beat.send_if_modified(|beat| {
            let is_quiet = !matches!(beat, Beat::Asked);
            *beat = Beat::Asked;
            is_quiet
        });
        if is_first {
            let (dialler, beat) = (self.dialler.clone(), self.beat.clone());
            let mut asking = self.asking.lock();
            while asking.try_join_next().is_some() {}
            asking.spawn(async move {
                let felt = feel(&dialler).await;
                beat.send_replace(felt);
            });
        }
        let known = beats.wait_for(|beat| !matches!(beat, Beat::Asked)).await;
        known.map_or(Beat::Asked, |beat| *beat)
    }
}

impl Listening {
    /// To be told of what comes.
    pub(crate) fn heard(&self) -> &Heard {
        &self.heard
    }
}

impl Future for Listening {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.silence.poll(cx)
    }
}

impl Heard {
    /// Something has come.
    pub(crate) fn now(&self) {
        *self.0.lock() = Instant::now();
    }

    fn at(&self) -> Instant {
        *self.0.lock()
    }
}

/// A second try when the first takes long.
async fn feel(dialler: &Dialler) -> Beat {
    let asked = Instant::now();
    let mut first = pin!(answers(dialler));
    let was_felt = match timeout(dialler.timeout / 2, &mut first).await {
        Ok(answered) => answered,
        Err(_) => {
            let (first, second) = tokio::join!(first, answers(dialler));
            first || second
        }
    };
    if was_felt {
        Beat::Felt(Instant::now())
    } else {
        Beat::Missed(asked)
    }
}

async fn answers(dialler: &Dialler) -> bool {
    let dialled = dialler.dial().await;
    !matches!(dialled, Err(DialError::TimedOut { .. }))
}

#[cfg(test)]
mod tests {
    use adit_process::tls::{ClientTls, H2, TrustRoots};
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;
    use crate::dial::Tls;

    const IN_TIME: Duration = Duration::from_secs(20);

    /// Of an API server that takes connections and says nothing.
    async fn silent() -> (Arc<Pulse>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = ClientTls::new(&TrustRoots::System, &[H2]).unwrap();
        let dialler = Dialler {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            tls: Tls::new(&tls, "localhost"),
            proxy: None,
            timeout: Duration::from_secs(10),
        };
        (Pulse::new(&dialler, PoolLimits::DEFAULT), listener)
    }

    #[tokio::test(start_paused = true)]
    async fn connection_on_which_something_comes_is_not_given_up() {
        let (pulse, _listener) = silent().await;
        let mut listening = pulse.listen();
        let heard = listening.heard().clone();
        let speaking = async {
            for _ in 0..10 {
                // Late enough to be asked about each time.
                sleep(Duration::from_secs(12)).await;
                heard.now();
            }
        };
        tokio::select! {
            biased;
            () = &mut listening => panic!("it speaks"),
            () = speaking => {}
        }
        timeout(IN_TIME, listening).await.expect("it is silent now");
    }

    #[tokio::test(start_paused = true)]
    async fn answer_to_somebody_else_delays_nobody() {
        let (pulse, _listener) = silent().await;
        let mut listening = pulse.listen();
        let early = timeout(Duration::from_secs(5), &mut listening).await;
        early.expect_err("that is no silence yet");
        pulse.beat.send_replace(Beat::Felt(Instant::now()));
        timeout(IN_TIME, listening).await.expect("it is silent now");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_held_up_while_it_asks_holds_up_nobody() {
        let (pulse, _listener) = silent().await;
        let (mut first, second) = (pulse.listen(), pulse.listen());
        let asks = timeout(Duration::from_secs(11), &mut first).await;
        asks.expect_err("it has just asked");
        timeout(Duration::from_secs(9), second)
            .await
            .expect("it is silent");
        drop(first);
    }
}
