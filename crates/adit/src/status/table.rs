//! Lays a relay's status out for a terminal.

use std::fmt::Write;

use adit_relay::status::{Agent, First, History, Report, Stream, age, millis, size};

use crate::kubernetes_status::printable;

/// All of it.
pub(super) fn of(report: &Report) -> String {
    let mut text = format!(
        "relay {}, up since {}, {} of {} connected, {} running{}\n",
        report.version,
        report.since,
        report.connected(),
        counted(report.agents.count, "agent"),
        counted(report.requests, "request"),
        if report.draining { ", draining" } else { "" },
    );
    for problem in &report.problems {
        line(
            &mut text,
            &format!("PROBLEM {}: {}", problem.about, problem.message),
        );
    }
    agents(&mut text, &report.agents);
    streams(&mut text, &report.streams);
    last_hour(&mut text, &report.history);
    if !report.refusals.is_empty() {
        let rows = report.refusals.iter();
        let rows = rows.map(|(reason, count)| [reason.clone(), count.to_string()]);
        text.push('\n');
        rows_of(&mut text, ["REFUSED IN THE LAST HOUR", ""], rows);
    }
    text
}

fn agents(text: &mut String, agents: &First<Agent>) {
    text.push('\n');
    if agents.shown.is_empty() {
        line(text, "no agents: none is configured, and none was here");
        return;
    }
    let headings = [
        "AGENT",
        "ID",
        "REPLICA",
        "VERSION",
        "KUBERNETES",
        "UP SINCE",
        "ROUND TRIP",
        "STREAMS",
        "TUNNEL",
    ];
    rows_of(text, headings, agents.shown.iter().flat_map(rows_of_agent));
    left_out(text, agents.left_out());
}

fn rows_of_agent(agent: &Agent) -> Vec<[String; 9]> {
    let name = or_none(agent.name.clone());
    if agent.replicas.is_empty() {
        let since = agent.offline_since.clone();
        let state = since.map_or_else(
            || "not connected since the relay started".to_owned(),
            |since| format!("offline since {since}"),
        );
        let nothing = String::new;
        return vec![[
            name,
            agent.id.to_string(),
            state,
            nothing(),
            nothing(),
            nothing(),
            nothing(),
            nothing(),
            nothing(),
        ]];
    }
    let rows = agent.replicas.iter().map(|replica| {
        let draining = if replica.draining { " (draining)" } else { "" };
        [
            name.clone(),
            agent.id.to_string(),
            format!("{}{draining}", replica.replica),
            replica.version.clone(),
            replica.kubernetes.clone(),
            replica.since.clone(),
            millis(replica.round_trip_ms),
            replica.streams.to_string(),
            replica.tunnel.clone(),
        ]
    });
    rows.collect()
}

fn streams(text: &mut String, streams: &First<Stream>) {
    if streams.count == 0 {
        return;
    }
    text.push('\n');
    let headings = [
        "FOR",
        "KIND",
        "VERB",
        "RESOURCE",
        "NAMESPACE",
        "NAME",
        "AGENT",
        "JOB",
        "PROJECT",
        "USER",
        "IN",
        "OUT",
        "REQUEST",
    ];
    let rows = streams.shown.iter().map(|stream| {
        [
            age(stream.age),
            stream.kind.clone(),
            stream.verb.clone(),
            stream.resource.clone(),
            stream.namespace.clone(),
            stream.name.clone(),
            stream.agent_name.clone(),
            or_none(stream.job.map(|job| job.to_string())),
            or_none(Some(stream.project.clone()).filter(|project| !project.is_empty())),
            stream.login.clone(),
            size(stream.request_bytes as f64),
            size(stream.answer_bytes as f64),
            stream.request_id.clone(),
        ]
    });
    rows_of(text, headings, rows);
    left_out(text, streams.left_out());
}

/// What the page draws: how it is now, and the most of it in the hour.
fn last_hour(text: &mut String, history: &History) {
    if history.is_empty() {
        return;
    }
    let every = history.every.max(1) as f64;
    let rate = |counts: &[u64]| -> Vec<Option<f64>> {
        let rate = |count: &u64| Some(*count as f64 / every);
        counts.iter().map(rate).collect()
    };
    let per_second = |rate: f64| format!("{rate:.1} /s");
    let bytes = |rate: f64| format!("{}/s", size(rate));
    let took = |took: f64| millis(Some(took));
    let rows = [
        row("answered", &rate(&history.answered), per_second),
        row("refused", &rate(&history.refused), per_second),
        row("cancelled", &rate(&history.cancelled), per_second),
        row("half of the answers within", &history.median_ms, took),
        row("99 of 100 within", &history.p99_ms, took),
        row("to callers", &rate(&history.answer_bytes), bytes),
        row("from callers", &rate(&history.request_bytes), bytes),
    ];
    text.push('\n');
    rows_of(text, ["THE LAST HOUR", "NOW", "MOST"], rows);
}

fn row(what: &str, values: &[Option<f64>], told: impl Fn(f64) -> String) -> [String; 3] {
    let most = values.iter().flatten().copied().reduce(f64::max);
    let now = values.last().copied().flatten();
    [
        what.to_owned(),
        or_none(now.map(&told)),
        or_none(most.map(&told)),
    ]
}

fn or_none(told: Option<String>) -> String {
    told.unwrap_or_else(|| "-".to_owned())
}

fn left_out(text: &mut String, count: usize) {
    if count > 0 {
        line(text, &format!("and {count} more"));
    }
}

/// Columns as wide as their widest cell.
fn rows_of<const COLUMNS: usize>(
    text: &mut String,
    headings: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) {
    let rows: Vec<_> = [headings.map(str::to_owned)]
        .into_iter()
        .chain(rows)
        .map(|row| row.map(|cell| printable(&cell)))
        .collect();
    for row in &rows {
        let mut one = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max();
            let width = width.unwrap_or_default();
            write!(one, "{cell:width$}  ").expect("a string takes all");
        }
        line(text, one.trim_end());
    }
}

fn line(text: &mut String, one: &str) {
    text.push_str(&printable(one));
    text.push('\n');
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
