//! The entries of `ci_access` and `user_access`: whom each covers, with which filters, and as whom it lets in.
//! Invariant: an entry's options are GitLab's words for the same, so that what comes of them can be asked of the code that reads
//! GitLab's answers.

use std::fmt;

use adit_identity::{FullPath, Label, mistakes::Key};
use serde_json::{Map, Value};

use super::{
    Findings, Place,
    section::{At, Section},
    yaml,
};
use crate::ci_access::{EnvironmentPattern, Filters, RawExtra, RawImpersonation};

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Such as `ci_access.projects[0]`.
    pub key: Key,
    /// Where it stands. The grant to the agent's own project stands nowhere.
    pub place: Option<Place>,
    /// Of whom it speaks.
    pub covers: Covers,
    /// As whom it lets them in.
    pub mode: Mode,
    pub(crate) filters: Filters,
    /// What GitLab says of the entry to those whom it lets in: all but its `id`.
    pub options: Value,
}

/// Whose jobs, or which members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Covers {
    /// One project's.
    Project(FullPath),
    /// The agent's own project's.
    Own,
    /// A group's and its subgroups'.
    Group(FullPath),
    /// Everybody's.
    Instance,
}

/// A mode of `access_as`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the agent's service account. Also where nothing is said.
    Agent,
    /// As the job.
    CiJob,
    /// As the job's user.
    CiUser,
    /// As a fixed user.
    Impersonate,
    /// As the user. In `user_access` alone.
    User,
}

/// The entries of one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    pub(super) projects: Vec<Entry>,
    pub(super) groups: Vec<Entry>,
    pub(super) instance: Option<Entry>,
}

impl Entry {
    pub(super) fn own() -> Self {
        Self {
            key: Key::root(),
            place: None,
            covers: Covers::Own,
            mode: Mode::Agent,
            filters: Filters::default(),
            options: Value::Object(Map::new()),
        }
    }

    fn new(at: &At<'_>, covers: Covers, options: Options) -> Self {
        let mut whole = at.node.to_json();
        if let Some(fields) = whole.as_object_mut() {
            fields.remove("id");
        }
        Self {
            key: at.key.clone(),
            place: Some(at.place()),
            covers,
            mode: options.mode,
            filters: options.filters,
            options: whole,
        }
    }
}

impl fmt::Display for Covers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(path) => write!(f, "project {path}"),
            Self::Own => f.write_str("the agent's own project"),
            Self::Group(path) => write!(f, "group {path}"),
            Self::Instance => f.write_str("all projects of the instance"),
        }
    }
}

impl Mode {
    /// The key in `access_as`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::CiJob => "ci_job",
            Self::CiUser => "ci_user",
            Self::Impersonate => "impersonate",
            Self::User => "user",
        }
    }
}

/// `project group/app, as ci_job, in environments staging and review/*, on protected refs`
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, as `{}`", self.covers, self.mode.as_str())?;
        for (at, pattern) in self.filters.environments.iter().flatten().enumerate() {
            let joined = if at == 0 { ", in environment " } else { " or " };
            write!(f, "{joined}{pattern}")?;
        }
        if self.filters.protected_branches_only {
            f.write_str(", on protected branches and tags")?;
        }
        Ok(())
    }
}

impl Lists {
    pub(super) fn for_jobs(at: &At<'_>, findings: &mut Findings) -> Option<Self> {
        let mut section = at.section(findings)?;
        let mut list = |name, covers| {
            let at = section.take(name);
            at.map_or_else(Vec::new, |at| entries(&at, covers, Options::read, findings))
        };
        let projects = list("projects", Covers::Project);
        let groups = list("groups", Covers::Group);
        let instance = section
            .take_with_null("instance")
            .and_then(|at| instance(&at, findings));
        section.end(findings);
        Some(Self {
            projects,
            groups,
            instance,
        })
    }

