//! Numbers about asking GitLab, read where they are kept, at each scrape.

use std::fmt;

use adit_authority::{
    GitLab,
    gitlab::{BreakerState, QuestionStats},
};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// A sample's labels and value.
type Sample<const LABELS: usize> = ([(&'static str, &'static str); LABELS], u64);

/// Writes all of them.
pub(super) fn encode(gitlab: &GitLab, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let stats = gitlab.stats();
    counters(encoder, &stats)?;
    gauges(encoder, &stats)?;
    let state = gitlab.breaker();
    let states = BreakerState::ALL.iter().map(|one| {
        let label = [("state", one.as_str())];
        (label, u64::from(*one == state))
    });
    family(
        encoder,
        ("gitlab_breaker", "Whether GitLab is asked: one state is 1"),
        MetricType::Gauge,
        states,
    )
}

fn counters(encoder: &mut DescriptorEncoder<'_>, stats: &[QuestionStats]) -> fmt::Result {
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
    let counter = MetricType::Counter;
    family(
        encoder,
        ("gitlab_calls", "Calls to GitLab by how they ended"),
        counter,
        calls,
    )?;
    family(
        encoder,
        (
            "gitlab_lookups",
            "Tokens shown, by how GitLab's word on them was found",
        ),
        counter,
        lookups,
    )?;
    family(
        encoder,
        (
            "gitlab_ended",
            "Tokens whose access ended while they were known",
        ),
        counter,
        ended,
    )
}

fn gauges(encoder: &mut DescriptorEncoder<'_>, stats: &[QuestionStats]) -> fmt::Result {
    let mut gauge = |name, help, value: fn(&QuestionStats) -> usize| {
        let samples = stats.iter().map(|stats| {
            let label = [("question", stats.question.as_str())];
            (label, u64::try_from(value(stats)).unwrap_or(u64::MAX))
        });
        family(encoder, (name, help), MetricType::Gauge, samples)
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
        "Tokens in use that should have been asked about by now",
        |stats| stats.overdue,
    )
}

/// The samples of each question.
fn each<'a, I>(
    stats: &'a [QuestionStats],
    samples: impl Fn(&'a QuestionStats) -> I,
) -> impl Iterator<Item = Sample<2>>
where
    I: Iterator<Item = ((&'static str, &'static str), u64)> + 'a,
{
    stats.iter().flat_map(move |of_question| {
        let question = ("question", of_question.question.as_str());
        samples(of_question).map(move |(label, value)| ([question, label], value))
    })
}

fn family<const LABELS: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    kind: MetricType,
    samples: impl Iterator<Item = Sample<LABELS>>,
) -> fmt::Result {
    let mut metrics = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in samples {
        let metric = metrics.encode_family(&labels)?;
        if matches!(kind, MetricType::Counter) {
            ConstCounter::new(value).encode(metric)?;
        } else {
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
        }
    }
    Ok(())
}
