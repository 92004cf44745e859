//! Tests that the documents name as proof of what they say: there are such tests.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::{document, programs, section, section_with_those_below};

/// What is run as a test anywhere in the repository, and the file that has it.
pub(super) fn tests() -> BTreeMap<String, PathBuf> {
    let mut tests = BTreeMap::new();
    for folder in ["crates", "tests", "xtask"] {
        for file in programs(folder) {
            let mut is_attributed = false;
            let text = fs::read_to_string(&file).unwrap();
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_attributed = true;
                } else if let Some((name, rest)) = function(line) {
                    // Those of the cluster are no functions of libtest's.
                    if is_attributed || rest.starts_with("world: &World") {
                        tests.insert(name.to_owned(), file.clone());
                    }
                    is_attributed = false;
                }
            }
        }
    }
    tests
}

/// Its name, and what follows the bracket.
fn function(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split_once('(')
}

/// The words between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_threat_is_met_by_tests_that_there_are() {
    let page = document("security.md");
    let tests = tests();
    let rows = section_with_those_below(&page, "## Threats").lines();
    let rows = rows.filter(|line| line.starts_with("| ") && !line.starts_with("| Could try |"));
    let mut count = 0;
    for row in rows {
        let (_, proofs) = row.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        assert!(proofs.contains('`'), "nothing proves {row}");
        for name in quoted(proofs) {
            assert!(tests.contains_key(name), "there is no test {name}: {row}");
        }
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn upgrades_are_proved_by_tests_that_there_are() {
    let (page, tests) = (document("upgrade.md"), tests());
    let names: Vec<_> = quoted(section(&page, "## What proves it")).collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(tests.contains_key(name), "there is no test {name}");
    }
}
