//! Counts what test binaries say of themselves, and the skips that tests note (see `crate::skip`).

use std::fs;
use std::path::Path;

use crate::skip;

/// What passed, what failed by name, what was skipped and why, and what nobody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: Vec<String>,
    pub(super) skipped: Vec<String>,
    pub(super) left_out: Vec<String>,
}

impl Tally {
    /// Adds what a binary printed, in libtest's words or in those of a bench that runs once, and what it noted as skipped. False when
    /// it printed no result at all.
    #[must_use]
    pub(super) fn add(&mut self, binary: &str, printed: &str, skips: &Path) -> bool {
        let noted = fs::read_to_string(skips).unwrap_or_default();
        let mut skips = Vec::new();
        for line in noted.lines() {
            match line.strip_prefix(skip::LEFT_OUT) {
                Some(left_out) => self.left_out.push(format!("{binary}: {left_out}")),
                None => skips.push(format!("{binary}: {line}")),
            }
        }
        let Some(result) = printed
            .lines()
            .rev()
            .find(|line| line.starts_with("test result:"))
        else {
            let benches = printed.lines().filter(|line| *line == "Success").count();
            self.passed += benches;
            return benches > 0;
        };
        // A test that skipped itself: a harness of ours counts it as ignored, libtest takes it for passed.
        let ignored = counted(result, "ignored");
        let taken_for_passed = skips.len().saturating_sub(ignored);
        self.passed += counted(result, "passed").saturating_sub(taken_for_passed);
        let untold = ignored.saturating_sub(skips.len());
        self.skipped
            .extend((0..untold).map(|_| format!("{binary}: an ignored test")));
        self.skipped.extend(skips);
        let failed = printed
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        self.failed
            .extend(failed.map(|test| format!("{binary}: {test}")));
        true
    }
}

/// The number before a word, as in `12 passed`.
fn counted(result: &str, word: &str) -> usize {
    let before = result.split(word).next().unwrap_or_default();
    let number = before.split_whitespace().next_back();
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
running 4 tests
test one ... ok
test two ... FAILED
test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s
";
    const NONE_IGNORED: &str =
        "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";

    #[test]
    fn a_binarys_words_are_counted() {
        let mut tally = Tally::default();
        assert!(tally.add("unit", PRINTED, Path::new("/nonexistent")));
        assert_eq!((tally.passed, tally.skipped.len()), (3, 2));
        assert_eq!(tally.failed, ["unit: two"]);
    }

    #[test]
    fn a_skip_does_not_count_as_passed() {
        let tally = with_a_skip(NONE_IGNORED);
        assert_eq!(tally.passed, 2);
        assert_eq!(tally.skipped, ["unit: three: no root"]);
    }

    #[test]
    fn a_skip_that_the_harness_saw_counts_once() {
        let tally = with_a_skip(PRINTED);
        assert_eq!(tally.passed, 3);
        assert_eq!(
            tally.skipped,
            ["unit: an ignored test", "unit: three: no root"]
        );
    }

    #[test]
    fn what_nobody_asked_for_is_neither_passed_nor_skipped() {
        let noted = tempfile::NamedTempFile::new().unwrap();
        fs::write(noted.path(), "left out all: no GITLAB\n").unwrap();
        let mut tally = Tally::default();
        let printed = "test result: ok. 0 passed; 0 failed; 0 ignored\n";
        assert!(tally.add("unit", printed, noted.path()));
        assert_eq!((tally.passed, tally.skipped.len()), (0, 0));
        assert_eq!(tally.left_out, ["unit: all: no GITLAB"]);
    }

    fn with_a_skip(printed: &str) -> Tally {
        let skips = tempfile::NamedTempFile::new().unwrap();
        fs::write(skips.path(), "three: no root\n").unwrap();
        let mut tally = Tally::default();
        assert!(tally.add("unit", printed, skips.path()));
        tally
    }

    #[test]
    fn a_bench_that_ran_once_is_a_test_that_passed() {
        let mut tally = Tally::default();
        let printed =
            "Testing mux/streams=1/upload\nSuccess\n\nTesting mux/streams=100/upload\nSuccess\n";
        assert!(tally.add("mux", printed, Path::new("/nonexistent")));
        assert_eq!((tally.passed, tally.failed.len()), (2, 0));
    }

    #[test]
    fn a_binary_that_says_nothing_is_no_success() {
        assert!(!Tally::default().add("unit", "Segmentation fault\n", Path::new("/nonexistent")));
    }
}
