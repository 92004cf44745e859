//! Decides how a process logs: what passes, in which form, and always to standard error.

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not one of tracing's directives.
    #[error("bad log filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something set up logging already.
    #[error("logging is set up already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Logs what `filter` (such as `info,adit_relay=debug`) lets pass.
///
/// # Errors
/// When the filter is wrong, or logging is set up already.
pub fn init(filter: &str, format: Format) -> Result<(), LoggingError> {
    let _ = (filter, format);
    todo!()
}
