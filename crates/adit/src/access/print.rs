//! An explanation for people, and as JSON.

use std::fmt::Write;

use adit_authority::agent_file::Entry;
use adit_authority::{Admitted, Explanation, NotAllowed, Question, Rule, Verdict};
use adit_identity::{ActAs, Impersonation, JobIdentity};
use serde_json::{Value, json};

use super::unknown;

pub(super) fn text(question: &Question, explanation: &Explanation<'_>) -> String {
    let mut text = format!("agent {}\n{}\n", question.context, described(&question.job));
    text += "\nThe first rule that covers the job decides, and its filters are looked at then:\n";
    for rule in &explanation.rules {
        let place = rule.entry.place.map(|place| place.to_string());
        let place = place.unwrap_or_else(|| "-".to_owned());
        line(
            &mut text,
            format_args!("  {place:<8} {}", rule_name(rule.entry)),
        );
        line(
            &mut text,
            format_args!("           {}", said(&rule.verdict)),
        );
    }
    if let Ok(admitted) = &explanation.outcome {
        text.push('\n');
        text += &unknown::named(&gets_in(admitted, question), &question.job);
    }
    text
}

pub(super) fn json(question: &Question, explanation: &Explanation<'_>) -> String {
    let rules: Vec<_> = explanation.rules.iter().map(rule_json).collect();
    let outcome = explanation.outcome.as_ref();
    let (admitted, refused) = (outcome.ok(), outcome.err());
    let answer = json!({
        "agent": question.context,
        "allowed": admitted.is_some(),
        "act_as": admitted.map(|admitted| act_as_json(&admitted.act_as)),
        "default_namespace": admitted.and_then(namespace),
        "reason": refused.map(NotAllowed::reason),
        "why": refused.map(ToString::to_string),
        "rules": rules,
    });
    unknown::named(&format!("{answer:#}\n"), &question.job)
}

/// `job of group/app on main (protected), for the environment production (tier production)`
fn described(job: &JobIdentity) -> String {
    let mut text = String::from("job");
    if let Some(path) = &job.project.path {
        text += &format!(" of {path}");
    }
    match &job.git_ref {
        Some(git_ref) if git_ref.protected => text += &format!(" on {} (protected)", git_ref.name),
        Some(git_ref) => text += &format!(" on {} (not protected)", git_ref.name),
        None => text += " on a ref that --ref does not say (not protected)",
    }
    let environment = job.environment.as_ref();
    match environment.and_then(|environment| Some((environment.name()?, environment.tier()))) {
        Some((name, tier)) => text += &format!(", for the environment {name} (tier {tier})"),
        None => text += ", for no environment",
    }
    text
}

/// An entry with its key, where it has one.
fn rule_name(entry: &Entry) -> String {
    if entry.place.is_none() {
        return format!("without an entry: {entry}");
    }
    format!("{}: {entry}", entry.key)
}

fn said(verdict: &Verdict<'_>) -> String {
    match verdict {
        Verdict::Decides => "decides".to_owned(),
        Verdict::Hidden { by } => format!("covers the job, and {} is nearer", by_name(by)),
        Verdict::Elsewhere => "does not cover the job".to_owned(),
        Verdict::Dropped(why) => format!("does not count: {why}"),
    }
}

fn by_name(entry: &Entry) -> String {
    match entry.place {
        Some(_) => entry.key.to_string(),
        None => "the grant to the agent's own project".to_owned(),
    }
}

fn gets_in(admitted: &Admitted, question: &Question) -> String {
    let mut text = String::new();
    match &admitted.act_as {
        ActAs::Agent => {
            text += "It gets in as the agent's own service account, which an agent from adit's manifests or chart does not lend: it refuses, unless its `ceiling.agent` is true.\n";
        }
        ActAs::Impersonate(user) => {
            line(&mut text, format_args!("It gets in as {}", user.user()));
            if let Some(uid) = user.uid() {
                line(&mut text, format_args!("  uid    {uid}"));
            }
            for group in user.groups() {
                line(&mut text, format_args!("  group  {group}"));
            }
            for extra in user.extra() {
                let values = extra.values.join(", ");
                line(&mut text, format_args!("  extra  {}: {values}", extra.key));
            }
        }
    }
    let namespace =
        namespace(admitted).map_or_else(String::new, |name| format!(", with the namespace {name}"));
    line(
        &mut text,
        format_args!(
            "Its kubeconfig has the context {}{namespace}",
            question.context
        ),
    );
    text
}

fn rule_json(rule: &Rule<'_>) -> Value {
    let (verdict, why) = match &rule.verdict {
        Verdict::Decides => ("decides", None),
        Verdict::Hidden { .. } => ("hidden", Some(said(&rule.verdict))),
        Verdict::Elsewhere => ("elsewhere", None),
        Verdict::Dropped(why) => ("dropped", Some(why.to_string())),
    };
    json!({
        "key": rule.entry.place.map(|_| rule.entry.key.to_string()),
        "line": rule.entry.place.map(|place| place.line),
        "column": rule.entry.place.map(|place| place.column),
        "entry": rule.entry.to_string(),
        "verdict": verdict,
        "why": why,
    })
}

fn act_as_json(act_as: &ActAs) -> Value {
    match act_as {
        ActAs::Agent => json!({ "agent": {} }),
        ActAs::Impersonate(user) => json!({ "impersonate": user_json(user) }),
    }
}

fn user_json(user: &Impersonation) -> Value {
    let extra: Vec<_> = user
        .extra()
        .iter()
        .map(|extra| json!({ "key": extra.key, "val": extra.values }))
        .collect();
    json!({
        "username": user.user(),
        "uid": user.uid(),
        "groups": user.groups(),
        "extra": extra,
    })
}

fn namespace(admitted: &Admitted) -> Option<&str> {
    admitted
        .default_namespace
        .as_ref()
        .map(|name| name.as_str())
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes all");
}
