use super::*;

/// Each key and each leaf with its place.
fn places(node: &Node, found: &mut Vec<String>) {
    match &node.value {
        Value::List(nodes) => nodes.iter().for_each(|node| places(node, found)),
        Value::Map(fields) => {
            for (name, node) in fields {
                found.push(format!("{} {}", name.place, name.text));
                places(node, found);
            }
        }
        Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) => {
            found.push(format!("{} {}", node.place, node.to_json()));
        }
    }
}

fn places_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    places(&Node::parse(text).unwrap(), &mut found);
    found
}

#[test]
fn every_key_and_value_has_its_place() {
    let text = "a:\n  - b: yes please\n    'c': 7\n  - {d: true, e: null}\n";
    let expected = [
        "1:1 a",
        "2:5 b",
        "2:8 \"yes please\"",
        "3:5 c",
        "3:10 7",
        "4:6 d",
        "4:9 true",
        "4:15 e",
        "4:18 null",
    ];
    assert_eq!(places_in(text), expected);
}

#[test]
fn what_an_alias_stands_for_has_the_aliass_place() {
    let text = "a: &x [1]\nb: *x\n";
    let node = Node::parse(text).unwrap();
    assert_eq!(node.to_json(), serde_json::json!({ "a": [1], "b": [1] }));
    let Value::Map(fields) = &node.value else {
        panic!("a map");
    };
    assert_eq!(fields[1].1.place.to_string(), "2:4");
}

#[test]
fn a_file_without_anything_in_it_is_nothing() {
    for text in ["", "\n", "# a comment\n", "---\n"] {
        let node = Node::parse(text).unwrap();
        assert!(matches!(node.value, Value::Null), "{text:?}: {node:?}");
    }
}

#[test]
fn what_is_no_yaml_is_told_with_its_place() {
    for (text, place) in [
        ("a: 1\nb: [1\n", (2, 4)),
        ("a: 1\na: 2\n", (2, 1)),
        ("a: 1\n---\nb: 2\n", (3, 1)),
        ("a: *nobody\n", (1, 4)),
    ] {
        let (found, what) = Node::parse(text).unwrap_err();
        assert_eq!((found.line, found.column), place, "{text:?}: {what}");
    }
}

#[test]
fn a_deep_or_a_swelling_file_is_refused() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    Node::parse(&deep).unwrap_err();
    let mut swelling = String::from("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        swelling += &format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "));
    }
    Node::parse(&swelling).unwrap_err();
}
