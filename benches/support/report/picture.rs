//! The picture for the README: adit beside the pairs of proxies, a bar each, the nghttpx pair's being as long as the mark at 1.

use super::{Better, Measure, Sheet};
use crate::path::{ADIT, HAPROXY, NGHTTPX};

/// Who has a bar, and its colour: legible on white and on black.
const BARS: [(&str, &str); 3] = [
    (NGHTTPX, "#8c959f"),
    (HAPROXY, "#bf8700"),
    (ADIT, "#0969da"),
];
const WIDTH: f64 = 760.0;
/// Where bars begin: what is left of it is for the rows' names.
const LEFT: f64 = 330.0;
/// How long a bar of 1 is.
const UNIT: f64 = 200.0;
const BAR: f64 = 12.0;
const GAP: f64 = 14.0;
const TOP: f64 = 44.0;

/// Rows in which adit stands beside the nghttpx pair.
#[must_use]
pub fn svg(sheet: &Sheet) -> String {
    let is_shown = |one: &&Measure| one.ratio(ADIT, NGHTTPX).is_some_and(f64::is_finite);
    let rows: Vec<_> = sheet.measures().iter().filter(is_shown).collect();
    let high = TOP + rows.len() as f64 * (BAR * BARS.len() as f64 + GAP);
    let drawn = rows.iter().enumerate().map(|(at, row)| draw(at, row));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{high}\" viewBox=\"0 0 {WIDTH} {high}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#7d8590\">\n{}{}{}</svg>\n",
        legend(),
        drawn.collect::<String>(),
        mark(high)
    )
}

fn legend() -> String {
    let place = |(at, (name, colour)): (usize, &(&str, &str))| {
        let x = LEFT + 120.0 * at as f64;
        format!(
            "<rect x=\"{x}\" y=\"8\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"18\">{name}</text>\n",
            x + 18.0
        )
    };
    BARS.iter().enumerate().map(place).collect()
}

fn mark(high: f64) -> String {
    let x = LEFT + UNIT;
    format!(
        "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{high}\" stroke=\"#7d8590\" stroke-dasharray=\"2 3\"/>\n\
         <text x=\"{x}\" y=\"36\" text-anchor=\"middle\">1</text>\n",
        TOP - 4.0
    )
}

fn draw(at: usize, measure: &Measure) -> String {
    let top = TOP + at as f64 * (BAR * BARS.len() as f64 + GAP);
    let better = match measure.row.better {
        Better::Less => "less is better",
        Better::More => "more is better",
    };
    let name = format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n<text x=\"{0}\" y=\"{}\" text-anchor=\"end\" font-size=\"9\">{better}</text>\n",
        LEFT - 10.0,
        top + BAR,
        escape(&measure.row.name),
        top + 2.0 * BAR,
    );
    let bar = |(at, (name, colour)): (usize, &(&str, &str))| {
        let ratio = measure.ratio(name, NGHTTPX)?;
        let y = top + BAR * at as f64;
        // What runs out of the picture has its number all the same.
        let long = (ratio * UNIT).min(WIDTH - LEFT - 40.0);
        Some(format!(
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{long:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\" font-size=\"9\">{ratio:.2}</text>\n",
            BAR - 2.0,
            LEFT + long + 4.0,
            y + BAR - 3.0
        ))
    };
    name + &BARS.iter().enumerate().filter_map(bar).collect::<String>()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Row;

    #[test]
    fn a_row_has_a_bar_for_each_who_ran_and_none_without_the_peer() {
        let mut sheet = Sheet::default();
        let (both, alone) = (Row::cost("a < b", "us"), Row::cost("alone", "us"));
        sheet.add(&both, NGHTTPX, 4.0);
        sheet.add(&both, ADIT, 2.0);
        sheet.add(&alone, ADIT, 2.0);
        let svg = svg(&sheet);
        assert!(svg.contains("a &lt; b") && !svg.contains("alone"), "{svg}");
        // Two bars and three of the legend.
        assert_eq!(svg.matches("<rect").count(), 5, "{svg}");
        assert!(svg.contains(">0.50<"), "{svg}");
    }
}
