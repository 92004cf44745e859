//! The log of the scenario that runs on this thread: relay and agent write it, a failure prints it, a test may search it.
//! Invariant: scenarios that run at once do not see each other's lines.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Mutex},
};

use tracing::subscriber::{DefaultGuard, set_default};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

thread_local! {
    static CURRENT: RefCell<Option<Lines>> = const { RefCell::new(None) };
}

/// Everything logged so far by the scenario on this thread.
#[must_use]
pub fn logs() -> String {
    CURRENT
        .with_borrow(|lines| lines.as_ref().map(Lines::text))
        .unwrap_or_default()
}

/// Collects until it is dropped; prints what it has when that is by a panic.
pub(crate) struct Capture {
    lines: Lines,
    has_passed: bool,
    _guard: DefaultGuard,
}

/// By `filter`, unless `ADIT_TEST_LOG` says otherwise.
pub(crate) fn capture(filter: &str) -> Capture {
    let lines = Lines::default();
    let filter =
        EnvFilter::try_from_env("ADIT_TEST_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    CURRENT.set(Some(lines.clone()));
    Capture {
        lines,
        has_passed: false,
        _guard: set_default(subscriber),
    }
}

/// Level `debug` of what is ours and `warn` of the rest.
pub(crate) const FILTER: &str = "warn,adit=debug,adit_relay=debug,adit_agent=debug,adit_tunnel=debug,adit_exchange=debug,adit_authority=debug";

impl Capture {
    pub(crate) fn passed(mut self) {
        self.has_passed = true;
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        CURRENT.set(None);
        if !self.has_passed {
            let text = self.lines.text();
            let from = text.len().saturating_sub(SHOWN);
            let from = (from..text.len())
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or_default();
            eprintln!("--- the scenario's log, to its end ---\n{}", &text[from..]);
        }
    }
}

/// Bytes of a failed scenario's log that are printed.
const SHOWN: usize = 16 << 10;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
