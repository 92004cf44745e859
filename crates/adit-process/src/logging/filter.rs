//! Decides which texts say what passes into the log: the same for flags, the environment and config files.
//!
//! The invariant: no slip of the pen silences a process. tracing takes every word that is no level for a module's name, and then lets
//! nothing else pass; so a module needs its level here, and whoever wants silence writes `off`. Modules of adit's without a level beside
//! them are taken as they stand, also those of another process: which crates run in this one is not known here.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What passes: a level, or levels by target, such as `info,adit_relay=debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter(Box<str>);

impl FromStr for Filter {
    type Err = BadFilter;

    fn from_str(text: &str) -> Result<Self, BadFilter> {
        let directives: Vec<_> = text.split(',').map(str::trim).collect();
        if directives.iter().all(|directive| directive.is_empty()) {
            return Err(BadFilter::Empty);
        }
        directives
            .iter()
            .try_for_each(|directive| check(directive))?;
        let text = directives.join(",");
        let parsed = EnvFilter::builder().parse(&text);
        parsed.map_err(|_| BadFilter::Form {
            shown: shown(&text),
        })?;
        if !directives.iter().copied().any(is_about_adit) {
            return Err(BadFilter::OthersAlone);
        }
        Ok(Self(text.into()))
    }
}

