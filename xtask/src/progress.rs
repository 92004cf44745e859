//! How progress looks: a line per thing done, with how long it took, on standard error; and a line now and then while one lasts.
//!
//! Called by everything that may take longer than a person likes to wait in silence. Colours on a terminal only, and
//! not with `NO_COLOR`.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// What a text means; decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    Plain,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
    /// It worked.
    Good,
    /// It was left out, or needs a look.
    Odd,
    /// It failed.
    Bad,
}

/// Prints a line. A standard error that is gone does not stop the work.
pub fn line(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The text in its colour, if standard error has colours.
#[must_use]
pub fn paint(tone: Tone, text: impl Display) -> String {
    let code = match tone {
        Tone::Plain => return text.to_string(),
        Tone::Faint => "2",
        Tone::Strong => "1",
        Tone::Good => "32",
        Tone::Odd => "33",
        Tone::Bad => "1;31",
    };
    if has_colours() {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_string()
    }
}

/// Does one step, and says afterwards what it was and how long it took.
///
/// # Errors
/// Those of `work`; the step's line then says that it failed.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    let outcome = telling(what, work);
    let took = took(begin.elapsed());
    let mark = if outcome.is_ok() {
        paint(Tone::Good, "ok")
    } else {
        paint(Tone::Bad, "failed")
    };
    line(format_args!("  {what:<52} {took:>9}  {mark}"));
    outcome
}

/// Does what may take long, and says every half minute that it still does.
pub(crate) fn telling<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let (done, over) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while over.recv_timeout(SILENCE) == Err(RecvTimeoutError::Timeout) {
                let so_far = took(begin.elapsed());
                line(paint(
                    Tone::Faint,
                    format_args!("  {what}: {so_far} so far"),
                ));
            }
        });
        let outcome = work();
        drop(done);
        outcome
    })
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 05 s`.
#[must_use]
pub fn took(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else if seconds >= 10 {
        format!("{seconds} s")
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// Whoever hears nothing for longer thinks that it hangs.
const SILENCE: Duration = Duration::from_secs(30);

fn has_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (millis, text) in [(412, "0.4 s"), (12_900, "12 s"), (185_000, "3 min 05 s")] {
            assert_eq!(took(Duration::from_millis(millis)), text);
        }
    }
}
