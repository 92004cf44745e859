//! The three parameters of a query that say what a request is: `watch`, `follow`, and a field selector that names one
//! object. Read as Go and the API server read them; nothing else of a query is looked at.

use std::borrow::Cow;

/// Whether a parameter stands for true: it is there, and neither `0` nor `false`.
pub(super) fn is_set(query: &str, name: &str) -> bool {
    parameter(query, name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
}

/// The object to which a field selector narrows a list.
pub(super) fn one_name(query: &str) -> Option<Cow<'_, str>> {
    let selector = parameter(query, "fieldSelector")?;
    // No name needs an escape, so whoever writes one means something else.
    if selector.contains('\\') {
        return None;
    }
    let value = |term: &str| -> Option<String> {
        let value = term.strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value).to_owned())
    };
    let name = selector.split(',').find_map(value)?;
    let is_name = !name.contains(['/', '%']) && name != "." && name != "..";
    is_name.then_some(Cow::Owned(name))
}

/// Whether everybody finds the same parameters in it. Go leaves a pair out whose escape is none, and all of them when there are very many.
pub(super) fn is_plain(query: &str) -> bool {
    let mut escapes = query.split('%').skip(1).map(str::as_bytes);
    let are_escapes = escapes.all(|rest| {
        let digits = rest.get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    });
    are_escapes && query.split('&').count() <= MOST_PAIRS
}

/// Far more than any client sends, and fewer than Go reads.
const MOST_PAIRS: usize = 1_000;

/// The first value of that name. Go takes a pair with a semicolon in it for an error, and leaves it out.
fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query
        .split('&')
        .filter(|pair| !pair.contains(';'))
        .flat_map(|pair| form_urlencoded::parse(pair.as_bytes()))
        .find_map(|(key, value)| (key == name).then_some(value))
}
