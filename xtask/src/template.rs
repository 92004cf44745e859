//! The files in `deploy/demo` with their blanks: `${NAME}`. Filled from pairs, nothing more.

use anyhow::{Result, bail};

/// The text with each `${NAME}` replaced by its value.
///
/// # Errors
/// A blank that no pair fills.
pub fn fill(text: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once('}') else {
            bail!("a blank is not closed");
        };
        let Some((_, value)) = values.iter().find(|(known, _)| *known == name) else {
            bail!("nothing fills ${{{name}}}");
        };
        filled.push_str(value);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blank_is_filled_or_named() {
        let values = [("A", "1"), ("B", "${A}")];
        assert_eq!(
            fill("a: ${A}, b: ${B}.", &values).unwrap(),
            "a: 1, b: ${A}."
        );
        assert!(
            fill("${C}", &values)
                .unwrap_err()
                .to_string()
                .contains("${C}")
        );
        assert!(fill("${A", &values).is_err());
    }
}
