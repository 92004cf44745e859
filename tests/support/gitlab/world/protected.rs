//! Names of protected branches and tags: a name, or a wildcard in which `*` stands for any text, whole names only.

pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn whole_names_are_protected() {
        assert!(matches("main", "main"));
        assert!(!matches("main", "domain"));
        assert!(matches("release/*", "release/1/2"));
        assert!(!matches("release/*", "old/release/1"));
        assert!(matches("*-stable", "1-2-stable"));
        assert!(!matches("v*.0", "v1.0-rc"));
    }
}
