//! The slug of an environment's name, by GitLab's rules: groups of an impersonation end in it, so a letter that differs
//! would leave a RoleBinding without effect. Called where an authority gives a name only (an ID token does).
//! Invariant: lower-case letters, digits and single dashes, at most 24 bytes, starts with a letter.

use sha2::{Digest, Sha256};

/// The slug GitLab gives to an environment of this name.
///
/// A name that is its own slug keeps it; any other is shortened and gets a suffix from the name's SHA-256, so that
/// `review/1` and `review-1` stay apart.
#[must_use]
pub fn environment_slug(name: &str) -> String {
    let slug = squeezed(name);
    if slug.len() > MAX_BYTES || slug != name {
        return with_suffix(&slug, name);
    }
    slug.strip_suffix('-')
        .map_or_else(|| slug.clone(), str::to_owned)
}

/// Lower case, a dash for everything else, a letter first, no two dashes together.
fn squeezed(name: &str) -> String {
    let lower = name.to_lowercase();
    let plain = lower.chars().map(|c| {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            c
        } else {
            '-'
        }
    });
    let prefix = if lower.starts_with(|c: char| c.is_ascii_lowercase()) {
        ""
    } else {
        "env-"
    };
    let mut slug = String::with_capacity(prefix.len() + lower.len());
    for c in prefix.chars().chain(plain) {
        if c != '-' || !slug.ends_with('-') {
            slug.push(c);
        }
    }
    slug
}

fn with_suffix(slug: &str, name: &str) -> String {
    let mut short: String = slug.chars().take(KEPT_BYTES).collect();
    if !short.ends_with('-') {
        short.push('-');
    }
    short.extend(suffix(name));
    short
}

/// The last six digits, in base 36, of the name's SHA-256 read as one big number: that number modulo 36^6.
fn suffix(name: &str) -> [char; 6] {
    let digest = Sha256::digest(name.as_bytes());
    let mut rest = digest.iter().fold(0_u64, |rest, byte| {
        (rest * 256 + u64::from(*byte)) % 36_u64.pow(6)
    });
    let mut digits = ['0'; 6];
    for digit in digits.iter_mut().rev() {
        let value = u32::try_from(rest % 36).expect("less than 36");
        *digit = char::from_digit(value, 36).expect("a digit of base 36");
        rest /= 36;
    }
    digits
}

/// What OpenShift allows in a label, and GitLab therefore in a slug.
const MAX_BYTES: usize = 24;

/// What stays of a slug in front of dash and suffix.
const KEPT_BYTES: usize = 17;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Expected values were computed apart from this code, with big integers.
    #[test]
    fn slugs_are_those_gitlab_gives() {
        let cases = [
            ("production", "production"),
            ("prod", "prod"),
            ("Production", "production-iis43c"),
            ("review/feature-1", "review-feature-1-1q251u"),
            ("review/Feature_1", "review-feature-1-mdfxnb"),
            ("staging-", "staging"),
            ("42", "env-42-d9mkw9"),
            ("42-blue", "env-42-blue-09x762"),
            ("a", "a"),
            ("-", "env-dgv8k2"),
            ("*", "env-611vpd"),
            ("eu--west", "eu-west-nd85eu"),
            ("abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx"),
            ("abcdefghijklmnopqrstuvwxy", "abcdefghijklmnopq-45ai7v"),
            (
                "review/a-very-long-branch-name-indeed",
                "review-a-very-lon-6hgez3",
            ),
            ("sixteen-chars-16-next", "sixteen-chars-16-next"),
            ("über/größe", "env-ber-gr-e-877mji"),
            ("日本", "env-83n8nm"),
            ("qa 1", "qa-1-ecjc0z"),
            ("a-", "a"),
            ("\u{212a}8s", "k8s-wqk8bs"),
        ];
        for (name, slug) in cases {
            assert_eq!(environment_slug(name), slug, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_slug_is_a_short_label_that_starts_with_a_letter(name in ".{1,80}") {
            let slug = environment_slug(&name);
            prop_assert!(slug.len() <= MAX_BYTES);
            prop_assert!(slug.starts_with(|c: char| c.is_ascii_lowercase()));
            prop_assert!(!slug.ends_with('-'));
            prop_assert!(!slug.contains("--"));
            prop_assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        }

        #[test]
        fn a_name_that_is_a_slug_keeps_it(name in "[a-z]([a-z0-9]|-[a-z0-9]){0,11}") {
            prop_assert_eq!(environment_slug(&name), name);
        }

        #[test]
        fn the_suffix_tells_names_apart_that_look_alike(name in "[a-z]{1,8}") {
            let names = [format!("{name}/1"), format!("{name}_1"), format!("{name}-1")];
            let slugs: std::collections::HashSet<_> = names.iter().map(|name| environment_slug(name)).collect();
            prop_assert_eq!(slugs.len(), 3);
        }
    }
}
