//! What is found in an agent's file, each with its place.

use std::fmt;

use adit_identity::mistakes::Key;

use super::Place;

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Line and column.
    pub place: Place,
    /// The key there.
    pub key: Key,
    /// What, in a line, lower case, no full stop.
    pub what: String,
}

/// `line:column: key: what`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.key, self.what)
    }
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong: the file cannot be used.
    pub mistakes: Vec<Finding>,
    /// What is odd: it can be used, and may not mean what was meant.
    pub warnings: Vec<Finding>,
}

impl Findings {
    pub(super) fn mistake(&mut self, place: Place, key: &Key, what: impl fmt::Display) {
        self.mistakes.push(Finding::new(place, key, &what));
    }

    pub(super) fn warning(&mut self, place: Place, key: &Key, what: impl fmt::Display) {
        self.warnings.push(Finding::new(place, key, &what));
    }
}

impl Finding {
    fn new(place: Place, key: &Key, what: &dyn fmt::Display) -> Self {
        Self {
            place,
            key: key.clone(),
            what: what.to_string(),
        }
    }
}
