//! Decides how a process logs: what passes, in which form, and always to standard error.
//!
//! `main` calls [`init`] once; what passes may be changed afterwards. Standard output stays free for what a command prints. Invariant:
//! who logs never waits for whoever reads the log. A thread of its own writes the lines; while it cannot, because a pipe is full, so
//! many wait and the rest is lost and counted.

mod filter;

use std::env;
use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::sync::OnceLock;

use tracing::{Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as lines, reload};

pub use filter::{BadFilter, Filter};

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Human,
    /// One JSON object per line, an event's fields beside its message.
    Json,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// The text names no [`Format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log format: it is `human` or `json`")]
pub struct UnknownFormat;

/// Something has set up logging already.
#[derive(Debug, thiserror::Error)]
#[error("logging is set up already")]
pub struct AlreadyLogging(#[from] tracing_subscriber::util::TryInitError);

/// Keep it until the process ends: dropping it writes the lines that wait, if somebody reads them within a second.
#[derive(Debug)]
#[must_use]
pub struct Logging(#[expect(dead_code, reason = "held for its drop")] WorkerGuard);

/// Says what passes. Clones say it of the same log.
#[derive(Clone, Debug)]
pub struct Passing(reload::Handle<EnvFilter, Registry>);

impl Passing {
    /// From now on that.
    pub fn set(&self, filter: &Filter) {
        // It fails when nobody logs any more.
        let _ = self.0.reload(filter.build());
    }
}

/// Logs to standard error what `filter` lets pass.
///
/// # Errors
/// Something has set up logging already.
pub fn init(filter: &Filter, format: Format) -> Result<(Logging, Passing), AlreadyLogging> {
    let (filter, handle) = reload::Layer::new(filter.build());
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let lost = writer.error_counter();
    let layer = layer(format, is_coloured(), writer);
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()?;
    let _ = LOST.set(lost);
    Ok((Logging(guard), Passing(handle)))
}

/// Lines that were lost because nobody read the log, since the start.
pub(crate) fn lost_lines() -> u64 {
    LOST.get().map_or(0, |lost| {
        u64::try_from(lost.dropped_lines()).unwrap_or(u64::MAX)
    })
}

/// Of the one log that a process has.
static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines that may wait: some seconds of a busy process, and a few megabytes.
const MAX_WAITING_LINES: usize = 10_000;

fn is_coloured() -> bool {
    // https://no-color.org: any value but the empty one.
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn layer<S, W>(format: Format, coloured: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = lines::layer().with_writer(writer).with_ansi(coloured);
    let layer = match format {
        Format::Human => layer.boxed(),
        Format::Json => layer.json().flatten_event(true).boxed(),
    };
    layer.with_filter(filter_fn(shows_no_bytes)).boxed()
}

/// tungstenite shows at `trace` each frame as a whole, with the tokens in it: so it says nothing, whatever the filter.
fn shows_no_bytes(about: &Metadata<'_>) -> bool {
    !about.target().starts_with("tungstenite")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, data: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(data)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The targets that pass, each with its level.
    fn passing(filter: &str) -> String {
        let lines = Lines::default();
        let sink = lines.clone();
        let filter: Filter = filter.parse().unwrap();
        let layer = layer(Format::Human, false, move || sink.clone());
        let subscriber = tracing_subscriber::registry()
            .with(filter.build())
            .with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "h2::codec", "h2=warn");
            tracing::info!(target: "h2::codec", "h2=info");
            tracing::trace!(target: "h2::codec", "h2=trace");
            tracing::debug!(target: "rustls", "rustls=debug");
            tracing::info!(target: "adit_relay::route", "route=info");
            tracing::debug!(target: "adit_relay::route", "route=debug");
            tracing::debug!(target: "adit", "adit=debug");
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let said = written.lines().filter_map(|line| line.rsplit(' ').next());
        said.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn level_alone_is_for_adits_own_lines_and_lets_others_pass_what_is_odd() {
        for (filter, expected) in [
            ("debug", "h2=warn route=info route=debug adit=debug"),
            ("info", "h2=warn route=info"),
            ("warn", "h2=warn"),
            ("error", ""),
            ("off", ""),
            ("debug,info", "h2=warn route=info"),
            ("info,adit_relay=debug", "h2=warn route=info route=debug"),
            ("debug,adit_relay=info", "h2=warn route=info adit=debug"),
            ("debug,adit=info", "h2=warn route=info"),
            ("adit_relay=debug", "route=info route=debug"),
            ("info,h2=trace", "h2=warn h2=info h2=trace route=info"),
            ("info,rustls=debug", "h2=warn rustls=debug route=info"),
            ("info,h2=off", "route=info"),
        ] {
            assert_eq!(passing(filter), expected, "{filter}");
        }
    }

    fn logged(format: Format) -> String {
        let lines = Lines::default();
        let sink = lines.clone();
        let subscriber =
            tracing_subscriber::registry().with(layer(format, false, move || sink.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(agent.id = 7, "tunnel opened");
            tracing::trace!(target: "tungstenite::protocol::frame", "payload: 0x736563726574");
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn human_line_is_plain_off_a_terminal() {
        let line = logged(Format::Human);
        assert!(
            line.contains("INFO") && line.contains("tunnel opened agent.id=7"),
            "{line}"
        );
        assert!(!line.contains('\x1b'), "{line}");
    }

    #[test]
    fn json_line_has_fields_beside_the_message() {
        let line = logged(Format::Json);
        assert!(line.starts_with('{') && line.ends_with("}\n"), "{line}");
        assert!(
            line.contains(r#""message":"tunnel opened","agent.id":7"#),
            "{line}"
        );
    }

    #[test]
    fn frames_of_websockets_are_never_shown() {
        for format in [Format::Human, Format::Json] {
            let lines = logged(format);
            assert_eq!(lines.lines().count(), 1, "{lines}");
        }
    }

    #[test]
    fn what_passes_is_changed_while_it_is_logged() {
        let lines = Lines::default();
        let sink = lines.clone();
        let filter = |text: &str| text.parse::<Filter>().unwrap();
        let (quiet, handle) = reload::Layer::new(filter("warn").build());
        let passing = Passing(handle);
        let subscriber = tracing_subscriber::registry().with(quiet).with(layer(
            Format::Human,
            false,
            move || sink.clone(),
        ));
        tracing::subscriber::with_default(subscriber, || {
            let tell = || tracing::info!(target: "adit_relay", "told");
            let of_others = || tracing::info!(target: "h2", "of others");
            tell();
            passing.set(&filter("warn,adit_relay=info"));
            tell();
            of_others();
            passing.set(&filter("warn"));
            tell();
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("told").count(), 1, "{text}");
        assert!(!text.contains("of others"), "{text}");
    }

    #[test]
    fn a_format_has_one_of_two_names() {
        assert_eq!("xml".parse::<Format>(), Err(UnknownFormat));
        assert_eq!("json".parse(), Ok(Format::Json));
    }
}
