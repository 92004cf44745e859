//! A plain watch that is silent, for the check `idle`: balancers often have another patience with it than with what was upgraded.
//!
//! It goes over HTTP/1.1, where nothing but the answer's own bytes keeps a connection in use. Nothing can be asked on it, so the API server
//! is told to end it soon after the silence: where that end does not arrive, the connection is dead.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use super::access::Access;
use crate::exchange::{Answer, NoAnswer, beside, in_time, whole};

/// How far something silent came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    Through,
    /// It broke off, or was dead after it.
    Until(Duration),
}

/// Why no watch opened.
#[derive(Debug)]
pub(super) enum NoWatch {
    Unanswered(NoAnswer),
    /// With another answer than 200.
    Refused(Answer),
}

/// When the API server is to end the watch: a second after the silence and what that is rounded up by, so that neither end's clock counts.
pub(super) fn lasting_seconds(silence: Duration) -> u64 {
    let rounded_up = u64::from(silence.subsec_nanos() > 0);
    silence.as_secs().saturating_add(rounded_up + 1)
}

/// Opens the watch of `request`, which ends [`lasting_seconds`] later, and lets it be silent.
pub(super) async fn hold(
    access: &Access,
    request: Request<Empty<Bytes>>,
    silence: Duration,
) -> Result<Held, NoWatch> {
    let dialled = access.way.http1.dial().await.map_err(NoAnswer::from)?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(dialled.wire))
        .await
        .map_err(NoAnswer::from)?;
    let trying = async {
        let response = in_time(async { Ok(sender.send_request(request).await?) }).await?;
        match response.status() {
            StatusCode::OK => Ok(outlives(response.into_body(), silence).await),
            _ => Err(NoWatch::Refused(in_time(whole(response)).await?)),
        }
    };
    beside(driver, trying).await
}

impl From<NoAnswer> for NoWatch {
    fn from(error: NoAnswer) -> Self {
        Self::Unanswered(error)
    }
}

async fn outlives(mut answer: impl Body + Unpin, silence: Duration) -> Held {
    let began = Instant::now();
    // Nothing comes unless it breaks off.
    if timeout(silence, answer.frame()).await.is_ok() {
        return Held::Until(began.elapsed());
    }
    match timeout(PATIENCE, answer.frame()).await {
        Ok(None) => Held::Through,
        Ok(Some(_)) | Err(_) => Held::Until(began.elapsed()),
    }
}

/// With the end that is due.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use hyper::body::Frame;
    use tokio::time::{Sleep, sleep};

    use super::*;

    const SILENCE: Duration = Duration::from_secs(75);

    /// A silent answer, until it ends.
    struct Ending {
        at: Pin<Box<Sleep>>,
        cut_off: Option<io::Error>,
    }

    impl Body for Ending {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            ready!(self.at.as_mut().poll(context));
            Poll::Ready(self.cut_off.take().map(Err))
        }
    }

    async fn ending(after: Duration, cut_off: Option<io::Error>) -> Held {
        let at = Box::pin(sleep(after));
        outlives(Ending { at, cut_off }, SILENCE).await
    }

    fn reset() -> Option<io::Error> {
        Some(io::ErrorKind::ConnectionReset.into())
    }

    #[tokio::test(start_paused = true)]
    async fn watch_is_through_when_its_end_comes_after_the_silence() {
        let after = Duration::from_secs(lasting_seconds(SILENCE));
        assert_eq!(ending(after, None).await, Held::Through);
        assert_eq!(ending(after, reset()).await, Held::Until(after));
    }

    #[tokio::test(start_paused = true)]
    async fn watch_that_ends_before_is_told_whole_or_not() {
        let minute = Duration::from_secs(60);
        assert_eq!(ending(minute, None).await, Held::Until(minute));
        assert_eq!(ending(minute, reset()).await, Held::Until(minute));
    }

    /// Forgotten on the way, without a word.
    #[tokio::test(start_paused = true)]
    async fn watch_whose_end_does_not_arrive_is_dead() {
        let hours = Duration::from_secs(7200);
        let dead = Held::Until(SILENCE + PATIENCE);
        assert_eq!(ending(hours, None).await, dead);
    }

    #[test]
    fn part_of_a_second_is_rounded_up() {
        assert_eq!(lasting_seconds(Duration::from_millis(100)), 2);
        assert_eq!(lasting_seconds(SILENCE), 76);
    }
}
