//! Waiting for a condition, with a deadline and an ear for Ctrl-C.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::interrupt;

/// Looks every 50 ms until `look` gives a value. `what` completes "waited 30 s for ...".
///
/// # Errors
/// `within` is over (the last thing that `look` complained about is told), `look` gave up, or Ctrl-C.
pub fn until<T>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Look<T>>,
) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        interrupt::check()?;
        let not_yet = match look()? {
            Look::Found(value) => return Ok(value),
            Look::NotYet(why) => why,
        };
        if Instant::now() >= end {
            let waited = format!("waited {} s for {what}", within.as_secs());
            return match not_yet {
                Some(why) => Err(why).context(waited),
                None => bail!(waited),
            };
        }
        thread::sleep(PAUSE);
    }
}

/// What one look found.
#[derive(Debug)]
pub enum Look<T> {
    /// The condition holds.
    Found(T),
    /// It does not hold yet, perhaps for a reason worth telling.
    NotYet(Option<anyhow::Error>),
}

impl<T> From<Option<T>> for Look<T> {
    fn from(found: Option<T>) -> Self {
        found.map_or(Self::NotYet(None), Self::Found)
    }
}

impl<T> From<Result<T>> for Look<T> {
    fn from(result: Result<T>) -> Self {
        match result {
            Ok(value) => Self::Found(value),
            Err(error) => Self::NotYet(Some(error)),
        }
    }
}

const PAUSE: Duration = Duration::from_millis(50);
