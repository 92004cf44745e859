//! The two tables, in Markdown: everybody's medians, and adit's figures beside what they are to be.

use super::{Beside, Goal, Measure, Sheet, Verdict};
use crate::path::ADIT;

/// Medians, and in brackets their ratios to the first contender.
#[must_use]
pub fn medians(sheet: &Sheet, contenders: &[&str]) -> String {
    let heads = contenders.iter().map(|name| format!(" {name} |"));
    let mut table = format!(
        "| Measure |{}\n|---|{}\n",
        heads.collect::<String>(),
        "---|".repeat(contenders.len())
    );
    let first = contenders.first().copied().unwrap_or_default();
    for measure in sheet.measures() {
        let cell = |name: &&str| match (measure.median(name), measure.ratio(name, first)) {
            (Some(median), Some(ratio)) if *name != first => {
                format!(" {} ({ratio:.2}) |", number(median))
            }
            (Some(median), _) => format!(" {} |", number(median)),
            (None, _) => " - |".to_owned(),
        };
        let cells = contenders.iter().map(cell).collect::<String>();
        table += &format!("| {}, {} |{cells}\n", measure.row.name, measure.row.unit);
    }
    table
}

/// Each goal: the peer's median and adit's, what is judged, what it must be, the aim, and the verdict; then how many are reached.
#[must_use]
pub fn goals(sheet: &Sheet) -> String {
    let measures = sheet.measures().iter();
    let all: Vec<_> = measures
        .flat_map(|measure| measure.row.goals.iter().map(move |goal| (measure, goal)))
        .collect();
    let lines = all.iter().map(|(measure, goal)| line(measure, goal));
    let count = |verdict| {
        let judged = all.iter().map(|(measure, goal)| goal.judge(measure, ADIT));
        judged.filter(|one| *one == verdict).count()
    };
    format!(
        "{HEAD}{}\nOf {}: {} reach the aim, {} what they must, {} miss it, {} without a figure.",
        lines.collect::<String>(),
        all.len(),
        count(Verdict::Aim),
        count(Verdict::Must),
        count(Verdict::Missed),
        count(Verdict::Unknown)
    )
}

const HEAD: &str = "| Measure | Peer | adit | Judged | Must | Aim | Verdict |
|---|---|---|---|---|---|---|
";

fn line(measure: &Measure, goal: &Goal) -> String {
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    let peer = match goal.beside {
        Beside::Nobody => String::new(),
        Beside::One(peer) => format!("{peer}: {}", shown(goal.peer(measure))),
        Beside::BetterPair => format!("better pair: {}", shown(goal.peer(measure))),
    };
    let cells = [
        format!("{}, {}", measure.row.name, measure.row.unit),
        peer,
        shown(measure.median(ADIT)),
        shown(goal.figure(measure, ADIT)),
        number(goal.must),
        number(goal.aim),
        goal.judge(measure, ADIT).to_string(),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1000.0 || value == 0.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}
