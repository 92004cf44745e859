//! Issuers as a relay's config names them, and the check. Read at start.
//! Invariant: the check notes every mistake with its key.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use adit_identity::{
    FullPath, GroupId,
    mistakes::{Key, Mistakes, Section},
};
use serde::Deserialize;

use super::{KeySource, OidcConfig, OidcIssuer, without_query};
use crate::{
    oidc::DEFAULT_MAX_CACHED_TOKENS,
    url::{NO_URL, USERINFO, has_userinfo, is_private_enough, is_url},
};

/// The section `oidc` of a relay's config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOidc {
    /// Whose tokens are accepted.
    #[serde(default)]
    pub issuers: Vec<RawIssuer>,
    /// Verified tokens remembered, about 3.5 KiB each. More tokens than that cost a signature check per connection, nothing else.
    pub max_cached_tokens: Option<u64>,
}

/// One issuer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawIssuer {
    /// What the claim `iss` holds, letter by letter: the GitLab instance's URL. Required.
    pub url: String,
    /// The claim `aud` must hold one of these: what jobs declare under `id_tokens:`. A token meant for something else is of no use here.
    /// Required.
    pub audiences: Vec<String>,
    /// Where the issuer's public keys are. HTTPS, or this machine. Redirects are not followed. Default: `<url>/oauth/discovery/keys`.
    pub jwks_url: Option<String>,
    /// A file with the keys instead.
    pub jwks_file: Option<PathBuf>,
    /// How far clocks may differ.
    pub leeway: Option<String>,
    /// How long a token may be valid.
    pub max_lifetime: Option<String>,
    /// How often keys are fetched; by default every `10s` when they are in a file. A token with an unknown key causes a fetch at once.
    pub refresh_interval: Option<String>,
    /// Shortest time between two fetches, whatever tokens arrive. One with a new key that comes too early is told to come back: 503,
    /// `token_key_pending`. Above `4m` the alert `AditIssuerKeysEnd` does not see fetches that fail.
    pub min_refresh_interval: Option<String>,
    /// When a fetch is given up.
    pub fetch_timeout: Option<String>,
    /// How long a key that is no longer published is accepted: tokens it signed are still about.
    pub keep_removed_keys: Option<String>,
    /// How long keys are accepted while the issuer is out of reach.
    pub max_stale: Option<String>,
    /// Ids of groups by path. A token names the id of the project's direct group only; with the groups above it here, RBAC can name
    /// `gitlab:group:<id>` for them too.
    #[serde(default)]
    pub group_ids: BTreeMap<String, u64>,
}

impl OidcConfig {
    /// The section, as far as it is right: with a mistake noted, it is of no use but to check other sections by.
    pub fn check(raw: RawOidc, key: &Key, mistakes: &mut Mistakes) -> Self {
        let mut issuers: Vec<OidcIssuer> = Vec::with_capacity(raw.issuers.len());
        for (at, raw) in raw.issuers.into_iter().enumerate() {
            let key = key.field("issuers").index(at);
            let issuer = raw.check(&key, mistakes);
            if issuers.iter().any(|earlier| earlier.url == issuer.url) {
                mistakes.add(
                    &key.field("url"),
                    format_args!("`{}` is listed twice", issuer.url),
                );
            }
            issuers.push(issuer);
        }
        Self {
            issuers,
            max_cached_tokens: Section::at(key.clone(), mistakes).count(
                "max_cached_tokens",
                raw.max_cached_tokens,
                DEFAULT_MAX_CACHED_TOKENS,
                1..=u64::MAX,
            ),
        }
    }
}

impl RawIssuer {
    fn check(mut self, key: &Key, mistakes: &mut Mistakes) -> OidcIssuer {
        if !is_url(&self.url) {
            mistakes.add(&key.field("url"), NO_URL);
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            mistakes.add(
                &key.field("audiences"),
                "needs at least one, and none may be empty",
            );
        }
        let keys = self.key_source(key, mistakes);
        let audiences: Vec<_> = self.audiences.iter().map(String::as_str).collect();
        let mut issuer = OidcIssuer::new(&self.url, &audiences, keys);
        self.check_times(&mut issuer, &mut Section::at(key.clone(), mistakes));
        issuer.group_ids = Arc::new(check_groups(
            self.group_ids,
            &key.field("group_ids"),
            mistakes,
        ));
        issuer
    }

    fn check_times(&self, issuer: &mut OidcIssuer, section: &mut Section<'_>) {
        let times = [
            ("max_lifetime", &self.max_lifetime, &mut issuer.max_lifetime),
            (
                "refresh_interval",
                &self.refresh_interval,
                &mut issuer.refresh_interval,
            ),
            (
                "min_refresh_interval",
                &self.min_refresh_interval,
                &mut issuer.min_refresh_interval,
            ),
            (
                "fetch_timeout",
                &self.fetch_timeout,
                &mut issuer.fetch_timeout,
            ),
            ("max_stale", &self.max_stale, &mut issuer.max_stale),
        ];
        for (name, text, field) in times {
            *field = section.time(name, text.as_deref(), *field);
        }
        issuer.leeway = section.duration(
            "leeway",
            self.leeway.as_deref(),
            issuer.leeway,
            Duration::ZERO..=MAX_LEEWAY,
        );
        issuer.keep_removed_keys = section.duration(
            "keep_removed_keys",
            self.keep_removed_keys.as_deref(),
            issuer.keep_removed_keys,
            Section::ANY_TIME,
        );
        if issuer.max_stale < issuer.refresh_interval {
            section.mistake(
                "max_stale",
                "shorter than refresh_interval, so keys would expire between fetches",
            );
        }
    }

    fn key_source(&mut self, key: &Key, mistakes: &mut Mistakes) -> KeySource {
        let is_given = self.jwks_url.is_some();
        let url = match (self.jwks_url.take(), self.jwks_file.take()) {
            (Some(url), Some(_)) => {
                mistakes.add(
                    &key.field("jwks_file"),
                    "keys come from a URL or a file, not both",
                );
                url
            }
            (None, Some(file)) => return KeySource::File(file),
            (Some(url), None) => url,
            (None, None) => format!("{}/oauth/discovery/keys", self.url.trim_end_matches('/')),
        };
        if has_userinfo(&url) {
            mistakes.add(
                &key.field(if is_given { "jwks_url" } else { "url" }),
                USERINFO,
            );
        } else if !is_private_enough(&url) {
            let url = without_query(&url);
            let what =
                format_args!("`{url}` is not https: whoever is on the way could put in keys");
            if is_given {
                mistakes.add(&key.field("jwks_url"), what);
            } else if is_url(&self.url) {
                // What is no URL was told, and what follows from it is nobody's.
                let what = format_args!("{what}; or take them from jwks_url or jwks_file");
                mistakes.add(&key.field("url"), what);
            }
        }
        KeySource::Url(url.into())
    }
}

fn check_groups(
    raw: BTreeMap<String, u64>,
    key: &Key,
    mistakes: &mut Mistakes,
) -> HashMap<FullPath, GroupId> {
    let mut groups = HashMap::with_capacity(raw.len());
    for (path, id) in raw {
        let checked = mistakes.check(&key.field(&path), path.parse::<FullPath>());
        let Some(path) = checked else {
            continue;
        };
        if id == 0 {
            mistakes.add(&key.field(path.as_str()), "must be above 0");
        } else if groups.insert(path.clone(), GroupId(id)).is_some() {
            mistakes.add(&key.field(path.as_str()), "listed twice, in another case");
        }
    }
    groups
}

/// A wider one keeps expired tokens alive.
const MAX_LEEWAY: Duration = Duration::from_mins(5);
