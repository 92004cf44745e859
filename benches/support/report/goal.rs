//! What a row must be, and whether it is.

use std::fmt;

use serde::Serialize;

use super::{Better, Measure};

/// What adit's figure is held against.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Goal {
    pub beside: Beside,
    pub must: f64,
    pub aim: f64,
}

/// Beside whom: the figure is the ratio to theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Beside {
    /// The row as it is.
    Nobody,
    /// A contender by its name.
    One(&'static str),
    /// Whichever pair of proxies does better.
    BetterPair,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Aim,
    Must,
    Missed,
    /// It was not measured, or nobody was beside.
    Unknown,
}

impl Goal {
    /// Whom the contender is held against, in the row's unit.
    #[must_use]
    pub fn peer(&self, measure: &Measure) -> Option<f64> {
        match self.beside {
            Beside::Nobody => None,
            Beside::One(peer) => measure.median(peer),
            Beside::BetterPair => measure.better_pair(),
        }
    }

    /// What is judged.
    #[must_use]
    pub fn figure(&self, measure: &Measure, contender: &str) -> Option<f64> {
        let median = measure.median(contender)?;
        match self.beside {
            Beside::Nobody => Some(median),
            Beside::One(_) | Beside::BetterPair => Some(median / self.peer(measure)?),
        }
    }

    #[must_use]
    pub fn judge(&self, measure: &Measure, contender: &str) -> Verdict {
        let Some(figure) = self.figure(measure, contender) else {
            return Verdict::Unknown;
        };
        let reaches = |mark: f64| match measure.row.better {
            Better::Less => figure <= mark,
            Better::More => figure >= mark,
        };
        match (reaches(self.aim), reaches(self.must)) {
            (true, _) => Verdict::Aim,
            (false, true) => Verdict::Must,
            (false, false) => Verdict::Missed,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aim => "aim",
            Self::Must => "must",
            Self::Missed => "**missed**",
            Self::Unknown => "no figure",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        path::{ADIT, HAPROXY, NGHTTPX},
        report::{Row, Sheet},
    };

    /// What becomes of a row with these medians: of the nghttpx pair, of the HAProxy pair, of adit.
    fn verdict(row: &Row, medians: [f64; 3]) -> Verdict {
        let mut sheet = Sheet::default();
        for (contender, median) in [NGHTTPX, HAPROXY, ADIT].into_iter().zip(medians) {
            sheet.add(row, contender, median);
        }
        let measure = &sheet.measures()[0];
        row.goals[0].judge(measure, ADIT)
    }

    #[test]
    fn costs_are_to_be_small_and_gains_large() {
        let cost = Row::cost("cost", "us").must(Beside::One(NGHTTPX), 0.75, 0.55);
        assert_eq!(verdict(&cost, [100.0, 1.0, 55.0]), Verdict::Aim);
        assert_eq!(verdict(&cost, [100.0, 1.0, 75.0]), Verdict::Must);
        assert_eq!(verdict(&cost, [100.0, 1.0, 76.0]), Verdict::Missed);
        let gain = Row::gain("gain", "1/s").must(Beside::One(NGHTTPX), 1.3, 1.7);
        assert_eq!(verdict(&gain, [100.0, 999.0, 170.0]), Verdict::Aim);
        assert_eq!(verdict(&gain, [100.0, 999.0, 130.0]), Verdict::Must);
        assert_eq!(verdict(&gain, [100.0, 999.0, 129.0]), Verdict::Missed);
    }

    #[test]
    fn the_better_pair_is_the_one_that_costs_less_or_gains_more() {
        let cost = Row::cost("cost", "s").must(Beside::BetterPair, 0.9, 0.75);
        assert_eq!(verdict(&cost, [100.0, 50.0, 45.0]), Verdict::Must);
        let gain = Row::gain("gain", "MB/s").must(Beside::BetterPair, 1.0, 2.0);
        assert_eq!(verdict(&gain, [100.0, 50.0, 50.0]), Verdict::Missed);
    }

    #[test]
    fn a_row_beside_nobody_is_judged_as_it_is() {
        let row = Row::cost("row", "times").must(Beside::Nobody, 3.0, 1.5);
        assert_eq!(verdict(&row, [1.0, 1.0, 2.0]), Verdict::Must);
    }

    #[test]
    fn what_nobody_ran_beside_is_not_judged() {
        let row = Row::cost("row", "us").must(Beside::One(NGHTTPX), 1.0, 0.5);
        let mut sheet = Sheet::default();
        sheet.add(&row, ADIT, 1.0);
        let verdict = row.goals[0].judge(&sheet.measures()[0], ADIT);
        assert_eq!(verdict, Verdict::Unknown);
    }
}
