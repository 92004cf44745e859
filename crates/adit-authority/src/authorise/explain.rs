//! What would be decided about a job that one only describes, by an agent's file that may not be in force: each rule, and why it does
//! or does not apply. Asked by `adit access explain`.
//!
//! Which entry covers a job is asked, too, about one that GitLab does not let in ([`super::unlisted`]).
//!
//! Nothing is decided here. Which entry is asked first, and what its filters say, is the rules' own word ([`crate::ci_access`]); as
//! whom the job would act is what the relay makes of GitLab's list ([`crate::gitlab`]).

use std::{collections::HashMap, ptr};

use adit_identity::{ActAs, AgentId, JobIdentity, Label, ProjectId};

use super::{NotAllowed, kept_out};
use crate::{
    agent_file::{AgentFile, Covers, Dropped, Entry, Home, Mode},
    ci_access::Scopes,
    gitlab::Granted,
};

/// A job in front of an agent.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks. What is not known of it may be made up: it comes back in names and nowhere else.
    pub job: JobIdentity,
    /// What GitLab has licensed to the job's project.
    pub licence: Licence,
    /// Where the agent's file is kept.
    pub home: Home,
    /// The agent.
    pub agent: AgentId,
    /// Its name for people: `<config project path>:<agent name>`.
    pub context: Box<str>,
    /// The id of its project.
    pub config_project: ProjectId,
}

/// What GitLab has licensed to a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Licence {
    /// `access_as: agent` alone.
    Free,
    /// All modes.
    Premium,
}

/// The answer.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// Every entry of `ci_access`, and the grant to the agent's own project, in the order in which kinds of entries are asked.
    pub rules: Vec<Rule<'a>>,
    /// As whom the job gets in, or why it does not.
    pub outcome: Result<Admitted, NotAllowed>,
}

/// An entry and what it says of the job.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// What it says.
    pub verdict: Verdict<'a>,
}

/// What an entry says of a job.
#[derive(Clone, Debug)]
pub enum Verdict<'a> {
    /// It is the nearest that covers the job.
    Decides,
    /// It covers the job, and a nearer one decides.
    Hidden {
        /// The one that decides.
        by: &'a Entry,
    },
    /// The job is of another project or of another group.
    Elsewhere,
    /// GitLab does as if it were not there.
    Dropped(Dropped),
}

/// A job that gets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// As whom.
    pub act_as: ActAs,
    /// With which namespace in its kubeconfig.
    pub default_namespace: Option<Label>,
}

/// A file in front of a job.
pub(super) struct Weighed<'a> {
    /// All entries and which of them GitLab drops, those of projects first.
    judged: Vec<(&'a Entry, Option<Dropped>)>,
    /// Those that count and cover the job, the one that decides first.
    covering: Vec<&'a Entry>,
}

impl<'a> Weighed<'a> {
    pub(super) fn new(
        file: &'a AgentFile,
        home: &Home,
        job: &JobIdentity,
        licence: Licence,
    ) -> Self {
        let judged = judge(file, home, licence);
        let scopes = counting(file.own(), &judged);
        let project = job.project.path.as_ref();
        let is_own = project.is_some() && project == home.project.as_ref();
        let covering = scopes.covering(project, is_own).copied().collect();
        Self { judged, covering }
    }

    /// The one that decides.
    pub(super) fn deciding(&self) -> Option<&'a Entry> {
        self.covering.first().copied()
    }
}

impl Question {
    /// Answers it by a file.
    #[must_use]
    pub fn explain<'a>(&self, file: &'a AgentFile) -> Explanation<'a> {
        let weighed = Weighed::new(file, &self.home, &self.job, self.licence);
        let first = weighed.deciding();
        let Weighed { judged, covering } = weighed;
        let verdict = |(entry, dropped): (&'a Entry, Option<Dropped>)| {
            let verdict = match (dropped, first) {
                (Some(dropped), _) => Verdict::Dropped(dropped),
                (None, Some(first)) if is(first, entry) => Verdict::Decides,
                (None, Some(first)) if covering.iter().any(|one| is(one, entry)) => {
                    Verdict::Hidden { by: first }
                }
                (None, _) => Verdict::Elsewhere,
            };
            Rule { entry, verdict }
        };
        Explanation {
            rules: judged.into_iter().map(verdict).collect(),
            outcome: self.outcome(first),
        }
    }

    fn outcome(&self, deciding: Option<&Entry>) -> Result<Admitted, NotAllowed> {
        let entry = deciding.ok_or(NotAllowed::NoGrant(self.agent))?;
        if let Some(filtered) = entry.filters.refusal(&self.job) {
            return Err(kept_out(filtered, &self.context, &self.job));
        }
        let granted = Granted::as_listed(self.agent, self.config_project, &entry.options);
        let allowed = granted
            .agent(self.agent)
            .ok_or_else(|| NotAllowed::NotListed(self.agent.into()))?;
        let act_as = granted.act_as(self.agent, allowed, &self.job);
        Ok(Admitted {
            act_as: act_as.map_err(|why| NotAllowed::Unusable {
                context: self.context.clone(),
                why,
            })?,
            default_namespace: allowed.default_namespace.clone(),
        })
    }
}

fn judge<'a>(
    file: &'a AgentFile,
    home: &Home,
    licence: Licence,
) -> Vec<(&'a Entry, Option<Dropped>)> {
    let mut judged = file.for_jobs(home);
    let is_of_a_project = |(entry, _): &&(&Entry, _)| matches!(entry.covers, Covers::Project(_));
    let projects = judged.iter().take_while(is_of_a_project).count();
    judged.insert(projects, (file.own(), None));
    for (entry, dropped) in &mut judged {
        if dropped.is_none() && licence == Licence::Free && entry.mode != Mode::Agent {
            *dropped = Some(Dropped::Unlicensed);
        }
    }
    judged
}

/// The entries that GitLab keeps, by whom they cover. `own` always is among them.
fn counting<'a>(own: &'a Entry, judged: &[(&'a Entry, Option<Dropped>)]) -> Scopes<&'a Entry> {
    let mut scopes = Scopes {
        projects: HashMap::new(),
        groups: HashMap::new(),
        instance: None,
        implicit: own,
    };
    for (entry, dropped) in judged {
        if dropped.is_some() {
            continue;
        }
        match &entry.covers {
            Covers::Project(path) => _ = scopes.projects.insert(path.clone(), *entry),
            Covers::Group(path) => _ = scopes.groups.insert(path.clone(), *entry),
            Covers::Instance => scopes.instance = Some(*entry),
            Covers::Own => {}
        }
    }
    scopes
}

/// The same entry, not one that says the same.
fn is(one: &Entry, other: &Entry) -> bool {
    ptr::eq(one, other)
}

#[cfg(test)]
mod tests;
