//! What stands in an `Authorization` header, read for callers and agents alike, before anything is believed of it.
//! Invariant: one header with one token, or nothing: whatever could be read in two ways is refused, because the next
//! hop might read it in the other one.

use std::fmt;

use adit_identity::{AgentId, BadId};

/// The longest header value taken by default, in bytes. An ID token has 1 to 4 KiB; one that lists 200 groups has 12.
pub const DEFAULT_MAX_CREDENTIAL_BYTES: usize = 16 * 1024;

/// A bearer token, and the agent it is meant for when it says so. Not verified yet.
#[derive(Clone, Copy, Debug)]
pub struct Credential<'a> {
    form: Form,
    token: Token<'a>,
}

/// In which form a token came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By itself: a job's, or an agent's.
    Bare,
    /// `ci:<agent id>:<token>`: a job's.
    Job(AgentId),
    /// `pat:<agent id>:<token>`: a user's personal access token.
    Personal(AgentId),
}

impl<'a> Credential<'a> {
    /// Reads all `Authorization` values of a request: there must be exactly one, `Bearer ci:<agent id>:<token>`,
    /// `Bearer pat:<agent id>:<token>` or `Bearer <token>`, of at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// There is none, more than one, or it is not of that form.
    pub fn parse(
        values: impl IntoIterator<Item = &'a [u8]>,
        max_bytes: usize,
    ) -> Result<Self, CredentialError> {
        let mut values = values.into_iter();
        let value = values.next().ok_or(CredentialError::Missing)?;
        if values.next().is_some() {
            return Err(CredentialError::Repeated);
        }
        if value.len() > max_bytes {
            return Err(CredentialError::TooLong);
        }
        let text = std::str::from_utf8(value)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or(CredentialError::Character)?;
        if text.trim().is_empty() {
            return Err(CredentialError::Missing);
        }
        Self::from_bearer(bearer(text)?)
    }

    /// The form it came in.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The agent that it names.
    #[must_use]
    pub fn agent(&self) -> Option<AgentId> {
        match self.form {
            Form::Bare => None,
            Form::Job(agent) | Form::Personal(agent) => Some(agent),
        }
    }

    /// The token itself.
    #[must_use]
    pub fn token(&self) -> Token<'a> {
        self.token
    }

    fn from_bearer(text: &'a str) -> Result<Self, CredentialError> {
        let Some((kind, rest)) = text.split_once(':') else {
            return Ok(Self {
                form: Form::Bare,
                token: Token::parse(text)?,
            });
        };
        let form = match kind {
            "ci" => Form::Job,
            "pat" => Form::Personal,
            _ => return Err(CredentialError::Kind),
        };
        let (agent, token) = rest.split_once(':').ok_or(CredentialError::NoAgent)?;
        let agent = agent.parse().map_err(CredentialError::Agent)?;
        Ok(Self {
            form: form(agent),
            token: Token::parse(token)?,
        })
    }
}

/// A token in the caller's own bytes. Prints nothing of itself.
#[derive(Clone, Copy)]
pub struct Token<'a>(&'a str);

impl<'a> Token<'a> {
    /// A text that may be a token: not empty, and of the characters of RFC 6750 section 2.1.
    ///
    /// # Errors
    ///
    /// It is empty, or holds another character, perhaps one that separates two tokens.
    pub fn parse(text: &'a str) -> Result<Self, CredentialError> {
        let body = text.trim_end_matches('=');
        if body.is_empty() {
            return Err(CredentialError::Empty);
        }
        // Not `all`: without a way out of the loop it takes sixteen bytes at a time, and good tokens have no bad byte.
        if body
            .bytes()
            .fold(true, |good, byte| good & is_token_byte(byte))
        {
            return Ok(Self(text));
        }
        let joined = text.contains([',', ' ', '\t']);
        Err(if joined {
            CredentialError::Joined
        } else {
            CredentialError::Character
        })
    }

    /// The secret. Never to be logged, stored, or passed on.
    #[must_use]
    pub fn expose(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Why a header holds no credential. None of these shows any of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// No header, or an empty one.
    #[error("no Authorization header")]
    Missing,
    /// More than one header.
    #[error("more than one Authorization header")]
    Repeated,
    /// Past the limit: whoever sends megabytes to be hashed is no job.
    #[error("the Authorization header is too long")]
    TooLong,
    /// Basic, or a word that is none.
    #[error("the Authorization header is not of the form `Bearer <token>`")]
    Scheme,
    /// A scheme and no token.
    #[error(
        "the bearer token is empty: the variable that it was to come from, such as CI_JOB_TOKEN, was not set"
    )]
    Empty,
    /// Two tokens, joined by a comma or white space: which one holds?
    #[error("the Authorization header holds more than one token")]
    Joined,
    /// A character that stands in no token, such as a quote or an umlaut.
    #[error(
        "the bearer token holds a character that no token has, such as the `$` of a variable that nobody has expanded"
    )]
    Character,
    /// A kind unknown to anyone, or `pat:` where GitLab is not asked about users.
    #[error(
        "the bearer token is of a kind that this relay does not take: send `ci:<agent id>:<token>` or a token alone"
    )]
    Kind,
    /// `ci:` or `pat:`, and no second colon.
    #[error("the bearer token names no agent: send `ci:<agent id>:<token>`, or with `pat:`")]
    NoAgent,
    /// `ci:x:...`
    #[error("the bearer token names no agent: the part after its kind is not an agent's id")]
    Agent(#[source] BadId),
}

