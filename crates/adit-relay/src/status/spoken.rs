//! How times and amounts are told to people, on the page and at a terminal.

/// Two units at most: `1m15s`.
#[must_use]
pub fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// Three digits or so: `20 KiB`.
#[must_use]
pub fn size(bytes: f64) -> String {
    let mut whole = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if whole < 10_000.0 {
            return format!("{whole:.0} {unit}");
        }
        whole /= 1024.0;
    }
    format!("{whole:.0} TiB")
}

/// `1.3 ms`, or `-` for what was not measured.
#[must_use]
pub fn millis(took: Option<f64>) -> String {
    took.map_or_else(|| "-".to_owned(), |took| format!("{took:.1} ms"))
}
