//! Draws the last hour as lines, in SVG. Nothing but numbers reaches a path, so nothing in it needs an escape.

use std::fmt::Write as _;

use super::super::{History, spoken};

/// A picture of a few lines with one scale, which begins at nothing.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) title: &'static str,
    /// What the upper edge is.
    pub(super) top: String,
    pub(super) lines: Vec<Line>,
}

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    /// Its colour's name in the style sheet.
    pub(super) class: &'static str,
    pub(super) label: &'static str,
    /// The last value.
    pub(super) now: String,
    pub(super) path: String,
}

type Values = Vec<Option<f64>>;

/// All of them.
pub(super) fn of(history: &History) -> [Picture; 3] {
    let every = history.every.max(1) as f64;
    let rate = |counts: &[u64]| -> Values {
        let rate = |count: &u64| Some(*count as f64 / every);
        counts.iter().map(rate).collect()
    };
    let per_second = |rate: f64| format!("{rate:.1} /s");
    let bytes = |rate: f64| format!("{}/s", spoken::size(rate));
    let millis = |took: f64| spoken::millis(Some(took));
    [
        picture(
            "Requests",
            [
                ("one", "answered", rate(&history.answered)),
                ("two", "refused", rate(&history.refused)),
                ("three", "cancelled", rate(&history.cancelled)),
            ],
            per_second,
        ),
        picture(
            "Time to an answer",
            [
                ("one", "half of them within", history.median_ms.clone()),
                ("two", "99 of 100 within", history.p99_ms.clone()),
            ],
            millis,
        ),
        picture(
            "Bytes",
            [
                ("one", "to callers", rate(&history.answer_bytes)),
                ("three", "from callers", rate(&history.request_bytes)),
            ],
            bytes,
        ),
    ]
}

fn picture<const LINES: usize>(
    title: &'static str,
    lines: [(&'static str, &'static str, Values); LINES],
    told: impl Fn(f64) -> String,
) -> Picture {
    let values = lines.iter().flat_map(|(.., values)| values).flatten();
    let top = round_up(values.copied().fold(1.0, f64::max));
    let line = |(class, label, values): (_, _, Values)| Line {
        class,
        label,
        now: values
            .last()
            .copied()
            .flatten()
            .map_or_else(|| "-".to_owned(), &told),
        path: path(&values, top),
    };
    Picture {
        title,
        top: told(top),
        lines: lines.map(line).into(),
    }
}

/// The next of 1, 2, 5, 10, 20...
fn round_up(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * power);
    let reached = steps.into_iter().find(|step| most <= *step);
    reached.unwrap_or(10.0 * power)
}

/// One unit for each value, the last at the right edge; the line breaks off where there is none.
fn path(values: &[Option<f64>], top: f64) -> String {
    let mut path = String::new();
    let left = WIDTH.saturating_sub(values.len());
    let mut is_drawn = false;
    for (place, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawn = false;
            continue;
        };
        let (x, y) = (left + place, HEIGHT - value / top * HEIGHT);
        // A lone value is a point: a line to where it is.
        let step = if is_drawn { "L" } else { "M" };
        write!(path, "{step}{x} {y:.1}").expect("a string takes all");
        if !is_drawn {
            path.push_str("h0");
        }
        is_drawn = true;
    }
    path
}

/// As many as an hour has values; the drawing in the template is as wide, and as high as [`HEIGHT`].
const WIDTH: usize = 360;
const HEIGHT: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_ends_at_a_round_number() {
        for (most, top) in [
            (1.0, 1.0),
            (1.1, 2.0),
            (3.0, 5.0),
            (7.0, 10.0),
            (120.0, 200.0),
        ] {
            assert_eq!(round_up(most), top, "{most}");
        }
    }

    #[test]
    fn line_ends_at_the_right_and_breaks_off_where_nothing_was_measured() {
        let values = [Some(1.0), Some(0.0), None, Some(0.5)];
        assert_eq!(path(&values, 1.0), "M356 0.0h0L357 100.0M359 50.0h0");
        assert_eq!(path(&[], 1.0), "");
    }
}
