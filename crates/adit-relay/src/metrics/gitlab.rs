//! Numbers about asking GitLab, read where they are kept, at each scrape.

use std::fmt;

use adit_authority::{
    GitLab,
    gitlab::{AgentFiles, AgentFilesStats, BreakerState, Gitaly, QuestionStats},
};
use adit_process::metrics::Scrape;

/// A sample's labels and value.
type Sample = ([(&'static str, &'static str); 2], u64);

/// Writes all of them.
pub(super) fn encode(
    gitlab: &GitLab,
    files: Option<&AgentFiles>,
    scrape: &mut Scrape<'_>,
) -> fmt::Result {
    let mut stats = gitlab.stats();
    stats.extend(files.map(AgentFiles::calls));
    agent_files(scrape, files.map(AgentFiles::stats).unwrap_or_default())?;
    counters(scrape, &stats)?;
    gauges(scrape, &stats)?;
    let state = gitlab.breaker();
    let states = BreakerState::ALL
        .iter()
        .map(|one| ([("state", one.as_str())], i64::from(*one == state)));
    scrape.gauges(
        "gitlab_breaker",
        "1 for one state. closed: GitLab answers; open: it is left alone; probing: one call is out to see",
        states,
    )
}

/// Writes those about asking Gitaly.
pub(super) fn encode_gitaly(gitaly: &Gitaly, scrape: &mut Scrape<'_>) -> fmt::Result {
    let calls = gitaly.calls().into_iter();
    scrape.counters(
        "gitaly_calls",
        "Calls to Gitaly for agents' files. answered: with what was asked for, or that there is none; denied: it does not accept the relay's token; left_alone: not made",
        calls.map(|(outcome, count)| ([("outcome", outcome.as_str())], count)),
    )?;
    let servers = gitaly.servers().into_iter();
    scrape.gauges(
        "gitaly_servers",
        "Gitaly's servers, by how the last call to them ended",
        servers.map(|(outcome, count)| ([("last", outcome.as_str())], count)),
    )
}

fn agent_files(scrape: &mut Scrape<'_>, stats: AgentFilesStats) -> fmt::Result {
    let states = stats.states.into_iter();
    scrape.gauges(
        "gitlab_agent_files",
        "Agents' files at GitLab. wrong: it has a mistake or is of no use, and the file before it holds; unread: not yet, or not with this token, or Gitaly does not answer",
        states.map(|(state, files)| ([("state", state.as_str())], files)),
    )?;
    let grants = [("accepted", stats.accepted), ("dropped", stats.dropped)];
    scrape.gauges(
        "gitlab_agent_file_grants",
        "Grants of the last files without a mistake. dropped: GitLab drops it without a word",
        grants.map(|(result, grants)| ([("result", result)], grants)),
    )?;
    scrape.gauge(
        "gitlab_agent_files_unposted",
        "Files that GitLab should have been handed, and has not",
        stats.unposted,
    )
}

fn counters(scrape: &mut Scrape<'_>, stats: &[QuestionStats]) -> fmt::Result {
    let calls = each(stats, |stats| {
        stats
            .calls
            .iter()
            .map(|(outcome, count)| (("outcome", outcome.as_str()), *count))
    });
    let lookups = each(stats, |stats| {
        stats
            .lookups
            .iter()
            .map(|(lookup, count)| (("result", lookup.as_str()), *count))
    });
    let ended = each(stats, |stats| {
        stats
            .ended
            .iter()
            .map(|(why, count)| (("reason", why.as_str()), *count))
    });
    scrape.counters(
        "gitlab_calls",
        "Calls to GitLab about the token of a job, an agent or a user, or for an agent's file. yes: 200; no: 401, 403, 404; not_trusted: 401, because it does not accept the relay's secret; not_understood: 400, 413, 431, about one token alone; left_alone: not made",
        calls,
    )?;
    scrape.counters(
        "gitlab_lookups",
        "Tokens shown, by how GitLab's word on them was found. joined: a call was under way; honoured: GitLab gave no answer, and what it said before holds; refused: it did a moment ago; withheld: not asked, for a limit, or because it is left alone",
        lookups,
    )?;
    scrape.counters(
        "gitlab_ended",
        "Tokens whose access ended while they were known; reasons as those of adit_relay_exchanges_cut_total",
        ended,
    )
}

fn gauges(scrape: &mut Scrape<'_>, stats: &[QuestionStats]) -> fmt::Result {
    let mut gauge = |name, help, value: fn(&QuestionStats) -> usize| {
        let samples = stats
            .iter()
            .map(|stats| ([("question", stats.question.as_str())], value(stats)));
        scrape.gauges(name, help, samples)
    };
    gauge(
        "gitlab_tokens",
        "Tokens known, or being asked about",
        |stats| stats.known,
    )?;
    gauge("gitlab_token_bytes", "What is held for them", |stats| {
        stats.known_bytes
    })?;
    gauge(
        "gitlab_tokens_overdue",
        "Tokens in use that should have been asked about 5 s ago",
        |stats| stats.overdue,
    )
}

/// The samples of each question.
fn each<'a, I>(
    stats: &'a [QuestionStats],
    samples: impl Fn(&'a QuestionStats) -> I,
) -> impl Iterator<Item = Sample>
where
    I: Iterator<Item = ((&'static str, &'static str), u64)> + 'a,
{
    stats.iter().flat_map(move |of_question| {
        let question = ("question", of_question.question.as_str());
        samples(of_question).map(move |(label, value)| ([question, label], value))
    })
}
