//! One section of a config file, as its check goes through it: durations, sizes, counts and lists, each told when it is wrong.
//! Used by the checks of all configs.
//! Invariant: a value that is wrong is told, and its default stands for it. Nobody sees that, because with a mistake there is no
//! configuration.

use std::{fmt, ops::RangeInclusive, time::Duration};

use super::{Key, Mistakes, duration, size};

/// A timer cannot hold much more, and nobody means it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A section, and where to tell what is wrong in it.
#[derive(Debug)]
pub struct Section<'a> {
    key: Key,
    mistakes: &'a mut Mistakes,
}

impl<'a> Section<'a> {
    /// Any duration, none included.
    pub const ANY_TIME: RangeInclusive<Duration> = Duration::ZERO..=LONGEST;

    /// The section of this name.
    pub fn new(name: &str, mistakes: &'a mut Mistakes) -> Self {
        Self::at(Key::root().field(name), mistakes)
    }

    /// The section that stands here.
    pub const fn at(key: Key, mistakes: &'a mut Mistakes) -> Self {
        Self { key, mistakes }
    }

    /// A section of this one.
    pub fn below(&mut self, name: &str) -> Section<'_> {
        Section::at(self.key.field(name), self.mistakes)
    }

    /// Notes a mistake in one of its fields.
    pub fn mistake(&mut self, name: &str, what: impl fmt::Display) {
        self.mistakes.add(&self.key.field(name), what);
    }

    /// The checked value of a field, or a note of why there is none.
    pub fn check<T, E: fmt::Display>(&mut self, name: &str, checked: Result<T, E>) -> Option<T> {
        self.mistakes.check(&self.key.field(name), checked)
    }

    /// The elements of a list, but for those that are wrong.
    pub fn each<T, E: fmt::Display>(
        &mut self,
        name: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let key = self.key.field(name);
        let elements = texts.iter().enumerate();
        elements
            .filter_map(|(at, text)| self.mistakes.check(&key.index(at), parse(text)))
            .collect()
    }

    /// A duration above nothing.
    pub fn time(&mut self, name: &str, text: Option<&str>, default: Duration) -> Duration {
        self.duration(name, text, default, Duration::from_millis(1)..=LONGEST)
    }

    /// A duration within bounds.
    pub fn duration(
        &mut self,
        name: &str,
        text: Option<&str>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(time) = text.and_then(|text| self.check(name, duration::parse(text))) else {
            return default;
        };
        if range.contains(&time) {
            return time;
        }
        let [least, most, usual] = [*range.start(), *range.end(), default].map(duration::show);
        self.out_of_bounds(name, format_args!("from {least} to {most}"), &usual);
        default
    }

    /// A size within bounds, in bytes.
    pub fn size<N: Copy + TryFrom<u64> + TryInto<u64>>(
        &mut self,
        name: &str,
        text: Option<&str>,
        default: N,
        range: RangeInclusive<u64>,
    ) -> N {
        let bytes = text.and_then(|text| self.check(name, size::parse(text)));
        self.within(name, bytes, default, range, size::show)
    }

    /// A number within bounds.
    pub fn count<N: Copy + TryFrom<u64> + TryInto<u64>>(
        &mut self,
        name: &str,
        count: Option<u64>,
        default: N,
        range: RangeInclusive<u64>,
    ) -> N {
        self.within(name, count, default, range, |number| number.to_string())
    }

    /// A share of a whole, from 0 to 1.
    pub fn share(&mut self, name: &str, share: Option<f64>, default: f64) -> f64 {
        match share {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                self.out_of_bounds(name, format_args!("from 0 to 1"), &default.to_string());
                default
            }
            Some(share) => share,
            None => default,
        }
    }

    fn within<N: Copy + TryFrom<u64> + TryInto<u64>>(
        &mut self,
        name: &str,
        value: Option<u64>,
        default: N,
        range: RangeInclusive<u64>,
        show: fn(u64) -> String,
    ) -> N {
        let Some(value) = value else {
            return default;
        };
        match N::try_from(value) {
            Ok(fitting) if range.contains(&value) => return fitting,
            Ok(_) | Err(_) => {}
        }
        let least = show(*range.start());
        let usual = default.try_into().map_or_else(|_| String::new(), show);
        match *range.end() {
            u64::MAX => self.out_of_bounds(name, format_args!("at least {least}"), &usual),
            most => {
                let most = show(most);
                self.out_of_bounds(name, format_args!("from {least} to {most}"), &usual);
            }
        }
        default
    }

    /// Tells them, and what leaving the key out means.
    fn out_of_bounds(&mut self, name: &str, bounds: fmt::Arguments<'_>, usual: &str) {
        self.mistake(
            name,
            format_args!("must be {bounds}, and is {usual} by default"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of the section `limits`.
    fn told(check: impl FnOnce(&mut Section<'_>)) -> String {
        let mut mistakes = Mistakes::new();
        check(&mut Section::new("limits", &mut mistakes));
        mistakes.to_string()
    }

    #[test]
    fn what_is_left_out_has_its_default_and_what_is_there_is_taken() {
        let second = Duration::from_secs(1);
        let quiet = told(|section| {
            assert_eq!(section.time("a", None, second), second);
            assert_eq!(section.time("a", Some("5s"), second), 5 * second);
            assert_eq!(section.size("b", None, 7_u32, 1..=9), 7);
            assert_eq!(section.size("b", Some("1KiB"), 7_u32, 1..=1024), 1024);
            assert_eq!(section.count("c", Some(9), 7_usize, 1..=9), 9);
            let shares = [None, Some(0.0), Some(1.0)].map(|share| section.share("c", share, 0.5));
            assert_eq!(shares, [0.5, 0.0, 1.0]);
            let paths = ["a".to_owned(), "b".to_owned()];
            let parse = |text: &str| Ok::<_, fmt::Error>(text.len());
            assert_eq!(section.each("d", &paths, parse), [1, 1]);
        });
        assert_eq!(quiet, "");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key_and_its_bounds() {
        let second = Duration::from_secs(1);
        let all = told(|section| {
            section.time("a", Some("0s"), second);
            section.time("b", Some("soon"), second);
            section.duration("c", Some("2d"), second, second..=3600 * second);
            section.size("d", Some("1B"), 65_536_u64, 2..=1024);
            section.count("e", Some(0), 1_u32, 1..=u64::MAX);
            section.count("f", Some(1 << 32), 1_u32, 1..=1 << 40);
            let numbers = ["1".to_owned(), "x".to_owned()];
            section.each("g", &numbers, |text| {
                text.parse::<u8>().map_err(|_| "no number")
            });
            section.share("h", Some(1.5), 0.01);
            section.share("i", Some(f64::NAN), 0.01);
        });
        let expected = [
            "limits.a: must be from 1ms to 365d, and is 1s by default",
            "limits.b: not a duration: write a whole number and a unit, such as 30s",
            "limits.c: must be from 1s to 1h, and is 1s by default",
            "limits.d: must be from 2B to 1KiB, and is 64KiB by default",
            "limits.e: must be at least 1, and is 1 by default",
            "limits.f: must be from 1 to 1099511627776, and is 1 by default",
            "limits.g[1]: no number",
            "limits.h: must be from 0 to 1, and is 0.01 by default",
            "limits.i: must be from 0 to 1, and is 0.01 by default",
        ];
        let lines: Vec<_> = all.lines().collect();
        assert_eq!(lines, expected);
    }
}
