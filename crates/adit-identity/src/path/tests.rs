use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> FullPath {
    text.parse().unwrap()
}

/// As whoever decides by it asks.
fn is_within(project: &FullPath, group: &FullPath) -> bool {
    project.ancestors().any(|ancestor| ancestor == *group)
}

#[test]
fn a_group_covers_its_subgroups_and_their_projects() {
    assert!(is_within(&path("group/app"), &path("group")));
    assert!(is_within(&path("group/sub/app"), &path("group")));
    assert!(is_within(&path("Group/Sub/app"), &path("gROUP/sub")));
}

#[test]
fn a_group_covers_neither_itself_nor_a_longer_name() {
    assert!(!is_within(&path("group"), &path("group")));
    assert!(!is_within(&path("groups/app"), &path("group")));
    assert!(!is_within(&path("group-2/app"), &path("group")));
    assert!(!is_within(&path("group/subway/app"), &path("group/sub")));
    assert!(!is_within(&path("other/group/app"), &path("group")));
}

#[test]
fn equality_and_hash_ignore_case() {
    let set: HashSet<_> = [path("Group/App"), path("group/app")].into();
    assert_eq!(set.len(), 1);
    assert_eq!(path("Group/App").to_string(), "Group/App");
}

#[test]
fn ancestors_come_nearest_first() {
    let ancestors: Vec<_> = path("a/b/c")
        .ancestors()
        .map(|path| path.to_string())
        .collect();
    assert_eq!(ancestors, ["a/b", "a"]);
    assert_eq!(path("a/b/c").root().to_string(), "a");
    assert_eq!(path("a").root().to_string(), "a");
    assert_eq!(path("a").ancestors().count(), 0);
}

#[test]
fn odd_texts_are_no_paths() {
    for text in ["", "/", "/a", "a/", "a//b", ".", "a/..", "a/./b"] {
        assert_eq!(text.parse::<FullPath>(), Err(BadPath::Segment), "{text:?}");
    }
    for text in ["a b", "a/b*", "a%2Fb", "ä", "a\\b", "a\n", "group:name"] {
        assert_eq!(
            text.parse::<FullPath>(),
            Err(BadPath::Character),
            "{text:?}"
        );
    }
    assert_eq!("a".repeat(4097).parse::<FullPath>(), Err(BadPath::TooLong));
}

#[test]
fn a_project_stands_in_a_namespace() {
    assert_eq!(FullPath::of_project("group/app"), Ok(path("group/app")));
    assert_eq!(FullPath::of_project("app"), Err(BadPath::Alone));
    assert_eq!(FullPath::of_project("/app"), Err(BadPath::Segment));
}

fn segments() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-cA-C]{1,2}", 1..5)
}

proptest! {
    // The definition, said with vectors instead of bytes: a strict prefix of segments.
    #[test]
    fn within_means_a_strict_prefix_of_segments(inner in segments(), outer in segments()) {
        let lower = |path: &[String]| path.iter().map(|s| s.to_ascii_lowercase()).collect::<Vec<_>>();
        let (below, above) = (lower(&inner), lower(&outer));
        let expected = below.len() > above.len() && below.starts_with(&above);
        prop_assert_eq!(is_within(&path(&inner.join("/")), &path(&outer.join("/"))), expected);
    }

    #[test]
    fn any_text_is_a_path_or_an_error(text in ".*") {
        if let Ok(parsed) = text.parse::<FullPath>() {
            prop_assert_eq!(parsed.as_str(), text);
        }
    }
}