impl CredentialError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "credential_missing",
            Self::Repeated => "credential_repeated",
            Self::TooLong => "credential_too_long",
            Self::Scheme => "credential_scheme",
            Self::Empty => "credential_empty",
            Self::Joined => "credential_joined",
            Self::Character => "credential_character",
            Self::Kind => "credential_kind",
            Self::NoAgent | Self::Agent(_) => "credential_agent",
        }
    }
}

/// What follows the scheme. RFC 9110 section 11.1: schemes have no case.
fn bearer(text: &str) -> Result<&str, CredentialError> {
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(CredentialError::Scheme);
    }
    Ok(rest.trim())
}

/// RFC 6750 section 2.1. Written without branches, see [`Token::parse`].
const fn is_token_byte(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    let mark = (byte == b'-')
        | (byte == b'.')
        | (byte == b'_')
        | (byte == b'~')
        | (byte == b'+')
        | (byte == b'/');
    letter | digit | mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<(Option<u64>, &str), CredentialError> {
        let credential = Credential::parse([value.as_bytes()], 64)?;
        Ok((
            credential.agent().map(|agent| agent.0),
            credential.token().expose(),
        ))
    }

    #[test]
    fn a_token_comes_alone_or_with_an_agent() {
        assert_eq!(parse("Bearer abc.d-e_f"), Ok((None, "abc.d-e_f")));
        assert_eq!(parse("bEARER abc="), Ok((None, "abc=")));
        assert_eq!(parse("Bearer  ci:41:abc"), Ok((Some(41), "abc")));
        assert_eq!(parse("Bearer pat:41:abc"), Ok((Some(41), "abc")));
        let form = |value: &str| Credential::parse([value.as_bytes()], 64).unwrap().form();
        assert_eq!(form("Bearer abc"), Form::Bare);
        assert_eq!(form("Bearer ci:41:abc"), Form::Job(AgentId(41)));
        assert_eq!(form("Bearer pat:41:abc"), Form::Personal(AgentId(41)));
    }

    #[test]
    fn odd_headers_are_refused() {
        let bad_id = CredentialError::Agent(BadId::Digits);
        let cases = [
            ("", CredentialError::Missing),
            ("  ", CredentialError::Missing),
            ("Bearer", CredentialError::Empty),
            ("Bearer ", CredentialError::Empty),
            ("Bearer \t", CredentialError::Empty),
            ("Bearer ==", CredentialError::Empty),
            ("Bearer\tabc", CredentialError::Scheme),
            ("Basic YTpi", CredentialError::Scheme),
            ("abc", CredentialError::Scheme),
            ("Bearer:abc", CredentialError::Scheme),
            ("Bearer abc, Bearer def", CredentialError::Joined),
            ("Bearer abc,def", CredentialError::Joined),
            ("Bearer abc def", CredentialError::Joined),
            ("Bearer Bearer abc", CredentialError::Joined),
            ("Bearer \"abc\"", CredentialError::Character),
            ("Bearer äbc", CredentialError::Character),
            ("Bearer a=b", CredentialError::Character),
            ("Bearer PAT:41:abc", CredentialError::Kind),
            ("Bearer pat:abc", CredentialError::NoAgent),
            ("Bearer pat:x:abc", bad_id.clone()),
            ("Bearer CI:41:abc", CredentialError::Kind),
            ("Bearer :41:abc", CredentialError::Kind),
            ("Bearer ci:abc", CredentialError::NoAgent),
            ("Bearer ci::abc", bad_id.clone()),
            ("Bearer ci:041:abc", bad_id.clone()),
            ("Bearer ci:-1:abc", bad_id),
            ("Bearer ci:41:", CredentialError::Empty),
            ("Bearer ci:41:a:b", CredentialError::Character),
        ];
        for (value, error) in cases {
            assert_eq!(parse(value), Err(error), "{value:?}");
        }
    }

    #[test]
    fn there_is_one_header_of_bounded_length() {
        let parse =
            |values: &[&'static [u8]]| Credential::parse(values.iter().copied(), 10).map(|_| ());
        assert_eq!(parse(&[]), Err(CredentialError::Missing));
        assert_eq!(parse(&[b"Bearer abc"]), Ok(()));
        assert_eq!(
            parse(&[b"Bearer abc", b"Bearer abc"]),
            Err(CredentialError::Repeated)
        );
        assert_eq!(parse(&[b"Bearer abcd"]), Err(CredentialError::TooLong));
        assert_eq!(parse(&[b"Bearer \xff"]), Err(CredentialError::Character));
    }

    #[test]
    fn a_credential_prints_no_token() {
        let credential = Credential::parse([b"Bearer ci:41:s3cret".as_slice()], 64).unwrap();
        assert!(!format!("{credential:?}").contains("s3cret"));
    }

    #[test]
    fn the_bytes_of_a_token_are_those_of_rfc_6750() {
        for byte in 0..=u8::MAX {
            let listed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(is_token_byte(byte), listed, "{byte}");
        }
    }
}
