//! Reads the few facts of a certificate that people need: whose it is, who signed it, from when to when it holds, and whether it is a CA's.
//!
//! rustls checks a peer's certificate and tells nobody its own, and an X.509 library for five fields
//! would be the larger risk. A server reads its own file with it, `adit doctor` what a stranger showed: so it is read with bounds,
//! nobody is let in by it, and no name has a control character.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Some of a certificate's fields, as it says itself: nothing of it is proved. RFC 5280, section 4.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is: its common name, else what comes first in its name.
    pub subject: String,
    /// Who signed it, likewise.
    pub issuer: String,
    /// From when it holds; nothing if that is before 1970.
    pub not_before: Option<SystemTime>,
    /// Until when it holds.
    pub not_after: SystemTime,
    /// Whether it says that it may issue others; one of X.509 v1 cannot say, and may.
    pub is_ca: bool,
    /// Whether subject and issuer are the same, letter by letter, as they are of who signed it himself.
    pub is_self_issued: bool,
}

impl Certificate {
    /// From DER. `None` when it is no certificate, or ended before 1970.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut outer = Der(der);
        let mut certificate = Der(outer.next(SEQUENCE)?);
        let mut fields = Der(certificate.next(SEQUENCE)?);
        // The version is absent in X.509 v1.
        let version = fields.next(EXPLICIT_0);
        let _serial = fields.next(INTEGER)?;
        let _signature = fields.next(SEQUENCE)?;
        let issuer = fields.next(SEQUENCE)?;
        let mut validity = Der(fields.next(SEQUENCE)?);
        let not_before = validity.any()?;
        let not_after = validity.any()?;
        let subject = fields.next(SEQUENCE)?;
        let _public_key = fields.next(SEQUENCE)?;
        Some(Self {
            subject: name(subject),
            issuer: name(issuer),
            not_before: moment(not_before),
            not_after: moment(not_after)?,
            is_ca: version.is_none() || extensions(fields).is_some_and(is_ca),
            is_self_issued: subject == issuer,
        })
    }

    /// How long it holds in all, counted from 1970 if it began before.
    #[must_use]
    pub fn life(&self) -> Duration {
        let begin = self.not_before.unwrap_or(UNIX_EPOCH);
        let life = self.not_after.duration_since(begin);
        life.unwrap_or(Duration::ZERO)
    }
}

/// What stands behind a certificate's public key, and behind the identifiers that nobody writes.
fn extensions(mut fields: Der<'_>) -> Option<Der<'_>> {
    while let Some((tag, content)) = fields.any() {
        if tag == EXPLICIT_3 {
            return Der(content).next(SEQUENCE).map(Der);
        }
    }
    None
}

/// Whether they have basic constraints that say so. RFC 5280, section 4.2.1.9.
fn is_ca(mut extensions: Der<'_>) -> bool {
    while let Some(extension) = extensions.next(SEQUENCE) {
        let mut extension = Der(extension);
        if extension.next(OID) != Some(BASIC_CONSTRAINTS) {
            continue;
        }
        let _critical = extension.next(BOOLEAN);
        let constraints = extension.next(OCTETS);
        let constraints = constraints.and_then(|value| Der(value).next(SEQUENCE));
        return constraints.and_then(|value| Der(value).next(BOOLEAN)) == Some(TRUE);
    }
    false
}

fn moment((tag, text): (u8, &[u8])) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(time(tag, text)?))
}

/// What people call the owner of a name: the last common name, as it is the most specific, else the first attribute of any kind.
/// RFC 5280, section 4.1.2.4.
fn name(sequence: &[u8]) -> String {
    let (mut common, mut first) = (None, None);
    let mut sets = Der(sequence);
    while let Some(set) = sets.next(SET) {
        let mut set = Der(set);
        let Some(attribute) = set.next(SEQUENCE) else {
            break;
        };
        let mut attribute = Der(attribute);
        let (Some(kind), Some((_, text))) = (attribute.next(OID), attribute.any()) else {
            break;
        };
        first = first.or(Some(text));
        if kind == COMMON_NAME {
            common = Some(text);
        }
    }
    let text = String::from_utf8_lossy(common.or(first).unwrap_or_default());
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(MAX_NAME_CHARACTERS)
        .collect()
}

