//! Writes the tables of keys into a document, which has the rest of its text from people: each in the place of the one that is there, with
//! the keys of the sections that the heading above it names, or a line `Keys of`. A key stands in the table of the nearest section.

use std::fmt::Write as _;

use super::path::Path;

const HEAD: &str =
    "| Key | Takes | Default | A change holds | What, and why so |\n|---|---|---|---|---|\n";

/// What follows a key in its row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its section is none without it, whatever stands elsewhere.
    pub(super) is_needed: bool,
    pub(super) takes: String,
    pub(super) default: String,
    /// When a change of it does.
    pub(super) holds: String,
    pub(super) what: String,
}

/// The document with its tables as they should be. Keys keep the order of `rows`.
pub(super) fn written(document: &str, rows: &[(Path, Row)]) -> String {
    let tables = tables(document);
    let mut missing: Vec<_> = rows.iter().map(|(path, _)| path).collect();
    let mut text = String::new();
    let mut lines = document.lines().peekable();
    let mut sections = tables.iter();
    while let Some(line) = lines.next() {
        if !line.starts_with("| Key |") {
            text.push_str(line);
            text.push('\n');
            continue;
        }
        while lines.next_if(|line| line.starts_with('|')).is_some() {}
        let own = sections.next().expect("one for each table");
        text.push_str(HEAD);
        for (path, row) in rows
            .iter()
            .filter(|(path, _)| table_of(path, rows, &tables) == Some(own))
        {
            missing.retain(|one| *one != path);
            if let Some(key) = path.within(&own[0]) {
                let Row {
                    takes,
                    default,
                    holds,
                    what,
                    ..
                } = row;
                writeln!(text, "| `{key}` | {takes} | {default} | {holds} | {what} |").unwrap();
            } else {
                let is_there = text.contains(&format!("| {} |", row.what));
                assert!(is_there, "{path:?} means something else in {own:?}");
            }
        }
    }
    assert!(missing.is_empty(), "there is no table for {missing:#?}");
    text
}

/// The sections of each table.
fn tables(document: &str) -> Vec<Vec<Path>> {
    let mut sections = Vec::new();
    let mut found = Vec::new();
    for line in document.lines() {
        if line.starts_with('#') || line.starts_with("Keys of ") {
            let quoted = line.split('`').skip(1).step_by(2);
            sections = quoted.map(|name| Path(name.to_owned())).collect();
            if sections.is_empty() {
                sections.push(Path::file());
            }
        } else if line.starts_with("| Key |") {
            found.push(sections.clone());
        }
    }
    found
}

/// That whose section is nearest; one of several sections only if all of them have such a key.
fn table_of<'a>(
    path: &Path,
    rows: &[(Path, Row)],
    tables: &'a [Vec<Path>],
) -> Option<&'a Vec<Path>> {
    let is_there = |path: &Path| rows.iter().any(|(there, _)| there == path);
    let of = |sections: &&Vec<Path>| {
        let key = sections
            .iter()
            .find_map(|section| Some((section, path.within(section)?)));
        key.is_some_and(|(section, key)| {
            section == path || sections.iter().all(|section| is_there(&section.below(key)))
        })
    };
    let depth = |sections: &&Vec<Path>| sections.iter().map(|section| section.0.len()).max();
    tables.iter().filter(of).max_by_key(depth)
}
