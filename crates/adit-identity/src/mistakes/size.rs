//! Sizes as config files write them: `64KiB`, `16MiB`, `1GiB`, `512B`. Called by [`super::Section`].
//! Invariant: a number without unit is refused, since nobody remembers which one was meant.

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadSize {
    /// No whole number, or no unit of those listed.
    #[error("a size needs a whole number and a unit of B, KiB, MiB, GiB, such as 64KiB")]
    Form,
    /// More than anybody has.
    #[error("size too large")]
    TooLarge,
}

/// The number of bytes that a text such as `64KiB` stands for.
///
/// # Errors
///
/// There is no whole number, no unit of `B`, `KiB`, `MiB`, `GiB` after it, or the whole is past 64 bits.
pub(super) fn parse(text: &str) -> Result<u64, BadSize> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .filter(|at| *at > 0)
        .ok_or(BadSize::Form)?;
    let (number, unit) = text.split_at(unit_at);
    let (_, bytes) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or(BadSize::Form)?;
    let number: u64 = number.parse().map_err(|_| BadSize::TooLarge)?;
    number.checked_mul(bytes).ok_or(BadSize::TooLarge)
}

/// A size as [`parse`] reads it, in the largest unit that it is a multiple of.
pub(super) fn show(size: u64) -> String {
    let (unit, bytes) = UNITS
        .into_iter()
        .rfind(|(_, bytes)| size > 0 && size.is_multiple_of(*bytes))
        .unwrap_or(("B", 1));
    format!("{}{unit}", size / bytes)
}

/// Their names, and their bytes, smallest first.
const UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        let cases = [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 65_536),
            ("16MiB", 16 << 20),
            ("1GiB", 1 << 30),
        ];
        for (text, bytes) in cases {
            assert_eq!((parse(text), show(bytes)), (Ok(bytes), text.to_owned()));
        }
        assert_eq!(show((1 << 20) + 1), "1048577B");
        for text in ["", "64", "KiB", "64kb", "64 KiB", "-1KiB", "1.5MiB"] {
            assert_eq!(parse(text), Err(BadSize::Form), "{text:?}");
        }
        assert_eq!(parse("18446744073709551615GiB"), Err(BadSize::TooLarge));
    }
}
