//! What is shown at the end of an installation: the next step, in commands that fit this release.

use serde_json::{Value, json};

use crate::chart::Chart;

/// Each of these is in them, and none of those.
fn say(chart: &Chart, values: &Value, those: &[&str], not: &[&str]) {
    let notes = chart.notes(values);
    for text in those {
        assert!(
            notes.contains(text),
            "{text} is not in the notes of {values}: {notes}"
        );
    }
    for text in not {
        assert!(
            !notes.contains(text),
            "{text} is in the notes of {values}: {notes}"
        );
    }
}

#[test]
fn notes_of_the_agent_tell_what_to_do_next() {
    let Some(chart) = Chart::agent("notes_of_the_agent_tell_what_to_do_next") else {
        return;
    };
    let bind = "kubectl --namespace shop create rolebinding adit-agent --clusterrole=adit-agent-in-namespace --serviceaccount=home:adit-agent\n";
    say(
        &chart,
        &json!({}),
        &[
            "The agent adit-agent dials https://relay.example.com.",
            "adit token new --token-file agent.token ",
            "kubectl --namespace home create secret generic adit-agent-token --from-file=token=agent.token\n",
            "kubectl --namespace home logs deployment/adit-agent\n",
            bind,
            "create rolebinding ci --clusterrole=edit --group=gitlab:ci_job\n",
        ],
        &[],
    );
    say(
        &chart,
        &json!({
            "token": { "secretName": "own", "key": "file" }, "rbac": { "namespaces": ["shop"] },
        }),
        &["create secret generic own --from-file=file=agent.token\n"],
        &[bind],
    );
}

/// Nothing else tells it before the first job is refused.
#[test]
fn notes_of_the_agent_tell_that_an_older_kubernetes_constrains_nothing() {
    let Some(chart) =
        Chart::agent("notes_of_the_agent_tell_that_an_older_kubernetes_constrains_nothing")
    else {
        return;
    };
    // Of a cluster of another version than helm's own, notes are shown by nothing but a cluster.
    let told = r#"{{ contains "`rbac.impersonation: plain`" (include "adit-agent/templates/NOTES.txt" .) }}"#;
    let probe = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "probe" }, "data": { "told": told },
    });
    let plain = json!({ "impersonation": "plain", "groups": ["gitlab:ci_job"] });
    for (kubernetes, rbac, expected) in [
        ("v1.35.9", json!({}), "true"),
        ("v1.35.9-gke.1", json!({}), "true"),
        ("v1.36.0", json!({}), "false"),
        ("v1.36.0-gke.1", json!({}), "false"),
        ("v1.36.1+k3s1", json!({}), "false"),
        ("v1.35.9", plain, "false"),
        ("v1.35.9", json!({ "create": false }), "false"),
    ] {
        let values = json!({ "rbac": rbac, "extraObjects": [probe] });
        let objects = chart.rendered_for(kubernetes, &values);
        let told = &objects["ConfigMap probe"]["data"]["told"];
        assert_eq!(told, expected, "{kubernetes}: {values}");
    }
}

#[test]
fn notes_of_the_relay_tell_what_to_do_next() {
    let Some(chart) = Chart::relay("notes_of_the_relay_tell_what_to_do_next") else {
        return;
    };
    let certificate = "kubectl --namespace home create secret tls adit-relay-tls --cert=relay.crt --key=relay.key\n";
    let ends_before = "TLS ends before it, at whoever has the addresses";
    let no_agents = "It knows no agents yet. For each: `adit token new --token-file agent.token`";
    say(
        &chart,
        &json!({}),
        &[
            "listens at the Service adit-relay, port 443.",
            certificate,
            "kubectl --namespace home get service adit-relay\n",
            no_agents,
        ],
        &[ends_before],
    );
    let listen = json!({ "tls_ended_before": true, "forwarded_for_from": ["10.0.0.0/8"] });
    say(
        &chart,
        &json!({ "config": { "listen": listen, "agents": [{ "id": 7, "name": "demo", "project": "group/app" }] } }),
        &[ends_before],
        &[certificate, no_agents],
    );
    let gitlab = |more: Value| {
        let mut gitlab = json!({ "url": "https://gitlab.example.com" });
        gitlab
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "config": { "authorities": { "gitlab": gitlab } } })
    };
    say(
        &chart,
        &gitlab(json!({})),
        &["cannot ask GitLab for them without `authorities.gitlab.api_secret_file`"],
        &[],
    );
    say(
        &chart,
        &gitlab(json!({ "api_secret_file": "/etc/ssl/secret" })),
        &["each is registered with GitLab"],
        &["adit token new"],
    );
}
