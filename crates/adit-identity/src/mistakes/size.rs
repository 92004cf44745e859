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
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(BadSize::Form),
    };
    let number: u64 = number.parse().map_err(|_| BadSize::TooLarge)?;
    number.checked_mul(1 << shift).ok_or(BadSize::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse("512B"), Ok(512));
        assert_eq!(parse("64KiB"), Ok(65_536));
        assert_eq!(parse("16MiB"), Ok(16 << 20));
        assert_eq!(parse("1GiB"), Ok(1 << 30));
        for text in ["", "64", "KiB", "64kb", "64 KiB", "-1KiB", "1.5MiB"] {
            assert_eq!(parse(text), Err(BadSize::Form), "{text:?}");
        }
        assert_eq!(parse("18446744073709551615GiB"), Err(BadSize::TooLarge));
    }
}
