//! Where GitLab's reading of a wildcard and a person's part ways, shown by a name that the two judge differently. Called for agents' files,
//! to warn; nothing is decided by it.
//! Invariant: GitLab's documented form, a folder such as `review/*`, is nothing to warn of.

use std::fmt;

use super::EnvironmentPattern;

/// A name that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misread {
    /// GitLab lets it in.
    LetIn(String),
    /// GitLab keeps it out.
    KeptOut(String),
}

impl EnvironmentPattern {
    /// What a person would hardly expect of the pattern as [GitLab reads it](Self::as_gitlab_reads), if there is such a thing.
    pub(crate) fn misread(&self) -> Option<Misread> {
        // Whoever escapes a character knows of regular expressions.
        if self.expression.is_none() || self.text.contains('\\') {
            return None;
        }
        let meant = self.text.trim_start_matches('^').trim_end_matches('$');
        if is_folder(meant) {
            return None;
        }
        let meant: Self = meant.parse().ok()?;
        let plain = meant.plain_name();
        if !self.matches(&plain) && meant.matches(&plain) {
            return Some(Misread::KeptOut(plain));
        }
        let mut strangers = [
            plain.replace('.', "-"),
            format!("non-{plain}"),
            format!("{plain}-2"),
        ]
        .into_iter();
        let stranger = strangers.find(|name| self.matches(name) && !meant.matches(name));
        stranger.map(Misread::LetIn)
    }

    /// One of the names that it stands for, as a wildcard.
    fn plain_name(&self) -> String {
        let name = self.text.replace('*', "");
        let is_whole = |end: Option<char>| end.is_some_and(char::is_alphanumeric);
        let begin = if is_whole(name.chars().next()) {
            ""
        } else {
            "a"
        };
        let end = if is_whole(name.chars().next_back()) {
            ""
        } else {
            "a"
        };
        format!("{begin}{name}{end}")
    }
}

fn is_folder(pattern: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/ ".contains(&byte);
    let folder = pattern.strip_suffix("/*");
    folder.is_some_and(|folder| folder.bytes().all(is_plain))
}

impl fmt::Display for Misread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GitLab reads a pattern with a `*` as a regular expression that may match anywhere in a name: ")?;
        match self {
            Self::LetIn(name) => write!(
                f,
                "this one lets `{name}` in; `^` binds it to the beginning, `$` to the end, and a dot is `\\.`"
            ),
            Self::KeptOut(name) => write!(f, "this one does not let `{name}` in"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn misread(pattern: &str) -> Option<Misread> {
        EnvironmentPattern::as_gitlab_reads(pattern)
            .unwrap()
            .misread()
    }

    #[test]
    fn wildcard_that_lets_strangers_in_or_its_own_out_is_shown_by_one() {
        for (pattern, stranger) in [
            ("prod*", "non-prod"),
            ("review-*", "non-review-a"),
            ("*-prod", "a-prod-2"),
            ("*/prod", "a/prod-2"),
            ("prod.eu/*", "prod-eu/a"),
            ("^prod.eu*", "prod-eu"),
            ("^*/prod", "a/prod-2"),
            ("prod*$", "non-prod"),
        ] {
            let shown = Misread::LetIn(stranger.to_owned());
            assert_eq!(misread(pattern), Some(shown), "{pattern}");
        }
        let shown = Misread::KeptOut("review/$SLUG".to_owned());
        assert_eq!(misread("review/$SLUG*"), Some(shown));
    }

    #[test]
    fn pattern_that_means_what_it_seems_to_is_nothing_to_warn_of() {
        for pattern in [
            "prod",
            "pr.d",
            "*",
            "*prod*",
            "review/*",
            "a-b/c_d/*",
            "^prod*",
            "^prod\\.eu/*",
            "^*/prod$",
        ] {
            assert_eq!(misread(pattern), None, "{pattern}");
        }
    }
}
