//! Full paths of projects and groups, such as `group/subgroup/project`. Grants are matched by them.
//! Invariant: compared by whole segments and without regard to (ASCII) case, so `group/app` covers neither `group/apps`
//! nor `group2/app`. The characters are those GitLab allows in a path, hence ASCII is all the case there is.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

/// A path of one or more segments. Equality and hash ignore case; printing keeps it.
#[derive(Clone, Debug)]
pub struct FullPath(Box<str>);

impl FullPath {
    /// The path in the case it was written in.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of a project, which stands in a group or in a user's namespace.
    ///
    /// # Errors
    ///
    /// It is none, or has one segment, as only a group's has.
    pub fn of_project(text: &str) -> Result<Self, BadPath> {
        let path: Self = text.parse()?;
        if path.ancestors().next().is_none() {
            return Err(BadPath::Alone);
        }
        Ok(path)
    }

    /// This path's groups, nearest first: `a/b/c` has `a/b`, then `a`.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> + '_ {
        self.0
            .rmatch_indices('/')
            .filter_map(|(at, _)| self.0.get(..at))
            .map(|path| Self(path.into()))
    }

    /// The top-level group that this is or stands in, or the user's namespace: `a/b/c` has `a`.
    #[must_use]
    pub fn root(&self) -> Self {
        self.ancestors().last().unwrap_or_else(|| self.clone())
    }
}

impl PartialEq for FullPath {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for FullPath {}

impl Hash for FullPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(b'/');
    }
}

impl fmt::Display for FullPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FullPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        if text.len() > MAX_BYTES {
            return Err(BadPath::TooLong);
        }
        for segment in text.split('/') {
            if matches!(segment, "" | "." | "..") {
                return Err(BadPath::Segment);
            }
            if !segment.bytes().all(is_path_byte) {
                return Err(BadPath::Character);
            }
        }
        Ok(Self(text.into()))
    }
}

/// Why a text is no path of a project or group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Empty, `/` at an end, `//`, or a segment `.` or `..`.
    #[error(
        "a segment is missing: write group/subgroup/project, without a leading or trailing slash"
    )]
    Segment,
    /// One segment, for a project.
    #[error(
        "a project has a path such as group/app: that of its group, or its user's name, comes first"
    )]
    Alone,
    /// A character GitLab allows in no path.
    #[error("only letters, digits, `_`, `-`, `.` and slashes may stand in it")]
    Character,
    /// Past 4096 bytes; GitLab allows 255 for each of at most 21 segments, and no one uses that.
    #[error("longer than {MAX_BYTES} bytes")]
    TooLong,
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

const MAX_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
