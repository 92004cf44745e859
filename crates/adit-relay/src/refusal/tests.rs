use std::{
    collections::BTreeSet,
    time::{Duration, UNIX_EPOCH},
};

use super::*;

/// One of each kind; [`kinds_are_all_here`] keeps it complete.
pub(crate) fn every() -> Vec<Refusal> {
    let name = || "group/app:demo".to_owned();
    let why = || "so it is".to_owned();
    let mut all = vec![
        Refusal::UnknownPath,
        Refusal::BadPath("odd"),
        Refusal::BadMethod("odd"),
        Refusal::BadWebSocket(NoUpgrade::Key),
        Refusal::BadRequest(BadRequest::Impersonation),
        Refusal::HeadTooLarge,
        Refusal::NoAgentNamed,
        Refusal::AgentsDiffer {
            path: AgentId(7),
            credential: AgentId(8),
        },
        Refusal::AccessEnded(Ended::Over),
        Refusal::AccessEnded(Ended::Unproved),
        Refusal::AccessEnded(Ended::Changed),
        Refusal::ForeignOrigin,
        Refusal::BadSession("odd"),
        Refusal::EventSecret,
        Refusal::BadEvent("x"),
        Refusal::PermitEnded,
        Refusal::Withdrawn { name: name() },
        Refusal::BodyLost(why()),
        Refusal::NotPermitted(NotAllowed::NoGrant(AgentId(7))),
        Refusal::JobStreams { limit: 1 },
        Refusal::JobRate { limit: 1 },
        Refusal::TunnelFull { name: name() },
        Refusal::AuditFull,
        Refusal::Draining,
        Refusal::AgentOffline {
            name: name(),
            since: UNIX_EPOCH,
            reconnecting: false,
        },
        Refusal::AgentNeverConnected {
            name: name(),
            started: UNIX_EPOCH,
            unlisted: None,
        },
        Refusal::AgentLost {
            name: name(),
            why: why(),
        },
        Refusal::CutByOperator { name: name() },
        Refusal::AgentRefused {
            name: name(),
            why: why(),
        },
        Refusal::BeyondCeiling {
            name: name(),
            why: why(),
        },
        Refusal::AgentFailed {
            name: name(),
            why: why(),
        },
        Refusal::Overloaded {
            name: name(),
            why: why(),
        },
        Refusal::TooManyCancels { name: name() },
        Refusal::ApiServerUnreachable {
            name: name(),
            why: why(),
        },
        Refusal::ApiServerLost {
            name: name(),
            why: why(),
        },
        Refusal::TimedOut {
            name: name(),
            why: why(),
        },
    ];
    all.extend(credential_errors().map(Refusal::BadCredential));
    all.extend(token_errors().map(Refusal::TokenRefused));
    all.extend(gitlab_errors().map(Refusal::GitLab));
    all
}

fn credential_errors() -> impl Iterator<Item = CredentialError> {
    use CredentialError::{
        Agent, Character, Empty, Joined, Kind, Missing, NoAgent, Repeated, Scheme, TooLong,
    };
    let no_number = "01".parse::<AgentId>().unwrap_err();
    let all = [
        Missing,
        Repeated,
        TooLong,
        Scheme,
        Empty,
        Joined,
        Character,
        Kind,
        NoAgent,
        Agent(no_number),
    ];
    all.into_iter()
}

fn token_errors() -> impl Iterator<Item = TokenError> {
    use TokenError::{
        AlgorithmMismatch, AlgorithmRefused, BadClaim, BadSignature, CriticalHeader, Expired,
        KeyPending, KeysUnavailable, LifetimeTooLong, Malformed, MissingClaim, NoKeyId,
        NotYetValid, UnknownIssuer, UnknownKey, WrongAudience,
    };
    let all = [
        Malformed,
        AlgorithmRefused,
        AlgorithmMismatch,
        CriticalHeader,
        NoKeyId,
        UnknownIssuer,
        UnknownKey,
        KeysUnavailable,
        KeyPending(10),
        BadSignature,
        MissingClaim("x"),
        BadClaim("x"),
        WrongAudience,
        Expired,
        NotYetValid,
        LifetimeTooLong,
    ];
    all.into_iter()
}

fn gitlab_errors() -> impl Iterator<Item = GitLabError> {
    use GitLabError::{
        AgentToken, BadAnswer, Busy, Ended, Forbidden, NotAccepted, OtherKind, TooManyBadTokens,
        Unavailable, UserNotAccepted,
    };
    let unavailable = Unavailable {
        why: adit_authority::Trouble::TimedOut,
        retry_after: Duration::from_millis(1500),
    };
    let all = [
        NotAccepted,
        Forbidden,
        OtherKind,
        UserNotAccepted,
        Ended,
        AgentToken,
        BadAnswer("x"),
        unavailable,
        Busy,
        TooManyBadTokens,
    ];
    all.into_iter()
}

