//! `null` takes a default away: what would then not be the same is refused.

use serde_json::{Map, Value, json};

use crate::chart::{Chart, over};

#[test]
fn no_default_of_the_agents_chart_is_taken_away_unseen() {
    let name = "no_default_of_the_agents_chart_is_taken_away_unseen";
    let Some(chart) = Chart::agent(name) else {
        return;
    };
    let in_use = json!({
        "flux": { "gitlabUrl": "https://gitlab.example.com" },
        "podMonitor": { "enabled": true },
    });
    loses_nothing(
        &chart,
        &in_use,
        &[
            "/ceiling/agent",
            "/networkPolicy/enabled",
            "/podSecurityContext/runAsNonRoot",
            "/securityContext",
            "/securityContext/capabilities/drop",
            "/securityContext/readOnlyRootFilesystem",
        ],
    );
}

#[test]
fn no_default_of_the_relays_chart_is_taken_away_unseen() {
    let name = "no_default_of_the_relays_chart_is_taken_away_unseen";
    let Some(chart) = Chart::relay(name) else {
        return;
    };
    // Not at the port that is open all the same.
    let issuer = json!({ "url": "https://gitlab.example.com:8443", "audiences": ["adit"] });
    let in_use = json!({
        "config": { "authorities": { "oidc": { "issuers": [issuer] } } },
        "dashboards": { "enabled": true },
        "podMonitor": { "enabled": true },
    });
    loses_nothing(
        &chart,
        &in_use,
        &[
            "/config/limits",
            "/config/tunnel/max_buffered_in_all",
            "/networkPolicy/enabled",
            "/securityContext",
            "/securityContext/allowPrivilegeEscalation",
            "/tls/secretName",
        ],
    );
}

/// At each depth, all are `null` at once: those that are not named do without.
fn loses_nothing(chart: &Chart, in_use: &Value, surely: &[&str]) {
    let values = over(&chart.values(), in_use);
    let whole = chart.rendered(in_use);
    let mut named = Vec::new();
    for depth in 1..=3 {
        let mut paths = Vec::new();
        add_paths("", &values, depth, &mut paths);
        paths.retain(|path| in_use.pointer(path).is_none() || depth == 1);
        let said = chart.refusal_of(&over(in_use, &nulls(&paths)));
        let (missing, rest): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| is_missed(path, &said));
        assert!(
            whole == chart.rendered(&over(in_use, &nulls(&rest))),
            "{}: one of {rest:?}",
            chart.name
        );
        named.extend(missing);
    }
    for path in surely {
        assert!(
            named.iter().any(|named| named == path),
            "{}: {path}",
            chart.name
        );
    }
}

/// Those that have a default, and are not handed on as they are.
fn add_paths(under: &str, values: &Value, depth: usize, paths: &mut Vec<String>) {
    for (key, value) in values.as_object().into_iter().flatten() {
        let path = format!("{under}/{key}");
        if MAY_BE_NULL.contains(&path.as_str()) {
            continue;
        }
        if depth == 1 && !value.is_null() {
            paths.push(path);
        } else if depth > 1 && !HANDED_ON.contains(&path.as_str()) {
            add_paths(&path, value, depth - 1, paths);
        }
    }
}

fn nulls(paths: &[String]) -> Value {
    let mut all = json!({});
    for path in paths {
        let keys = path.split('/').skip(1).collect::<Vec<_>>();
        let one = keys.iter().rfold(Value::Null, |below, key| {
            Map::from_iter([((*key).to_owned(), below)]).into()
        });
        all = over(&all, &one);
    }
    all
}

/// As in `at '/ceiling': missing properties 'agent', 'users'`.
fn is_missed(path: &str, said: &str) -> bool {
    let (above, key) = path.rsplit_once('/').unwrap();
    said.lines().any(|line| {
        line.contains(&format!("at '{above}': missing propert"))
            && line.contains(&format!("'{key}'"))
    })
}

/// Others' own, in which `null` is a wish like another.
const HANDED_ON: [&str; 5] = [
    "/dashboards/labels",
    "/livenessProbe",
    "/readinessProbe",
    "/resources",
    "/strategy",
];

/// What must be given anyway, what the relay has a default for that is no bound, and what a cluster may want to choose itself.
const MAY_BE_NULL: [&str; 8] = [
    "/config/agents",
    "/config/authorities",
    "/config/drain",
    "/config/route",
    "/config/shards",
    "/podSecurityContext/fsGroup",
    "/podSecurityContext/runAsGroup",
    "/podSecurityContext/runAsUser",
];