impl Filter {
    /// Of other people's crates, only what is odd passes by a level alone: what they tell beyond that of HTTP/2 and TLS buries adit's lines.
    /// Whoever wants it names their module.
    pub(super) fn build(&self) -> EnvFilter {
        let (levels, mut directives): (Vec<_>, Vec<_>) =
            self.0.split(',').partition(|directive| is_level(directive));
        // As of two for the same, the last holds.
        let level = levels.last().and_then(|level| level.parse().ok());
        let level = level.unwrap_or(LevelFilter::OFF);
        let (others, own) = (level.min(LevelFilter::WARN), format!("adit={level}"));
        let others = others.to_string();
        directives.splice(..0, [&*others, &*own]);
        let parsed = EnvFilter::builder().parse(directives.join(","));
        parsed.expect("it was parsed when it was made")
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text does not say what passes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFilter {
    /// There is nothing in it.
    #[error("is empty, and nothing would be logged: {SAY}, or take it out")]
    Empty,
    /// A word that is no level.
    #[error("`{shown}` is no level: {}{SAY}", perhaps(*near))]
    Level {
        /// The word, fit to be printed.
        shown: String,
        /// The level that was meant.
        near: Option<&'static str>,
    },
    /// A module without its level.
    #[error("`{shown}` has no level: {SAY}")]
    NoLevel {
        /// The module, fit to be printed.
        shown: String,
    },
    /// `:` where `=` or `::` was meant.
    #[error("`{shown}` has a single `:`, and a level stands behind `=`: {SAY}")]
    Colon {
        /// The whole directive, fit to be printed.
        shown: String,
    },
    /// A module that looks like one of adit's and is none.
    #[error("`{shown}` is no module of adit, which are {}", CRATES.join(", "))]
    Module {
        /// Its name, fit to be printed.
        shown: String,
    },
    /// Levels of other modules, and none for adit.
    #[error("lets pass nothing of adit's own: begin it with a level, such as `info,h2=debug`")]
    OthersAlone,
    /// None that tracing takes.
    #[error("`{shown}` is no log filter: {SAY}")]
    Form {
        /// It, fit to be printed.
        shown: String,
    },
}

/// tracing passes over empty ones, as are left by a comma at the end.
fn check(directive: &str) -> Result<(), BadFilter> {
    if directive.is_empty() || is_level(directive) {
        return Ok(());
    }
    let (target, level) = parts(directive);
    if !target.chars().all(is_of_names) {
        let shown = shown(directive);
        return Err(BadFilter::Form { shown });
    }
    if target.replace("::", "").contains(':') {
        let shown = shown(directive);
        return Err(BadFilter::Colon { shown });
    }
    let Some(level) = level else {
        let shown = shown(directive);
        return Err(if is_name_of_module(target) || directive.contains('[') {
            BadFilter::NoLevel { shown }
        } else {
            let near = near(directive);
            BadFilter::Level { shown, near }
        });
    };
    if !is_level(level) {
        let (shown, near) = (shown(level), near(level));
        return Err(BadFilter::Level { shown, near });
    }
    if target.starts_with("adit") && !CRATES.contains(&name_of_crate(target)) {
        let shown = shown(target);
        return Err(BadFilter::Module { shown });
    }
    Ok(())
}

/// The module, without a span, and its level: `=` within a span is the span's.
fn parts(directive: &str) -> (&str, Option<&str>) {
    let (before, span) = match directive.split_once('[') {
        Some((before, span)) => (before, Some(span)),
        None => (directive, None),
    };
    let behind = span.map_or(directive, |span| {
        span.rsplit_once(']').map_or("", |(_, behind)| behind)
    });
    let level = behind.split_once('=').map(|(_, level)| level.trim());
    let target = before.split_once('=').map_or(before, |(target, _)| target);
    (target.trim(), level)
}

/// Whether any of adit's own lines can pass by it; `off` is a word, too.
fn is_about_adit(directive: &str) -> bool {
    let (target, _) = parts(directive);
    is_level(directive) || target.is_empty() && !directive.is_empty() || target.starts_with("adit")
}

fn is_level(word: &str) -> bool {
    // tracing's own reading takes nothing for `error`.
    !word.is_empty() && word.parse::<LevelFilter>().is_ok()
}

fn is_of_names(letter: char) -> bool {
    letter.is_alphanumeric() || "_-:.".contains(letter)
}

fn is_name_of_module(word: &str) -> bool {
    word.contains("::") || CRATES.contains(&word)
}

fn name_of_crate(target: &str) -> &str {
    target.split("::").next().unwrap_or(target)
}

/// The level that a word begins with, or begins: `warning`, `err`.
fn near(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let is_near =
        |level: &&&str| word.len() > 2 && (word.starts_with(**level) || level.starts_with(&word));
    LEVELS.iter().find(is_near).copied()
}

fn perhaps(level: Option<&str>) -> String {
    level.map_or_else(String::new, |level| format!("did you mean `{level}`? "))
}

/// It may be anything, and goes to terminals.
fn shown(text: &str) -> String {
    let shown = text.chars().filter(|letter| !letter.is_control());
    shown.take(MOST_LETTERS).collect()
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What to write instead.
const SAY: &str = "write one of off, error, warn, info, debug, trace, or levels by module such as `info,adit_relay=debug`";

/// Whose lines there are.
const CRATES: [&str; 11] = [
    "adit",
    "adit_agent",
    "adit_authority",
    "adit_exchange",
    "adit_identity",
    "adit_mux",
    "adit_otlp",
    "adit_process",
    "adit_proto",
    "adit_relay",
    "adit_tunnel",
];

/// Longer than any module's name.
const MOST_LETTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        text.parse::<Filter>().unwrap_err().to_string()
    }

    #[test]
    fn levels_alone_and_by_module_are_taken() {
        for text in [
            "info",
            "WARN",
            "off",
            "0",
            "info,adit_relay=debug",
            "adit_relay::front_door=trace",
            "adit=debug",
            "info,",
            "info,h2=off",
            "warn,adit_relay[request{http.method=\"GET\"}]=debug",
            "[request{a=1}]=trace",
        ] {
            assert_eq!(text.parse::<Filter>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn blanks_beside_commas_mean_nothing() {
        let filter: Filter = " info, adit_relay=debug ".parse().unwrap();
        assert_eq!(filter.to_string(), "info,adit_relay=debug");
    }

    #[test]
    fn what_would_silence_all_is_told_with_what_was_meant() {
        for (text, expected) in [
            ("", "is empty"),
            ("  ", "is empty"),
            (",", "is empty"),
            ("warning", "`warning` is no level: did you mean `warn`?"),
            ("err", "did you mean `error`?"),
            ("verbose", "`verbose` is no level: write one of off, error"),
            ("loud", "`loud` is no level"),
            ("info,adit_relay=loud", "`loud` is no level"),
            ("adit_relay=", "`` is no level"),
            ("adit_relay", "`adit_relay` has no level"),
            ("adit_relay::route", "has no level"),
            ("info,[request]", "`[request]` has no level"),
            ("adit_relay:debug", "`adit_relay:debug` has a single `:`"),
            ("info,adit_relya=debug", "`adit_relya` is no module of adit"),
            ("info,adit-relay=debug", "`adit-relay` is no module of adit"),
            ("h2=debug", "nothing of adit's own"),
            ("info,h2[=debug", "has no level"),
            ("info;adit_relay=debug", "is no log filter: write"),
            ("info adit_relay=debug", "is no log filter: write"),
            ("info,adit_relay = debug", "is no log filter: write"),
            ("inf\u{1b}[31mo", "`inf[31mo` is no log filter"),
        ] {
            let told = told(text);
            assert!(told.contains(expected), "{text}: {told}");
        }
    }

    #[test]
    fn every_crate_is_known() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.replace('-', "_"))
            .collect();
        names.sort();
        assert_eq!(names, CRATES);
    }
}
