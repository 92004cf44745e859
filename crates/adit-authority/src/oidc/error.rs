//! Why a token is refused. Answered to callers and counted by reason.
//! Invariant: no variant holds a byte of the token; claims are named, never shown.

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url, or no JSON in them. RFC 7519 section 7.2.
    #[error(
        "the token is not a signed JSON web token: a job's CI_JOB_TOKEN is none, declare `id_tokens:`"
    )]
    Malformed,
    /// `none`, a shared secret (HS256), or anything that is not an asymmetric signature.
    #[error("the token is signed by an algorithm that is not accepted")]
    AlgorithmRefused,
    /// The algorithm is not the one that the key is for. RFC 8725 section 3.1.
    #[error("the token names an algorithm that its key is not for")]
    AlgorithmMismatch,
    /// An extension that must be understood, and is not. RFC 7515 section 4.1.11.
    #[error("the token's header demands an extension that is not known")]
    CriticalHeader,
    /// No `kid`.
    #[error("the token does not say which key signed it")]
    NoKeyId,
    /// An issuer that the relay does not trust.
    #[error("the token's issuer is not one that is trusted here")]
    UnknownIssuer,
    /// The issuer publishes no such key, or no longer.
    #[error("the token is signed by a key that its issuer does not publish")]
    UnknownKey,
    /// The issuer could not be reached for its keys, so nobody can be told apart now. Not the caller's fault.
    #[error("the issuer's keys cannot be fetched at the moment")]
    KeysUnavailable,
    /// No key of that name is held, and the issuer may be asked again only in so many seconds: it may be a new key.
    #[error(
        "the token is signed by a key that is not known yet: its issuer is asked for new keys in {0} s"
    )]
    KeyPending(u32),
    /// Somebody else wrote or changed it.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// A claim that is required.
    #[error("the token has no claim `{0}`")]
    MissingClaim(&'static str),
    /// A claim of another type or form than it must have.
    #[error("the token's claim `{0}` is not of the expected form")]
    BadClaim(&'static str),
    /// Made for somebody else.
    #[error("the token is meant for another audience: check `aud` under `id_tokens:`")]
    WrongAudience,
    /// Past `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before `nbf`, or issued in the future.
    #[error("the token is not valid yet: check the clocks")]
    NotYetValid,
    /// Valid for longer than the relay accepts.
    #[error("the token is valid for too long: shorten the job's timeout, or raise max_lifetime")]
    LifetimeTooLong,
}

impl TokenError {
    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::AlgorithmRefused => "token_algorithm_refused",
            Self::AlgorithmMismatch => "token_algorithm_mismatch",
            Self::CriticalHeader => "token_critical_header",
            Self::NoKeyId => "token_no_key_id",
            Self::UnknownIssuer => "token_unknown_issuer",
            Self::UnknownKey => "token_unknown_key",
            Self::KeysUnavailable => "token_keys_unavailable",
            Self::KeyPending(_) => "token_key_pending",
            Self::BadSignature => "token_bad_signature",
            Self::MissingClaim(_) => "token_missing_claim",
            Self::BadClaim(_) => "token_bad_claim",
            Self::WrongAudience => "token_wrong_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::LifetimeTooLong => "token_lifetime_too_long",
        }
    }

    /// After how many seconds the same token may pass, if it may: 503 rather than 401.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::KeysUnavailable => Some(2),
            Self::KeyPending(seconds) => Some(seconds),
            Self::Malformed
            | Self::AlgorithmRefused
            | Self::AlgorithmMismatch
            | Self::CriticalHeader
            | Self::NoKeyId
            | Self::UnknownIssuer
            | Self::UnknownKey
            | Self::BadSignature
            | Self::MissingClaim(_)
            | Self::BadClaim(_)
            | Self::WrongAudience
            | Self::Expired
            | Self::NotYetValid
            | Self::LifetimeTooLong => None,
        }
    }
}
