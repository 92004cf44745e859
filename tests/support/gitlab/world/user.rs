//! Users, their personal access tokens, and their browsers' sessions.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Kind, World, random};

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    pub id: u64,
    pub login: String,
    pub is_blocked: bool,
    pub tokens: Vec<PersonalToken>,
    pub sessions: Vec<Session>,
}

/// A personal access token.
#[derive(Clone, Debug)]
pub struct PersonalToken {
    pub value: String,
    /// Such as `k8s_proxy` or `read_repository`.
    pub scopes: Vec<String>,
    /// Revoked or expired.
    pub is_over: bool,
}

impl PersonalToken {
    /// Whether one of these scopes is among its own.
    pub(in crate::gitlab) fn has_scope(&self, any: &[&str]) -> bool {
        self.scopes
            .iter()
            .any(|scope| any.contains(&scope.as_str()))
    }
}

/// A browser that is logged in.
#[derive(Clone, Debug)]
pub struct Session {
    id: String,
    /// What the page shows to prove that it is GitLab's own.
    pub csrf_token: String,
    /// Logged out.
    pub is_over: bool,
}

/// What a cookie's value says.
pub(in crate::gitlab) enum Cookie<'a> {
    /// Not of this GitLab's making.
    Unreadable,
    /// Of a session that is over, or never was.
    NoSession,
    Session(&'a User, &'a Session),
}

impl World {
    /// The user of this name; made when there is none, with a namespace of their own.
    pub fn user(&mut self, login: &str) -> u64 {
        if let Some(user) = self.users.values().find(|user| user.login == login) {
            return user.id;
        }
        let id = self.take_id();
        let user = User {
            id,
            login: login.to_owned(),
            is_blocked: false,
            tokens: Vec::new(),
            sessions: Vec::new(),
        };
        self.users.insert(id, user);
        self.add_namespace(None, login, Kind::User(id));
        id
    }

    #[must_use]
    pub fn user_of(&self, id: u64) -> &User {
        &self.users[&id]
    }

    /// # Panics
    ///
    /// When there is no such user.
    pub fn user_mut(&mut self, id: u64) -> &mut User {
        self.users.get_mut(&id).expect("the user is there")
    }

    /// A new personal access token.
    pub fn personal_token(&mut self, user: u64, scopes: &[&str]) -> String {
        let value = random::prefixed(
            self.settings.token_prefix.as_deref(),
            &format!("glpat-{}", random::text(20)),
        );
        self.user_mut(user).tokens.push(PersonalToken {
            value: value.clone(),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            is_over: false,
        });
        value
    }

    /// The user of a personal access token that works.
    pub(in crate::gitlab) fn user_by_token(&self, value: &str) -> Option<(&User, &PersonalToken)> {
        let users = self.users.values().filter(|user| !user.is_blocked);
        let mut tokens = users.flat_map(|user| user.tokens.iter().map(move |token| (user, token)));
        tokens.find(|(_, token)| !token.is_over && token.value == value)
    }

    /// Logs a browser in: the value of its cookie `_gitlab_kas`, not URL-escaped, and the CSRF token of its pages.
    pub fn log_in(&mut self, user: u64) -> (String, String) {
        let session = Session {
            id: random::text(32),
            csrf_token: random::text(44),
            is_over: false,
        };
        let seen = (sealed(&session.id), session.csrf_token.clone());
        self.user_mut(user).sessions.push(session);
        seen
    }

    /// The header with which GitLab sets the cookie. `Domain` only where the relay's host is below GitLab's own.
    #[must_use]
    pub fn set_cookie(&self, value: &str) -> String {
        let parts = |url: &str| {
            let url: http::Uri = url.parse().expect("a URL");
            let host = url.host().unwrap_or_default().to_owned();
            (host, url.path().trim_end_matches('/').to_owned())
        };
        let (own_host, _) = parts(&self.settings.external_url);
        let (host, path) = parts(&self.settings.k8s_proxy_url);
        let mut cookie = format!(
            "_gitlab_kas={}; path={path}; max-age=86400; HttpOnly",
            escaped(value)
        );
        if host.ends_with(&format!(".{own_host}")) {
            cookie.push_str(&format!("; domain={own_host}"));
        }
        if self.settings.external_url.starts_with("https:") {
            cookie.push_str("; secure");
        }
        cookie
    }

    pub(in crate::gitlab) fn read_cookie(&self, value: &str) -> Cookie<'_> {
        // A cell may have put its own name before it.
        let value = value.rsplit_once('.').map_or(value, |(_, value)| value);
        let Some(id) = opened(value) else {
            return Cookie::Unreadable;
        };
        let sessions = self
            .users
            .values()
            .flat_map(|user| user.sessions.iter().map(move |session| (user, session)));
        sessions
            .filter(|(_, session)| session.id == id && !session.is_over)
            .map(|(user, session)| Cookie::Session(user, session))
            .next()
            .unwrap_or(Cookie::NoSession)
    }
}

/// GitLab encrypts it; what counts for others is that it is opaque, and that `+`, `/` and `=` occur in it.
fn sealed(id: &str) -> String {
    let mac = hmac::sign(&key(), id.as_bytes());
    format!("{}--{}", STANDARD.encode(id), STANDARD.encode(mac.as_ref()))
}

fn opened(value: &str) -> Option<String> {
    let (id, mac) = value.split_once("--")?;
    let (id, mac) = (STANDARD.decode(id).ok()?, STANDARD.decode(mac).ok()?);
    hmac::verify(&key(), &id, &mac).ok()?;
    String::from_utf8(id).ok()
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, b"the secret of all doubles' cookies")
}

/// As a cookie's value must be.
fn escaped(value: &str) -> String {
    value
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D")
}