    pub(super) fn for_users(at: &At<'_>, findings: &mut Findings) -> Option<Self> {
        let mut section = at.section(findings)?;
        let mode = match section.take_with_warning("access_as", AS_AGENT, findings) {
            Some(at) => mode_of(&at, &USER_MODES, findings).unwrap_or(Mode::Agent),
            None => Mode::Agent,
        };
        let no_options = move |_: &mut Section<'_>, _: &mut Findings| {
            Some(Options {
                mode,
                filters: Filters::default(),
            })
        };
        let mut list = |name, covers| {
            let at = section.take(name);
            at.map_or_else(Vec::new, |at| entries(&at, covers, no_options, findings))
        };
        let projects = list("projects", Covers::Project);
        let groups = list("groups", Covers::Group);
        section.end(findings);
        Some(Self {
            projects,
            groups,
            instance: None,
        })
    }
}

/// Those entries of a list that could be read.
fn entries(
    at: &At<'_>,
    covers: fn(FullPath) -> Covers,
    read: impl Fn(&mut Section<'_>, &mut Findings) -> Option<Options>,
    findings: &mut Findings,
) -> Vec<Entry> {
    let list = at.list(findings).unwrap_or_default();
    let mut found = Vec::with_capacity(list.len());
    for at in list {
        let Some(mut section) = at.section(findings) else {
            continue;
        };
        let path = match section.take("id") {
            Some(id) => id.parsed::<FullPath>(findings),
            None => at.wrong(
                "has no `id`: GitLab fails over it, and keeps what it had before",
                findings,
            ),
        };
        let options = read(&mut section, findings);
        section.end(findings);
        if let (Some(path), Some(options)) = (path, options) {
            found.push(Entry::new(&at, covers(path), options));
        }
    }
    found
}

fn instance(at: &At<'_>, findings: &mut Findings) -> Option<Entry> {
    if matches!(at.node.value, yaml::Value::Null) {
        return at.wrong(
            "write `instance: {}`: with nothing behind it, it is no entry",
            findings,
        );
    }
    let mut section = at.section(findings)?;
    let options = Options::read(&mut section, findings);
    section.end(findings);
    Some(Entry::new(at, Covers::Instance, options?))
}

/// What an entry says beside its path.
struct Options {
    mode: Mode,
    filters: Filters,
}

impl Options {
    /// Everything is looked at, also past a mistake.
    fn read(section: &mut Section<'_>, findings: &mut Findings) -> Option<Self> {
        section
            .take("default_namespace")
            .map(|at| at.parsed::<Label>(findings));
        let environments = section
            .take_with_warning("environments", ANY_JOB, findings)
            .and_then(|at| environments(&at, findings));
        let protected_branches_only = section
            .take_with_warning("protected_branches_only", ANY_BRANCH, findings)
            .and_then(|at| at.flag(findings));
        let mode = match section.take_with_warning("access_as", AS_AGENT, findings) {
            Some(at) => mode_of(&at, &JOB_MODES, findings),
            None => Some(Mode::Agent),
        };
        if let Some(mut resources) = section
            .take("resource_management")
            .and_then(|at| at.section(findings))
        {
            resources.take("enabled").map(|at| at.flag(findings));
            resources.end(findings);
        }
        Some(Self {
            mode: mode?,
            filters: Filters {
                environments,
                protected_branches_only: protected_branches_only.unwrap_or_default(),
            },
        })
    }
}

fn environments(at: &At<'_>, findings: &mut Findings) -> Option<Vec<EnvironmentPattern>> {
    let list = at.list(findings)?;
    if list.is_empty() {
        findings.warning(
            at.place(),
            &at.key,
            "GitLab takes an empty list for none: any job passes",
        );
        return None;
    }
    let patterns: Vec<_> = list.iter().map(|at| pattern(at, findings)).collect();
    patterns.into_iter().collect()
}

fn pattern(at: &At<'_>, findings: &mut Findings) -> Option<EnvironmentPattern> {
    match EnvironmentPattern::as_gitlab_reads(at.text(findings)?) {
        Ok(pattern) => {
            if let Some(misread) = pattern.misread() {
                findings.warning(at.place(), &at.key, misread);
            }
            Some(pattern)
        }
        Err(why) => at.wrong(why, findings),
    }
}

fn mode_of(at: &At<'_>, modes: &[Mode], findings: &mut Findings) -> Option<Mode> {
    let mut section = at.section(findings)?;
    let mut found = Vec::new();
    for mode in modes {
        let named = section.take_with_null(mode.as_str());
        found.extend(named.map(|at| (*mode, at)));
    }
    let has_others = section.has_others();
    section.end_strictly(
        "no mode that is known: nobody could act by this entry",
        findings,
    );
    match found.as_slice() {
        [(Mode::Impersonate, at)] => check_impersonation(at, findings).map(|()| Mode::Impersonate),
        [(mode, at)] => check_plain(*mode, at, findings).map(|()| *mode),
        [] if has_others => None,
        _ => {
            let names: Vec<_> = modes
                .iter()
                .map(|mode| format!("`{}`", mode.as_str()))
                .collect();
            let what = format_args!("needs exactly one of {}", names.join(", "));
            at.wrong(what, findings)
        }
    }
}

/// `{}`
fn check_plain(mode: Mode, at: &At<'_>, findings: &mut Findings) -> Option<()> {
    if matches!(at.node.value, yaml::Value::Null) {
        let what = format_args!(
            "write `{}: {{}}`: with nothing behind it, it is no mode",
            mode.as_str()
        );
        return at.wrong(what, findings);
    }
    at.section(findings)?
        .end_strictly("nothing can stand in a mode like this one", findings);
    Some(())
}

fn check_impersonation(at: &At<'_>, findings: &mut Findings) -> Option<()> {
    let mut section = at.section(findings)?;
    let username = match section.take("username") {
        Some(at) => at.text(findings),
        None => at.wrong("has no `username`", findings),
    };
    let uid = section.take("uid").map(|at| at.text(findings));
    let groups = section.take("groups").map(|at| at.texts(findings));
    let extra = section.take("extra").map(|at| extras(&at, findings));
    section.end_strictly(
        "no part of a user that is known: the relay acts as nobody whom it knows in part",
        findings,
    );
    let user = RawImpersonation {
        username: username?.to_owned(),
        uid: uid.flatten().map(str::to_owned),
        groups: owned(groups.flatten().unwrap_or_default()),
        extra: extra.unwrap_or_default(),
    };
    match user.build() {
        Ok(_) => Some(()),
        Err(why) => at.wrong(why, findings),
    }
}

fn extras(at: &At<'_>, findings: &mut Findings) -> Vec<RawExtra> {
    let list = at.list(findings).unwrap_or_default();
    let mut found = Vec::with_capacity(list.len());
    for at in list {
        let Some(mut section) = at.section(findings) else {
            continue;
        };
        let key = section.take("key").map(|at| at.text(findings));
        let val = section.take("val").map(|at| at.texts(findings));
        section.end_strictly("no part of an extra: it has `key` and `val`", findings);
        match (key, val) {
            (Some(Some(key)), Some(Some(val))) => found.push(RawExtra {
                key: key.to_owned(),
                val: owned(val),
            }),
            (None, _) | (_, None) => {
                at.wrong::<()>("needs `key` and `val`", findings);
            }
            // Told where it stands.
            (Some(None), Some(_)) | (Some(_), Some(None)) => {}
        }
    }
    found
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

const ANY_JOB: &str = "jobs of any environment pass, and of none";
const ANY_BRANCH: &str = "jobs on any branch pass";
const AS_AGENT: &str = "whoever comes has the agent's own rights";

/// What can stand in `access_as` of an entry of `ci_access`.
const JOB_MODES: [Mode; 4] = [Mode::Agent, Mode::CiJob, Mode::CiUser, Mode::Impersonate];

/// And in that of `user_access`.
const USER_MODES: [Mode; 2] = [Mode::Agent, Mode::User];
