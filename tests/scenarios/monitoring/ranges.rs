//! Alerts that ask by how much a counter has risen: while the fault lasts, it rises within each of their ranges, at default configuration,
//! as a Prometheus sees it that scrapes once a minute. Else the alert would go and come, and never fire that waits for longer.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use adit_tests::{Caller, Kube, Metrics, TestIssuer, agent, job, kube, pass, relay, scenario};
use regex::Regex;

use crate::{documents::alerts::alerts, metrics::denying};

const MINUTE: Duration = Duration::from_mins(1);
/// Within which a fault is counted for the first time.
const SOON: usize = 10;

/// What one alert asks for one counter.
struct Asked {
    alert: &'static str,
    counter: &'static str,
    /// The range, in minutes, which is how many samples are in it.
    range: usize,
    /// For how long it must be so, in minutes.
    lasts: usize,
}

impl Asked {
    fn by(alert: &'static str, counter: &'static str) -> Self {
        let (.., rule) = alerts()
            .into_iter()
            .find(|(name, ..)| name == alert)
            .unwrap();
        let (expression, lasts) = (&rule["expr"], &rule["for"]);
        let asks = format!(r"increase\({counter}(?:\{{[^}}]*\}})?\[([0-9]+)m\]\) > 0");
        let range = Regex::new(&asks).unwrap();
        let range = range.captures(expression.as_str().unwrap());
        let range = range.unwrap_or_else(|| panic!("{alert} asks otherwise: {expression}"));
        let lasts = lasts.as_str().unwrap().strip_suffix('m').unwrap();
        Self {
            alert,
            counter,
            range: range[1].parse().unwrap(),
            lasts: lasts.parse().unwrap(),
        }
    }

    /// How many samples tell whether it fires.
    const fn samples(&self) -> usize {
        SOON + self.range + self.lasts
    }

    /// Fails unless it fires by these, one each minute since the fault was made.
    fn fires_by(&self, samples: &[Metrics]) {
        let Self {
            alert,
            counter,
            range,
            lasts,
        } = self;
        let counts: Vec<_> = samples.iter().map(|sample| sample.sum(counter)).collect();
        let mut counted = counts.iter().skip_while(|count| **count == 0.0);
        let first = counted.next().unwrap_or_else(|| panic!("{counter} is 0"));
        let counted: Vec<_> = [first].into_iter().chain(counted).collect();
        assert!(counted.len() > range + lasts, "{counter}: {counts:?}");
        let rises = |range: &[&f64]| range.first() < range.last();
        assert!(
            counted.windows(*range).all(rises),
            "{alert} asks by {range} minutes, in which {counter} does not always rise: {counts:?}"
        );
    }
}

#[test]
fn faults_of_a_relay_are_counted_in_each_range_of_their_alerts() {
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("token");
        fs::write(&secret, "0123456789abcdef").unwrap();
        let issuer = TestIssuer::over_https().await.fetched_as_by_default();
        let relay = relay()
            .believing(issuer)
            .with("admin", "token_file", secret.display());
        let mut relay = relay.start().await;
        let asked = [
            ("AditIssuerKeysEnd", "adit_relay_key_fetch_failures_total"),
            ("AditSecretUnusable", "adit_relay_secret_reloads_total"),
            ("AditConfigUnusable", "adit_relay_config_reloads_total"),
            (
                "AditCertificateUnusable",
                "adit_tls_certificate_reloads_total",
            ),
        ];
        let asked = asked.map(|(alert, counter)| Asked::by(alert, counter));

        relay.issuer().be_away();
        fs::remove_file(&secret).unwrap();
        fs::write(relay.run_by_file(), "spoilt").unwrap();
        relay.spoil_certificate();
        let mut samples = vec![];
        for _ in 0..asked.iter().map(Asked::samples).max().unwrap() {
            pass(MINUTE).await;
            samples.push(relay.metrics().await);
        }
        for asked in asked {
            asked.fires_by(&samples);
        }
        relay.stop().await;
    });
}

#[test]
fn lost_credentials_of_an_agent_are_counted_in_each_range_of_their_alert() {
    scenario(async {
        let relay = relay().start().await;
        let (file, plugin, certificate) = (
            denying().start().await,
            denying().start().await,
            kube().certified().start().await,
        );
        let answer = folder(&plugin).join("answer");
        by_plugin(&plugin, &answer);
        let mut agents = BTreeMap::new();
        for (name, kube) in [
            ("prod", &file),
            ("staging", &plugin),
            ("foreign", &certificate),
        ] {
            let agent = agent(name).to(&relay).serving(kube).start().await;
            agents.insert(name, (agent, vec![]));
        }
        let asked = Asked::by(
            "AditAgentCredentials",
            "adit_agent_credential_failures_total",
        );

        file.lose_token();
        fs::remove_file(answer).unwrap();
        fs::write(folder(&certificate).join("client.pem"), "spoilt").unwrap();
        let denied = relay.caller(&job(9001), "staging");
        for _ in 0..asked.samples() {
            // What a plugin gave without an end is good until the API server says otherwise, which somebody has to ask.
            is_denied(&denied).await;
            pass(MINUTE).await;
            for (agent, samples) in agents.values_mut() {
                samples.push(agent.metrics().await);
            }
        }
        for (agent, samples) in agents.into_values() {
            asked.fires_by(&samples);
            agent.stop().await;
        }
        relay.stop().await;
        for kube in [file, plugin, certificate] {
            kube.stop().await;
        }
    });
}

fn folder(kube: &Kube) -> &Path {
    kube.kubeconfig().parent().unwrap()
}

/// Has a plugin in the place of the token's file, which says what is in this one.
fn by_plugin(kube: &Kube, answer: &Path) {
    let said = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"canary"}}"#;
    fs::write(answer, said).unwrap();
    let exec = format!(
        "exec: {{ apiVersion: client.authentication.k8s.io/v1, command: cat, args: ['{}'], interactiveMode: Never }}",
        answer.display()
    );
    let kubeconfig = fs::read_to_string(kube.kubeconfig()).unwrap();
    let file = Regex::new("tokenFile: .*").unwrap();
    assert!(file.is_match(&kubeconfig), "{kubeconfig}");
    fs::write(kube.kubeconfig(), &*file.replace(&kubeconfig, exec)).unwrap();
}

async fn is_denied(caller: &Caller) {
    assert_eq!(caller.get("/api/denied").await.status, 401);
}
