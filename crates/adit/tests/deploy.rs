//! What `deploy/` says in several places, it says alike. That chart, kustomization and `adit manifests` make the same objects is for
//! `tests/cluster/manifests.rs` to see, which has helm and kubectl.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail")]

use std::{fs, path::Path, time::Duration};

use adit_relay::{Config, RawConfig};
use serde_json::Value;

const CHARTS: [&str; 2] = ["adit-agent", "adit-relay"];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn of_both_charts(file: &str) -> [String; 2] {
    CHARTS.map(|chart| read(&format!("charts/{chart}/{file}")))
}

#[test]
fn charts_share_their_templates() {
    for template in [
        "_shared.tpl",
        "disruption-budget.yaml",
        "extra-objects.yaml",
        "monitors.yaml",
        "service-account.yaml",
    ] {
        let [agent, relay] = of_both_charts(&format!("templates/{template}"));
        assert_eq!(agent, relay, "{template}");
    }
}

#[test]
fn values_that_both_charts_have_are_of_one_form() {
    let own = ["config", "networkPolicy"];
    let schemas = of_both_charts("values.schema.json").map(|schema| {
        let schema = serde_json::from_str::<Value>(&schema);
        schema.unwrap()
    });
    for part in ["properties", "definitions"] {
        let [agent, relay] = schemas
            .each_ref()
            .map(|schema| schema[part].as_object().unwrap());
        for (value, form) in agent {
            if !own.contains(&value.as_str()) {
                assert_eq!(relay.get(value).unwrap_or(form), form, "{value}");
            }
        }
    }
}

#[test]
fn images_and_charts_are_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let deployments = ["agent/workload", "relay"].map(|folder| format!("{folder}/deployment.yaml"));
    for deployment in deployments {
        let text = read(&format!("manifests/{deployment}"));
        assert!(
            text.contains(&format!("image: adit:{version}\n")),
            "{deployment}"
        );
    }
    for chart in of_both_charts("Chart.yaml") {
        let chart: Value = serde_saphyr::from_str(&chart).unwrap();
        assert_eq!(chart["version"], version);
        assert_eq!(chart["appVersion"], version);
    }
}

/// It reckons with them where the values leave them out.
#[test]
fn relays_chart_has_the_programs_times() {
    let text = read("charts/adit-relay/templates/_own.tpl");
    let config =
        RawConfig::from_yaml("listen: { address: '127.0.0.1:0' }").and_then(Config::try_from);
    let config = config.unwrap();
    let wait = config.route.wait.as_secs();
    let grace = config.drain_grace.as_secs() / 60;
    for said in [
        format!(r#".wait | default "{wait}s""#),
        format!(r#".grace | default "{grace}m""#),
    ] {
        assert!(text.contains(&said), "_own.tpl does not say {said}");
    }
}

/// Likewise.
#[test]
fn agents_chart_has_the_programs_time() {
    let yaml = "relay: { url: 'https://relay.example.com', token_file: /token, proxy: none }";
    let config = adit_agent::RawConfig::from_yaml(yaml).and_then(adit_agent::Config::try_from);
    let grace = config.unwrap().drain_grace().as_secs();
    for (file, said) in [
        (
            "templates/_own.tpl",
            format!(r#".config.drain_grace | default "{grace}s""#),
        ),
        (
            "values.yaml",
            format!("`config.drain_grace`, which is {grace} s."),
        ),
    ] {
        let text = read(&format!("charts/adit-agent/{file}"));
        assert!(text.contains(&said), "{file} does not say {said}");
    }
}

/// It kills what does not end in time, and with it what a job waits for.
#[test]
fn systemd_waits_longer_than_a_drain_takes() {
    let waits = |unit: &str| {
        let unit = read(&format!("systemd/{unit}.service"));
        let waits = unit.lines().find_map(|line| {
            let seconds = line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s')?;
            Some(Duration::from_secs(seconds.parse().unwrap()))
        });
        waits.unwrap()
    };
    let relay = RawConfig::from_yaml("listen: { address: '127.0.0.1:0' }")
        .and_then(Config::try_from)
        .unwrap();
    assert!(waits("adit-relay") > relay.drain_grace);
    let agent = adit_agent::RawConfig::from_yaml(
        "relay: { url: 'https://relay.example.com', token_file: /token }",
    )
    .and_then(adit_agent::Config::try_from)
    .unwrap();
    assert!(waits("adit-agent") > agent.drain_grace());
}

/// What is said of it in docs/sizing.md, whose figures these are.
#[test]
fn relays_manifests_give_it_the_time_and_memory_that_its_configuration_takes() {
    let text = read("manifests/relay/relay.yaml");
    let config = RawConfig::from_yaml(&text)
        .and_then(Config::try_from)
        .unwrap();
    let deployment: Value =
        serde_saphyr::from_str(&read("manifests/relay/deployment.yaml")).unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];

    let pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    let takes = config.drain_grace.as_secs() + pre_stop.unwrap();
    let has = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert_eq!(has, takes + 15);

    let most = 20 * MIB
        + config.limits.connections * 50 * KIB
        + AGENTS * 34 * KIB
        + config.oidc.max_cached_tokens * 7 * KIB / 2
        + config.tunnel.max_buffered_bytes_in_all
        + STANDSTILLS * config.tunnel.max_queued_bytes
        + AUDIT_QUEUE_MIB * MIB;
    let limit = &container["resources"]["limits"]["memory"];
    let limit = match limit.as_str().unwrap() {
        text if text.ends_with("Mi") => text.trim_end_matches("Mi").parse::<usize>().unwrap() * MIB,
        text => text.strip_suffix("Gi").unwrap().parse::<usize>().unwrap() << 30,
    };
    assert!(most < limit, "{} of {} MiB", most / MIB, limit / MIB);
    let sizing = read("../docs/sizing.md");
    for said in [
        format!("| {STANDSTILLS} agents that take nothing of what jobs send them |"),
        format!("| **Sum** | | **{}** |", most.div_ceil(MIB)),
    ] {
        assert!(sizing.contains(&said), "docs/sizing.md does not say {said}");
    }
}

/// The default is for a relay that has more.
#[test]
fn one_address_cannot_have_every_place_of_a_relay_as_shipped() {
    let manifest: Value = serde_saphyr::from_str(&read("manifests/relay/relay.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&read("charts/adit-relay/values.yaml")).unwrap();
    let limits = &manifest["limits"];
    assert_eq!(&chart["config"]["limits"], limits);
    let most = |key: &str| limits[key].as_u64().unwrap();
    assert!(2 * most("connections_per_address") <= most("connections"));
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Agents that one relay has, and those of them that stand still at once.
const AGENTS: usize = 1000;
const STANDSTILLS: usize = 16;
/// Where there is an audit log.
const AUDIT_QUEUE_MIB: usize = 64;