#[test]
fn kinds_are_all_here() {
    // A new kind of refusal does not compile here until it is in `every`.
    for refusal in every() {
        match refusal {
            Refusal::UnknownPath
            | Refusal::BadPath(_)
            | Refusal::BadMethod(_)
            | Refusal::BadWebSocket(_)
            | Refusal::BadRequest(_)
            | Refusal::HeadTooLarge
            | Refusal::NoAgentNamed
            | Refusal::AgentsDiffer { .. }
            | Refusal::GitLab(_)
            | Refusal::AccessEnded(_)
            | Refusal::ForeignOrigin
            | Refusal::BadSession(_)
            | Refusal::EventSecret
            | Refusal::BadEvent(_)
            | Refusal::PermitEnded
            | Refusal::Withdrawn { .. }
            | Refusal::BodyLost(_)
            | Refusal::NotPermitted(_)
            | Refusal::JobStreams { .. }
            | Refusal::JobRate { .. }
            | Refusal::TunnelFull { .. }
            | Refusal::AuditFull
            | Refusal::Draining
            | Refusal::AgentOffline { .. }
            | Refusal::AgentNeverConnected { .. }
            | Refusal::AgentLost { .. }
            | Refusal::CutByOperator { .. }
            | Refusal::AgentRefused { .. }
            | Refusal::BeyondCeiling { .. }
            | Refusal::AgentFailed { .. }
            | Refusal::Overloaded { .. }
            | Refusal::TooManyCancels { .. }
            | Refusal::ApiServerUnreachable { .. }
            | Refusal::ApiServerLost { .. }
            | Refusal::TimedOut { .. } => {}
            Refusal::BadCredential(
                CredentialError::Missing
                | CredentialError::Repeated
                | CredentialError::TooLong
                | CredentialError::Scheme
                | CredentialError::Empty
                | CredentialError::Joined
                | CredentialError::Character
                | CredentialError::Kind
                | CredentialError::NoAgent
                | CredentialError::Agent(_),
            ) => {}
            Refusal::TokenRefused(
                TokenError::Malformed
                | TokenError::AlgorithmRefused
                | TokenError::AlgorithmMismatch
                | TokenError::CriticalHeader
                | TokenError::NoKeyId
                | TokenError::UnknownIssuer
                | TokenError::UnknownKey
                | TokenError::KeysUnavailable
                | TokenError::KeyPending(_)
                | TokenError::BadSignature
                | TokenError::MissingClaim(_)
                | TokenError::BadClaim(_)
                | TokenError::WrongAudience
                | TokenError::Expired
                | TokenError::NotYetValid
                | TokenError::LifetimeTooLong,
            ) => {}
        }
    }
}

/// The rows of the table: reason, status, hop, retry.
fn documented() -> BTreeSet<[String; 4]> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
    let docs = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line
            .strip_prefix("| `")?
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect();
        cells.get(..4)?.to_vec().try_into().ok()
    };
    docs.lines().filter_map(row).collect()
}

#[test]
fn every_reason_is_documented_as_it_is() {
    let retry = |facts: &Facts| {
        facts
            .retry_after
            .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"))
    };
    let mut real: BTreeSet<[String; 4]> = BTreeSet::new();
    for refusal in every() {
        let facts = refusal.facts();
        real.insert([
            facts.reason.to_owned(),
            facts.status.as_u16().to_string(),
            facts.hop.to_string(),
            retry(&facts),
        ]);
    }
    let documented = documented();
    let missing: Vec<_> = real.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&real).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "missing {missing:#?}, stale {stale:#?}"
    );
}

#[test]
fn every_reason_is_listed_once() {
    let real: BTreeSet<_> = every()
        .iter()
        .map(|refusal| refusal.facts().reason)
        .collect();
    assert_eq!(BTreeSet::from(REASONS.map(|reason| reason.name)), real);
    assert_eq!(REASONS.len(), real.len());
}

#[test]
fn moments_are_rfc_3339_to_the_second() {
    let moment = Moment(UNIX_EPOCH + Duration::from_millis(1_795_469_400_500));
    assert_eq!(moment.to_string(), "2026-11-23T21:30:00Z");
    let refusal = Refusal::AgentOffline {
        name: "g/p:demo".to_owned(),
        since: moment.0,
        reconnecting: false,
    };
    assert!(
        refusal
            .to_string()
            .starts_with("agent g/p:demo has been offline since 2026-11-23T21:30:00Z")
    );
}

#[test]
fn agent_of_gitlabs_that_the_configuration_has_not_may_stand_there_under_another_id() {
    let text = |unlisted| {
        let refusal = Refusal::AgentNeverConnected {
            name: "g/p:41".to_owned(),
            started: UNIX_EPOCH,
            unlisted,
        };
        refusal.to_string()
    };
    assert!(text(None).ends_with("and a current token?"));
    assert!(text(Some(AgentId(41))).ends_with("GitLab's `id` there, 41?"));
}

#[test]
fn only_an_agent_that_left_just_now_is_worth_a_retry() {
    let offline = |reconnecting| Refusal::AgentOffline {
        name: String::new(),
        since: UNIX_EPOCH,
        reconnecting,
    };
    assert_eq!(offline(true).facts().retry_after, Some(1));
    assert_eq!(offline(false).facts().retry_after, None);
}

#[test]
fn strangers_cause_what_comes_before_the_token_was_checked() {
    for refusal in every() {
        let reason = refusal.facts().reason;
        let is_early = reason.starts_with("credential_")
            || reason.starts_with("token_")
            || ["unknown_path", "bad_path", "bad_method", "bad_websocket"].contains(&reason)
            || matches!(
                refusal,
                Refusal::GitLab(_)
                    | Refusal::ForeignOrigin
                    | Refusal::BadSession(_)
                    | Refusal::EventSecret
            );
        assert_eq!(refusal.is_to_a_stranger(), is_early, "{reason}");
    }
}
