//! A cluster's version, as far as an agent's rights differ by it. Called for `--kubernetes`, and with what an API server says of itself.

use std::fmt;
use std::str::FromStr;

/// Major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32);

/// The text is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a version such as 1.36")]
pub(crate) struct BadVersion;

impl Version {
    /// Whether the API server knows constrained impersonation, without anybody having switched it on.
    pub(crate) fn constrains_impersonation(self) -> bool {
        self >= Self(1, 36)
    }
}

impl Default for Version {
    fn default() -> Self {
        Self(1, 36)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Version {
    type Err = BadVersion;

    /// As people and API servers write it: `1.36`, `v1.36.3`, `v1.35.2+vendor`.
    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let mut number = || numbers.next()?.parse().ok();
        let version = number().zip(number()).ok_or(BadVersion)?;
        Ok(Self(version.0, version.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_written() {
        let constrains = |text: &str| {
            text.parse::<Version>()
                .map(Version::constrains_impersonation)
        };
        assert_eq!(constrains("1.36"), Ok(true));
        assert_eq!(constrains("v1.36.3"), Ok(true));
        assert_eq!(constrains("2.0"), Ok(true));
        assert_eq!(constrains("v1.35.9+vendor.1"), Ok(false));
        assert_eq!(constrains("1.9"), Ok(false));
        for odd in ["", "1", "latest", "1.x", "1,36"] {
            assert_eq!(constrains(odd), Err(BadVersion), "{odd}");
        }
    }
}
