//! Reads what a browser shows for itself: the cookie by which it is logged in to GitLab, the agent that its page is about, and the proof
//! that the page is GitLab's own. Called by `authenticate.rs` for requests without `Authorization`.
//! Invariant: each comes once, or nothing of it counts; a WebSocket, for which a page can set no header, names agent and proof in the
//! query.

use std::fmt;

use adit_identity::AgentId;
use http::{HeaderMap, HeaderName, Uri, header::COOKIE};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};

use crate::refusal::Refusal;

/// Names the agent; in a query, too.
pub(crate) const AGENT_ID: HeaderName = HeaderName::from_static("gitlab-agent-id");
/// The proof.
pub(crate) const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
/// The proof in a query.
pub(crate) const CSRF_PARAMETER: &str = "gitlab-csrf-token";
const COOKIE_NAME: &str = "_gitlab_kas";

/// A browser's session with GitLab. Not verified yet.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) agent: AgentId,
    pub(crate) cookie: SecretString,
    pub(crate) csrf_token: SecretString,
}

impl Session {
    /// The session that a request shows; none without GitLab's cookie.
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri) -> Result<Option<Self>, Refusal> {
        let Some(cookie) = cookie(headers)? else {
            return Ok(None);
        };
        let cookie = decoded(cookie).ok_or(BAD_COOKIE)?;
        let query = uri.query().unwrap_or_default();
        let agent = shown(headers, &AGENT_ID, query, AGENT_ID.as_str());
        let agent = agent?.ok_or(Refusal::BadSession(
            "the agent is named by neither `Gitlab-Agent-Id` nor `gitlab-agent-id` in the query",
        ))?;
        let agent = agent
            .parse()
            .map_err(|_| Refusal::BadSession("what names the agent is no agent's id"))?;
        let csrf_token = shown(headers, &CSRF_TOKEN, query, CSRF_PARAMETER);
        let csrf_token = csrf_token?.ok_or(Refusal::BadSession(
            "there is neither `X-Csrf-Token` nor `gitlab-csrf-token` in the query",
        ))?;
        Ok(Some(Self {
            agent,
            cookie: SecretString::from(cookie),
            csrf_token: SecretString::from(csrf_token),
        }))
    }

    /// Whether it is the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.agent == other.agent
            && self.cookie.expose_secret() == other.cookie.expose_secret()
            && self.csrf_token.expose_secret() == other.csrf_token.expose_secret()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

const BAD_COOKIE: Refusal = Refusal::BadSession("GitLab's cookie comes twice, or is malformed");

/// The cookie's value as it stands there.
fn cookie(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut found = None;
    for value in headers.get_all(COOKIE) {
        let Ok(text) = value.to_str() else { continue };
        for pair in text.split(';') {
            let (name, value) = pair.trim().split_once('=').unwrap_or_default();
            if name == COOKIE_NAME && found.replace(value).is_some() {
                return Err(BAD_COOKIE);
            }
        }
    }
    Ok(found)
}

/// What a header or a parameter says; the header, if both do.
fn shown(
    headers: &HeaderMap,
    name: &HeaderName,
    query: &str,
    parameter: &str,
) -> Result<Option<String>, Refusal> {
    const TWICE: Refusal =
        Refusal::BadSession("the agent's id or the CSRF token comes twice, or is malformed");
    let mut values = headers.get_all(name).iter();
    if let Some(value) = values.next() {
        let text = value.to_str().ok().filter(|text| !text.is_empty());
        return match (text, values.next()) {
            (Some(text), None) => Ok(Some(text.to_owned())),
            _ => Err(TWICE),
        };
    }
    let mut values = parameters(query).filter(|(name, _)| *name == parameter);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => decoded(value).ok_or(TWICE).map(Some),
        (Some(_), Some(_)) => Err(TWICE),
    }
}

/// Names and values of a query, as they stand there.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A text that is not empty and of visible characters.
fn decoded(value: &str) -> Option<String> {
    let text = percent_decode_str(value).decode_utf8().ok()?;
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    (!text.is_empty() && is_visible).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    type Shown = Option<(u64, String, String)>;

    fn read(fields: &[(HeaderName, &str)], uri: &'static str) -> Result<Shown, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let session = Session::of(&headers, &Uri::from_static(uri));
        let session = session.map_err(|refusal| refusal.facts().reason)?;
        Ok(session.map(|session| {
            (
                session.agent.0,
                session.cookie.expose_secret().to_owned(),
                session.csrf_token.expose_secret().to_owned(),
            )
        }))
    }

    #[test]
    fn a_page_shows_cookie_agent_and_proof() {
        let shown = |agent, cookie: &str, csrf: &str| Ok(Some((agent, cookie.into(), csrf.into())));
        let cookie = (COOKIE, "a=b; _gitlab_kas=cell.a%2Bb%3D--c; d=e");
        let fields = [cookie.clone(), (AGENT_ID, "41"), (CSRF_TOKEN, "x+y==")];
        assert_eq!(read(&fields, "/api"), shown(41, "cell.a+b=--c", "x+y=="));
        let socket = "/api?watch=1&gitlab-agent-id=41&gitlab-csrf-token=x%2By%3D%3D";
        assert_eq!(
            read(std::slice::from_ref(&cookie), socket),
            shown(41, "cell.a+b=--c", "x+y==")
        );
        // Headers come first.
        let fields = [cookie, (AGENT_ID, "42")];
        assert_eq!(read(&fields, socket), shown(42, "cell.a+b=--c", "x+y=="));
        assert_eq!(
            read(&[(COOKIE, "other=1"), (AGENT_ID, "41")], "/api"),
            Ok(None)
        );
        assert_eq!(read(&[], socket), Ok(None));
    }

    #[test]
    fn what_is_missing_or_comes_twice_is_refused() {
        let cookie = || (COOKIE, "_gitlab_kas=abc");
        let (agent, proof) = (|| (AGENT_ID, "41"), || (CSRF_TOKEN, "x"));
        let cases = [
            (vec![cookie(), proof()], "/api"),
            (vec![cookie(), agent()], "/api"),
            (vec![cookie(), cookie(), agent(), proof()], "/api"),
            (vec![cookie(), agent(), agent(), proof()], "/api"),
            (vec![cookie(), agent(), proof(), proof()], "/api"),
            (vec![cookie(), (AGENT_ID, "041"), proof()], "/api"),
            (vec![cookie(), (AGENT_ID, ""), proof()], "/api"),
            (vec![(COOKIE, "_gitlab_kas="), agent(), proof()], "/api"),
            (vec![(COOKIE, "_gitlab_kas=%0a"), agent(), proof()], "/api"),
            (
                vec![cookie(), proof()],
                "/api?gitlab-agent-id=41&gitlab-agent-id=41",
            ),
        ];
        for (fields, uri) in cases {
            assert_eq!(read(&fields, uri), Err("bad_session"), "{fields:?} {uri}");
        }
    }
}