/// What is left of a run of DER values.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value if it has this tag; otherwise nothing is taken.
    fn next(&mut self, wanted: u8) -> Option<&'a [u8]> {
        (self.0.first() == Some(&wanted))
            .then(|| self.any())
            .flatten()
            .map(|(_, content)| content)
    }

    /// Tag and content of the next value.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&short, mut rest) = rest.split_first()?;
        let mut length = usize::from(short);
        if short >= 0x80 {
            let digits;
            (digits, rest) = rest
                .split_at_checked(usize::from(short & 0x7f))
                .filter(|(digits, _)| digits.len() <= 3)?;
            length = digits
                .iter()
                .fold(0, |length, &digit| length << 8 | usize::from(digit));
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

/// Seconds since 1970 of `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the only forms that RFC 5280
/// (section 4.1.2.5) allows.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits(text, 2)?;
            (if year < 50 { year + 2000 } else { year + 1900 }, rest)
        }
        GENERALIZED_TIME => digits(text, 4)?,
        _ => return None,
    };
    let (month, rest) = digits(rest, 2)?;
    let (day, rest) = digits(rest, 2)?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest, 2)?;
    let (second, rest) = digits(rest, 2)?;
    let is_sound = (1..=12).contains(&month) && (1..=31).contains(&day) && rest == b"Z";
    let days = is_sound.then(|| days_since_1970(year, month, day))??;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn digits(text: &[u8], count: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(count)?;
    Some((str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` before it.
///
/// Counted in years that begin in March, so that the leap day is a year's last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month > 2 {
        year
    } else {
        year.checked_sub(1)?
    };
    let months_since_march = (month + 9) % 12;
    let day_of_year = (153 * months_since_march + 2) / 5 + day - 1;
    let leap_days = year / 4 - year / 100 + year / 400;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    (year * 365 + leap_days + day_of_year).checked_sub(719_468)
}

/// More than a terminal's line holds.
const MAX_NAME_CHARACTERS: usize = 64;

const BOOLEAN: u8 = 0x01;
const TRUE: &[u8] = &[0xff];
const OCTETS: u8 = 0x04;
const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const EXPLICIT_0: u8 = 0xa0;
const EXPLICIT_3: u8 = 0xa3;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// 2.5.29.19
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        date_time_ymd,
    };

    use super::*;

    fn ends(year: i32, month: u8, day: u8) -> Option<u64> {
        let mut params = CertificateParams::new(["relay.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let end = Certificate::read(certificate.der())?.not_after;
        Some(end.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn end_is_read_in_both_forms_of_time() {
        assert_eq!(ends(2026, 11, 23), Some(1_795_392_000));
        assert_eq!(ends(2028, 2, 29), Some(1_835_395_200), "a leap day");
        assert_eq!(
            ends(2050, 1, 1),
            Some(2_524_608_000),
            "the first year in four digits"
        );
        assert_eq!(ends(4096, 1, 1), Some(67_090_118_400), "rcgen's default");
    }

    #[test]
    fn names_and_times_are_those_it_was_made_with() {
        let mut params = CertificateParams::new(["relay.test".to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "A company");
        params
            .distinguished_name
            .push(DnType::CommonName, "relay\u{1b}[31m");
        params.not_before = date_time_ymd(2026, 11, 23);
        let key = KeyPair::generate().unwrap();
        let read = Certificate::read(params.self_signed(&key).unwrap().der()).unwrap();
        assert_eq!(read.subject, "relay[31m", "no control character");
        assert!(read.is_self_issued);
        let begins = read.not_before.unwrap().duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(begins.as_secs(), 1_795_392_000);
    }

    #[test]
    fn ca_is_who_says_so() {
        let is_ca = |says: IsCa| {
            let mut params = CertificateParams::new(["relay.test".to_owned()]).unwrap();
            // Other extensions stand before it.
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.is_ca = says;
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            Certificate::read(made.der()).unwrap().is_ca
        };
        assert!(!is_ca(IsCa::NoCa));
        assert!(!is_ca(IsCa::ExplicitNoCa));
        assert!(is_ca(IsCa::Ca(BasicConstraints::Unconstrained)));
        assert!(is_ca(IsCa::Ca(BasicConstraints::Constrained(0))));
    }

    #[test]
    fn cut_certificate_is_none() {
        let key = KeyPair::generate().unwrap();
        let whole = CertificateParams::new(["relay.test".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        for length in 0..whole.der().len() {
            assert_eq!(Certificate::read(&whole.der()[..length]), None);
        }
    }

    #[test]
    fn unsound_times_are_refused() {
        for text in [
            "",
            "261323000000Z",
            "260100000000Z",
            "260101000000",
            "260101000000+0100",
            "2601010000-1Z",
        ] {
            assert_eq!(time(UTC_TIME, text.as_bytes()), None, "{text}");
        }
        assert_eq!(time(GENERALIZED_TIME, b"19691231235959Z"), None);
        assert_eq!(time(GENERALIZED_TIME, b"19700101000001Z"), Some(1));
    }
}
