use std::path::PathBuf;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    count: Option<u64>,
    flag: bool,
    file: Option<PathBuf>,
    limits: Limits,
    part: Option<Limits>,
    entries: Vec<Entry>,
    kind: Option<Kind>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    most: Option<u64>,
    share: Option<f64>,
    wait: Option<String>,
    names: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: u64,
    #[expect(dead_code, reason = "it is there to be missing")]
    name: String,
    #[serde(default)]
    kinds: Vec<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    One,
    Other,
}

fn told(text: &str) -> Vec<String> {
    let told = from_yaml::<File>(text).unwrap_err().to_string();
    assert!(!told.contains("s3cret"), "{told}");
    told.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_right_is_read() {
    let text = "count: 7\nflag: true\nfile: 0123\nkind: other\nlimits: {wait: 10, names: [a, 2]}\n\
                part: {share: .5}\nentries:\n- {id: 1, name: yes, kinds: [one]}\n";
    let file = from_yaml::<File>(text).unwrap();
    assert_eq!(file.count, Some(7));
    assert!(file.flag);
    assert_eq!(file.file.unwrap().to_str(), Some("0123"));
    assert_eq!(file.kind, Some(Kind::Other));
    assert_eq!(file.limits.wait.as_deref(), Some("10"));
    assert_eq!(file.limits.names.unwrap(), ["a", "2"]);
    assert_eq!(file.limits.most, None);
    assert_eq!(file.part.unwrap().share, Some(0.5));
    assert_eq!(file.entries[0].id, 1);
    assert_eq!(file.entries[0].kinds, [Kind::One]);
}

#[test]
fn every_value_of_another_type_is_told_at_once_with_its_key() {
    let text = "count: s3cret\nflag: maybe-s3cret\nfile: [s3cret]\nkind: s3cret\n\
                limits:\n  most: 10s\n  share: s3cret\n  names: s3cret\npart: {most: -1, wait: {s3cret: 1}}\n\
                entries:\n- {id: 1, name: a}\n- {id: s3cret, name: a}\n- {id: 1, name: a, kinds: [one, s3cret]}\n";
    assert_eq!(
        told(text),
        [
            "count: must be a whole number, 0 or more, without a unit (line 1, column 8)",
            "flag: must be true or false (line 2, column 7)",
            "file: must be one value: a text, neither a list nor a section (line 3, column 7)",
            "kind: must be one of one, other (line 4, column 7)",
            "limits.most: must be a whole number, 0 or more, without a unit (line 6, column 9)",
            "limits.share: must be a number (line 7, column 10)",
            "limits.names: must be a list, `[a, b]` or a line with `- ` for each (line 8, column 10)",
            "part.most: must be a whole number, 0 or more, without a unit (line 9, column 14)",
            "part.wait: must be one value: a text, neither a list nor a section (line 9, column 24)",
            "entries[1].id: must be a whole number, 0 or more, without a unit (line 12, column 8)",
            "entries[2].kinds[1]: must be one of one, other (line 13, column 33)",
        ]
    );
}

#[test]
fn what_is_no_section_or_list_is_told_so() {
    let section = "a section with keys of its own, `key: value`";
    for (text, expected) in [
        ("limits: s3cret\n", format!("limits: must be {section}")),
        ("limits: [s3cret]\n", format!("limits: must be {section}")),
        ("entries: yes\n", "entries: must be a list".to_owned()),
        (
            "entries: [s3cret]\n",
            format!("entries[0]: must be {section}"),
        ),
        ("kind: [s3cret]\n", "kind: must be one value".to_owned()),
        ("- s3cret\n", format!("(file): must be {section}")),
    ] {
        let told = told(text);
        assert!(told[0].starts_with(&expected), "{text}: {told:?}");
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

#[test]
fn keys_that_are_unknown_missing_or_there_twice_are_told_beside_others() {
    let text = "conut: 1\nflag: 1\nentries:\n- {id: 1}\n- {id: 1, name: a, nmae: b}\nlimits: {most: 1, most: 2}\n";
    let told = told(text);
    let keys: Vec<_> = told
        .iter()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let expected = [
        "conut",
        "flag",
        "entries[0].name",
        "entries[1].nmae",
        "limits.most",
    ];
    assert_eq!(keys, expected, "{told:?}");
    assert!(
        told[0].contains("no such key; here may be count, flag, file"),
        "{told:?}"
    );
    assert!(told[2].contains("name: needed"), "{told:?}");
}

#[test]
fn key_without_a_value_is_a_mistake_and_none_that_is_absent() {
    let text = "count:\nfile: ~\nflag: null\nkind: !!null x\nlimits:\n  names:\n  most: # nothing\npart:\n\
                entries:\n- {id: 1, name: , kinds: [null]}\n-\n";
    let told = told(text);
    let keys = told.iter().map(|line| {
        let (key, what) = line.split_once(": ").unwrap();
        assert!(what.starts_with("has no value: "), "{line}");
        key
    });
    let expected = [
        "count",
        "file",
        "flag",
        "kind",
        "limits.names",
        "limits.most",
        "part",
        "entries[0].name",
        "entries[0].kinds[0]",
        "entries[1]",
    ];
    assert_eq!(keys.collect::<Vec<_>>(), expected, "{told:?}");
    assert!(told[4].ends_with("(line 6, column 8)"), "{told:?}");
    let other = from_yaml::<File>("flag: 1\nlimits:\n")
        .unwrap_err()
        .to_string();
    assert!(other.contains("flag: must be true or false"), "{other}");
    assert!(other.contains("limits: has no value"), "{other}");
}

#[test]
fn what_is_empty_on_purpose_has_a_value() {
    let file = from_yaml::<File>("limits: {names: [], wait: ''}\npart: {}\nentries: []\n").unwrap();
    assert_eq!(file.limits.names.as_deref(), Some(&[][..]));
    assert_eq!(file.limits.wait.as_deref(), Some(""));
    assert!(file.part.is_some());
}

#[test]
fn what_is_no_yaml_is_told_once_with_its_place() {
    let told = told("count: x\nlimits: {most: 1,\n");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("count: "), "{told:?}");
    assert!(
        told[1].starts_with("(file): ") && told[1].contains("line"),
        "{told:?}"
    );
}

#[test]
fn a_file_full_of_mistakes_is_not_told_without_end() {
    let text: String = (0..1000).map(|at| format!("key{at}: 1\n")).collect();
    assert_eq!(told(&text).len(), MOST);
}
