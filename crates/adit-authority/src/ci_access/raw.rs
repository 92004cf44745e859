//! `ci_access` as it stands in a file, and its check. The keys and their nesting are GitLab's, so an agent's section can be
//! pasted from one file to the other; what adit does not do (`resource_management`, `ci_user`) is refused by name.
//! Invariant: the check notes every mistake with its key, and makes no value of a part that has one.

use std::collections::HashMap;

use adit_identity::{
    BadImpersonation, BadPath, Extra, FullPath, Impersonation,
    mistakes::{Key, Mistakes},
};
use serde::Deserialize;

use super::{AccessAs, CiAccess, Filters, Grant, Scopes};

/// The whole section.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCiAccess {
    /// Jobs of single projects.
    #[serde(default)]
    pub projects: Vec<RawScope>,
    /// Jobs of all projects in a group and its subgroups.
    #[serde(default)]
    pub groups: Vec<RawScope>,
    /// An entry for every project of the issuer. `{}` is one.
    pub instance: Option<RawOptions>,
}

/// An entry of `projects` or `groups`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawScope {
    /// Full path of the project, or of the group, which covers its subgroups; in any case. Required.
    pub id: String,
    /// See [`RawOptions::default_namespace`].
    pub default_namespace: Option<String>,
    /// See [`RawOptions::environments`].
    pub environments: Option<Vec<String>>,
    /// See [`RawOptions::protected_branches_only`].
    #[serde(default)]
    pub protected_branches_only: bool,
    /// See [`RawOptions::access_as`].
    pub access_as: Option<RawAccessAs>,
}

/// What an entry may say beside its path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOptions {
    /// The namespace in the job's kubeconfig. No boundary.
    pub default_namespace: Option<String>,
    /// Only jobs with one of these environments; `*` as wildcard. Without it a job needs no environment, as GitLab has it. Default: any, or
    /// none.
    pub environments: Option<Vec<String>>,
    /// Only jobs on protected branches and tags. Off, as GitLab has it. Default: `false`.
    #[serde(default)]
    pub protected_branches_only: bool,
    /// As whom jobs act. The default is the caller's of the check.
    pub access_as: Option<RawAccessAs>,
}

/// Exactly one of these keys.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAccessAs {
    /// `{}`: with the agent's own rights. Default: no.
    pub agent: Option<Nothing>,
    /// As a fixed user.
    pub impersonate: Option<RawImpersonation>,
    /// `{}`: as the job. Default: this one of the three.
    pub ci_job: Option<Nothing>,
}

/// `{}`
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A fixed user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawImpersonation {
    /// As this user. Required.
    pub username: String,
    /// With this unique id.
    pub uid: Option<String>,
    /// In these groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// In order.
    #[serde(default)]
    pub extra: Vec<RawExtra>,
}

/// One extra of a fixed user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawExtra {
    /// What the extra is called, in lower case. Required.
    pub key: String,
    /// Its values, one at least. Required.
    pub val: Vec<String>,
}

impl CiAccess {
    /// The section, or what is wrong with it. `default` is as whom jobs act where an entry does not say; the implicit
    /// entry never does.
    pub fn check(
        raw: RawCiAccess,
        default: &AccessAs,
        key: &Key,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let of_projects = FullPath::of_project;
        let in_projects = key.field("projects");
        let projects = check_scopes(raw.projects, of_projects, default, &in_projects, mistakes);
        let in_groups = key.field("groups");
        let groups = check_scopes(raw.groups, str::parse, default, &in_groups, mistakes);
        let instance = match raw.instance {
            Some(options) => options
                .check(default, &key.field("instance"), mistakes)
                .map(Some),
            None => Some(None),
        };
        Some(Self(Scopes {
            projects: projects?,
            groups: groups?,
            instance: instance?,
            implicit: Grant::plain(default.clone()),
        }))
    }
}

fn check_scopes(
    scopes: Vec<RawScope>,
    read: fn(&str) -> Result<FullPath, BadPath>,
    default: &AccessAs,
    key: &Key,
    mistakes: &mut Mistakes,
) -> Option<HashMap<FullPath, Grant>> {
    let count = scopes.len();
    let mut grants = HashMap::with_capacity(count);
    for (at, scope) in scopes.into_iter().enumerate() {
        let key = key.index(at);
        let (id, options) = scope.split();
        let path = mistakes.check(&key.field("id"), read(&id));
        let grant = options.check(default, &key, mistakes);
        let (Some(path), Some(grant)) = (path, grant) else {
            continue;
        };
        if grants.contains_key(&path) {
            mistakes.add(
                &key.field("id"),
                format_args!("`{path}` is listed twice, and entries are never merged"),
            );
            continue;
        }
        grants.insert(path, grant);
    }
    (grants.len() == count).then_some(grants)
}

impl RawScope {
    fn split(self) -> (String, RawOptions) {
        let Self {
            id,
            default_namespace,
            environments,
            protected_branches_only,
            access_as,
        } = self;
        (
            id,
            RawOptions {
                default_namespace,
                environments,
                protected_branches_only,
                access_as,
            },
        )
    }
}

impl RawOptions {
    fn check(self, default: &AccessAs, key: &Key, mistakes: &mut Mistakes) -> Option<Grant> {
        let default_namespace = match self.default_namespace {
            Some(name) => mistakes
                .check(&key.field("default_namespace"), name.parse())
                .map(Some),
            None => Some(None),
        };
        let environments = match self.environments {
            Some(patterns) => {
                check_patterns(&patterns, &key.field("environments"), mistakes).map(Some)
            }
            None => Some(None),
        };
        let access_as = match self.access_as {
            Some(raw) => raw.check(&key.field("access_as"), mistakes),
            None => Some(default.clone()),
        };
        Some(Grant {
            access_as: access_as?,
            default_namespace: default_namespace?,
            filters: Filters {
                environments: environments?,
                protected_branches_only: self.protected_branches_only,
            },
        })
    }
}

fn check_patterns(
    texts: &[String],
    key: &Key,
    mistakes: &mut Mistakes,
) -> Option<Vec<super::EnvironmentPattern>> {
    if texts.is_empty() {
        mistakes.add(
            key,
            "lists no environment and so allows no job; leave the key out to allow all",
        );
        return None;
    }
    let checked = texts
        .iter()
        .enumerate()
        .map(|(at, text)| mistakes.check(&key.index(at), text.parse()));
    checked.collect::<Vec<_>>().into_iter().collect()
}

impl RawAccessAs {
    fn check(self, key: &Key, mistakes: &mut Mistakes) -> Option<AccessAs> {
        match (self.agent, self.impersonate, self.ci_job) {
            (Some(Nothing {}), None, None) => Some(AccessAs::Agent),
            (None, Some(raw), None) => mistakes
                .check(&key.field("impersonate"), raw.build())
                .map(AccessAs::Impersonate),
            (None, None, Some(Nothing {})) => Some(AccessAs::CiJob),
            _ => {
                mistakes.add(
                    key,
                    "needs exactly one of `agent: {}`, `impersonate: {...}`, `ci_job: {}`",
                );
                None
            }
        }
    }
}

impl RawImpersonation {
    /// The user, if it can be impersonated.
    pub(crate) fn build(self) -> Result<Impersonation, BadImpersonation> {
        let extra = self
            .extra
            .into_iter()
            .map(|RawExtra { key, val }| Extra { key, values: val })
            .collect();
        Impersonation::new(self.username, self.uid, self.groups, extra)
    }
}
