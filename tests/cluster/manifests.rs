//! What is in `deploy/`, and what `adit manifests` prints, as the API server and helm see it: accepted as it is, also where
//! Pod Security is enforced, and the same whichever way it comes.

mod policies;

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path, process::Command};

use adit_tests::documents::{blocks, documents};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use xtask::workspace;

use crate::{
    harness::{Needs, trials},
    job::Call,
    until::until,
    world::World,
};
use policies::policies_let_through_what_is_dialled_and_nothing_else;

pub fn trials() -> Vec<Trial> {
    trials![Needs::ControlPlane;
        kustomizations_are_accepted,
        printed_manifests_are_accepted,
        charts_are_accepted_whatever_their_values,
        chart_and_command_give_what_the_kustomization_gives,
        chart_and_command_limit_an_agent_for_named_namespaces_alike,
        flux_is_served_alike_whichever_way_it_comes,
        relays_chart_and_command_give_what_the_kustomization_gives,
        operators_token_is_mounted_by_the_command_and_the_kustomization_alike,
        relays_port_for_gitlab_is_opened_by_the_chart_and_the_kustomization_alike,
        certificates_of_agents_are_mounted_by_charts_and_kustomizations_alike,
        relays_private_port_has_tls_whichever_way_it_comes,
        roles_before_1_36_are_the_same_whichever_way_they_come,
        policies_let_through_what_is_dialled_and_nothing_else,
    ]
}

fn kustomizations_are_accepted(world: &World) {
    for whole in ["agent/namespaced", "agent/cluster-wide", "relay"] {
        let objects = kustomized(world, whole, &[]);
        is_believed(world, &objects);
        Namespace::new(world).accepts(&objects);
    }
    let before = kustomized(world, "agent/cluster-wide", &["agent/before-1.36"]);
    Namespace::new(world).accepts(&before);
    let names: Vec<_> = before.keys().filter(|key| key.contains("Role")).collect();
    assert_eq!(
        names,
        [
            "ClusterRole adit-agent-impersonator",
            "ClusterRoleBinding adit-agent-impersonator"
        ]
    );
}

fn printed_manifests_are_accepted(world: &World) {
    let agent = "agent --relay https://relay.example.com:8443";
    for line in [
        format!("{agent} --namespace default --allow get,create:pods/exec --group gitlab:ci_job"),
        format!(
            "{agent} --read-everywhere --allow-everywhere *:*.apps --extra example.com/a --uids"
        ),
        format!(
            "{agent} --kubernetes v1.35.2 --group gitlab:ci_job --image registry.example.com/adit:1"
        ),
        format!("relay --service ClusterIP --config {}", example().display()),
    ] {
        Namespace::new(world).accepts(&printed(world, &line));
    }
}

fn charts_are_accepted_whatever_their_values(world: &World) {
    monitors(world);
    let sandbox = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "handler": "runc",
        "metadata": { "name": "adit-chart" },
    });
    world.admin("apply -f -").input(sandbox.to_string()).ok();
    for chart in ["adit-agent", "adit-relay"] {
        let folder = charts().join(chart);
        let mut values: Vec<_> = fs::read_dir(folder.join("ci"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        values.sort();
        assert!(!values.is_empty());
        for values in values {
            helm(world, "lint --strict")
                .arg(&folder)
                .arg("--values")
                .arg(&values)
                .ok();
            let objects = templated(world, chart, &values);
            is_believed(world, &objects);
            Namespace::new(world).accepts(&objects);
        }
        let printed = printed_values();
        assert!(!printed.is_empty());
        for printed in printed {
            let values = world.new_folder("printed").join("values.yaml");
            fs::write(&values, printed).unwrap();
            helm(world, "lint --strict")
                .arg(&folder)
                .arg("--values")
                .arg(folder.join("ci/least.yaml"))
                .arg("--values")
                .arg(&values)
                .ok();
        }
    }
}

/// Of both charts, by the documents; those of one of them are installed by the trial of the documents.
fn printed_values() -> Vec<String> {
    let text = documents()
        .into_iter()
        .map(|path| fs::read_to_string(path).unwrap());
    let blocks = text.flat_map(|text| blocks(&text));
    let of_both = blocks.filter(|block| block.kind == "yaml" && block.text.contains("podMonitor:"));
    of_both.map(|block| block.text).collect()
}

/// The Prometheus operator's kinds, which refuse what it would not know.
fn monitors(world: &World) {
    world.admin("apply -f -").input(MONITORS).ok();
    world
        .admin("wait crd --for=condition=Established --timeout=30s")
        .args("podmonitors.monitoring.coreos.com servicemonitors.monitoring.coreos.com")
        .ok();
    for (kind, spec, because) in [
        (
            "PodMonitor",
            json!({ "selector": {}, "endpoints": [{ "port": "admin" }] }),
            "endpoints",
        ),
        (
            "PodMonitor",
            json!({ "selector": {}, "podMetricsEndpoints": [{ "port": 8151 }] }),
            "podMetricsEndpoints[0].port",
        ),
        (
            "ServiceMonitor",
            json!({ "selector": {}, "endpoints": [{ "port": "admin", "interval": "often" }] }),
            "endpoints[0].interval",
        ),
    ] {
        let wrong = json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": kind,
            "metadata": { "name": "wrong", "namespace": "default" }, "spec": spec,
        });
        let refused = until("the kind is served", || {
            let apply = world.admin("apply --dry-run=server -f -");
            let said = apply.input(wrong.to_string()).failure();
            (!said.contains("no matches for kind")).then_some(said)
        });
        assert!(refused.contains(because), "{refused}");
    }
}

/// What they configure is what a relay and an agent take.
fn is_believed(world: &World, objects: &Objects) {
    let is_map = |object: &&Value| object["kind"] == "ConfigMap";
    let maps = objects.values().filter(is_map);
    let files = maps.flat_map(|map| map["data"].as_object().unwrap());
    let mut looked_at = 0;
    for (name, text) in files {
        let text = text.as_str().unwrap();
        match name.as_str() {
            "relay.yaml" => {
                let mut adit = Command::new(&world.adit);
                adit.env_clear();
                Call::new(adit, "config check -").input(text).ok();
            }
            "agent.yaml" => {
                let raw = adit_agent::RawConfig::from_yaml(text).unwrap();
                let mistakes = adit_agent::Config::try_from(raw).err();
                assert!(mistakes.is_none(), "{mistakes:?} in {text}");
            }
            _ => continue,
        }
        looked_at += 1;
    }
    assert_eq!(looked_at, 1);
}

fn chart_and_command_give_what_the_kustomization_gives(world: &World) {
    let kustomized = comparable(kustomized(world, "agent/cluster-wide", &[]));
    let values = charts().join("adit-agent/ci/least.yaml");
    let mut charted = comparable(templated(world, "adit-agent", &values));
    // Helm makes the namespace by itself.
    charted.insert("Namespace".into(), kustomized["Namespace"].clone());
    assert_same(&charted, &kustomized);

    let line = "agent --relay https://relay.example.com --read-everywhere --namespace shop";
    let mut printed = comparable(printed(world, line));
    assert!(printed.remove("Secret adit-agent-token").is_some());
    assert!(printed.remove("RoleBinding adit-agent in shop").is_some());
    assert_same(&printed, &kustomized);
}

fn chart_and_command_limit_an_agent_for_named_namespaces_alike(world: &World) {
    let values = charts().join("adit-agent/ci/named.yaml");
    let mut charted = comparable(templated(world, "adit-agent", &values));
    let line = "agent --relay https://relay.example.com --namespace default \
                --allow get,create:pods/exec,pods/log,secrets";
    let mut printed = comparable(printed(world, line));
    assert!(printed.remove("Secret adit-agent-token").is_some());
    charted.insert("Namespace".into(), printed["Namespace"].clone());
    assert_same(&charted, &printed);
    let ceiling = &charted["ConfigMap"]["data"]["agent.yaml"]["ceiling"];
    assert_eq!(ceiling["namespaces"], json!(["default"]));
    assert_eq!(ceiling["verbs"], json!(["get", "create"]));
    assert_eq!(ceiling["subresources"], json!(["exec", "log"]));
}

fn flux_is_served_alike_whichever_way_it_comes(world: &World) {
    let of_flux = |objects| -> Objects {
        let is_of_flux = |key: &str| key.contains("-flux") || key.starts_with("NetworkPolicy");
        let objects = comparable(objects).into_iter();
        objects.filter(|(key, _)| is_of_flux(key)).collect()
    };
    let kustomized = kustomized(world, "agent/namespaced", &["agent/flux"]);
    Namespace::new(world).accepts(&kustomized);
    let kustomized = of_flux(kustomized);
    assert_eq!(kustomized.len(), 5, "{:?}", kustomized.keys());
    let values = charts().join("adit-agent/ci/flux.yaml");
    assert_same(
        &of_flux(templated(world, "adit-agent", &values)),
        &kustomized,
    );

    let line = "agent --relay https://relay.example.com --namespace shop --flux https://gitlab.example.com";
    assert_same(&of_flux(printed(world, line)), &kustomized);
}

fn relays_chart_and_command_give_what_the_kustomization_gives(world: &World) {
    let kustomized = comparable(kustomized(world, "relay", &[]));
    let values = charts().join("adit-relay/ci/least.yaml");
    let mut charted = comparable(templated(world, "adit-relay", &values));
    charted.insert("Namespace".into(), kustomized["Namespace"].clone());
    assert_same(&charted, &kustomized);

    let file = World::manifests().join("relay/relay.yaml");
    let printed = comparable(printed(
        world,
        &format!("relay --config {}", file.display()),
    ));
    assert_same(&printed, &kustomized);
}

fn operators_token_is_mounted_by_the_command_and_the_kustomization_alike(world: &World) {
    let pod = |objects| comparable(objects).remove("Deployment adit-relay").unwrap();
    let kustomized = pod(kustomized(world, "relay", &["relay/secrets"]));
    let token = world.new_folder("token").join("admin-token");
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let file = World::manifests().join("relay/relay.yaml");
    let line = format!(
        "relay --config {} --admin-token-file {}",
        file.display(),
        token.display()
    );
    let printed = printed(world, &line);
    Namespace::new(world).accepts(&printed);
    assert_eq!(pod(printed), kustomized);
}

fn relays_port_for_gitlab_is_opened_by_the_chart_and_the_kustomization_alike(world: &World) {
    // What the relay is told is the user's.
    let ports = |objects| -> Objects {
        let is_told = |key: &str| ["ConfigMap", "Namespace"].contains(&key);
        let objects = comparable(objects).into_iter();
        objects.filter(|(key, _)| !is_told(key)).collect()
    };
    let kustomized = kustomized(world, "relay", &["relay/secrets", "relay/gitlab-api"]);
    Namespace::new(world).accepts(&kustomized);
    let kustomized = ports(kustomized);
    assert!(kustomized.contains_key("Service adit-relay-gitlab"));
    let values = charts().join("adit-relay/ci/gitlab-api.yaml");
    assert_same(&ports(templated(world, "adit-relay", &values)), &kustomized);
}

fn certificates_of_agents_are_mounted_by_charts_and_kustomizations_alike(world: &World) {
    for (chart, whole, component, mounted) in [
        (
            "adit-agent",
            "agent/cluster-wide",
            "agent/client-certificate",
            "adit-agent-client",
        ),
        (
            "adit-relay",
            "relay",
            "relay/client-ca",
            "adit-relay-client-ca",
        ),
    ] {
        let deployment = |objects| comparable(objects).remove(&format!("Deployment {chart}"));
        let kustomized = kustomized(world, whole, &[component]);
        Namespace::new(world).accepts(&kustomized);
        let values = charts().join(chart).join("ci/certified.yaml");
        let (charted, mut kustomized) = (
            deployment(templated(world, chart, &values)).unwrap(),
            deployment(kustomized).unwrap(),
        );
        assert!(charted.to_string().contains(mounted), "{charted}");
        if chart == "adit-relay" {
            // The chart lets the CA's file have any name in its ConfigMap.
            let volumes = &mut kustomized["spec"]["template"]["spec"]["volumes"];
            volumes[2]["configMap"]["items"] = json!([{ "key": "ca.crt", "path": "ca.crt" }]);
        }
        assert_eq!(charted, kustomized, "{chart}");
    }
}

fn relays_private_port_has_tls_whichever_way_it_comes(world: &World) {
    let deployment = |objects| comparable(objects).remove("Deployment adit-relay");
    let kustomized = kustomized(world, "relay", &["relay/admin-tls"]);
    Namespace::new(world).accepts(&kustomized);
    let kustomized = deployment(kustomized).unwrap();
    let container = &kustomized["spec"]["template"]["spec"]["containers"][0];
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["scheme"], "HTTPS", "{probe}");
    }
    // What the component says that relay.yaml has.
    let file = fs::read_to_string(World::manifests().join("relay/relay.yaml")).unwrap();
    let mut config: Value = serde_saphyr::from_str(&file).unwrap();
    config["admin"]["certificate"] = "/etc/adit/tls/tls.crt".into();
    config["admin"]["key"] = "/etc/adit/tls/tls.key".into();
    let folder = world.new_folder("admin-tls");
    let file = folder.join("relay.yaml");
    fs::write(&file, config.to_string()).unwrap();
    let printed = printed(world, &format!("relay --config {}", file.display()));
    is_believed(world, &printed);
    assert_eq!(deployment(printed), Some(kustomized.clone()));

    // The chart writes itself where the relay listens.
    config["admin"].as_object_mut().unwrap().remove("address");
    config.as_object_mut().unwrap().remove("listen");
    let values = folder.join("values.json");
    fs::write(&values, json!({ "config": config }).to_string()).unwrap();
    let charted = templated(world, "adit-relay", &values);
    is_believed(world, &charted);
    assert_eq!(deployment(charted), Some(kustomized));
}

fn roles_before_1_36_are_the_same_whichever_way_they_come(world: &World) {
    let roles = |objects| -> Objects {
        let is_role = |key: &str| key.starts_with("ClusterRole");
        let objects = comparable(objects).into_iter();
        objects.filter(|(key, _)| is_role(key)).collect()
    };
    let line = "agent --relay https://relay.example.com --kubernetes 1.35 --group gitlab:ci_job";
    let printed_for = |more: &str| roles(printed(world, &format!("{line}{more}")));
    let before = kustomized(world, "agent/cluster-wide", &["agent/before-1.36"]);
    assert_same(&printed_for(""), &roles(before));

    let values = charts().join("adit-agent/ci/plain.yaml");
    let charted = roles(templated(world, "adit-agent", &values));
    assert_same(&charted, &printed_for(" --group gitlab:project:150"));

    let namespaces = |objects| {
        let config = &comparable(objects)["ConfigMap"]["data"]["agent.yaml"];
        config["ceiling"]["namespaces"].clone()
    };
    let of_command = printed(world, &format!("{line} --namespace shop"));
    assert_eq!(namespaces(of_command), json!(["shop"]));
    assert_eq!(
        namespaces(templated(world, "adit-agent", &values)),
        json!(["shop"])
    );
}

/// Objects by kind and name.
type Objects = BTreeMap<String, Value>;

/// A namespace that enforces Pod Security.
struct Namespace<'a> {
    world: &'a World,
    name: String,
}

impl<'a> Namespace<'a> {
    fn new(world: &'a World) -> Self {
        let name = world.name("strict");
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
        });
        world.admin("apply -f -").input(namespace.to_string()).ok();
        // Some pods have no other account.
        world
            .admin("wait serviceaccount/default --for=create --timeout=30s --namespace")
            .arg(&name)
            .ok();
        Self { world, name }
    }

    /// Each object would be made, and so would a pod of each Deployment, to whom alone Pod Security says no.
    fn accepts(&self, objects: &Objects) {
        let mut all: Vec<_> = objects
            .values()
            .cloned()
            .map(|object| self.put(object))
            .collect();
        // A pod is not looked at before its account is there.
        for account in all
            .iter()
            .filter(|object| object["kind"] == "ServiceAccount")
        {
            self.world
                .admin("apply -f -")
                .input(account.to_string())
                .ok();
        }
        let pods: Vec<_> = all
            .iter()
            .filter_map(pod)
            .map(|pod| self.put(pod))
            .collect();
        assert!(!pods.is_empty());
        all.extend(pods);
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": all });
        let said = self
            .world
            .admin("apply --dry-run=server -f -")
            .input(list.to_string())
            .run();
        assert_eq!(said.code, Some(0), "{said}");
        assert!(!said.stderr.contains("Warning"), "{said}");
    }

    /// In this namespace instead of its own.
    fn put(&self, mut object: Value) -> Value {
        let metadata = &mut object["metadata"];
        if metadata["namespace"].is_string() {
            metadata["namespace"] = self.name.as_str().into();
        }
        object
    }
}

/// What a Deployment would make.
fn pod(deployment: &Value) -> Option<Value> {
    let template =
        (deployment["kind"] == "Deployment").then(|| deployment["spec"]["template"].clone())?;
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod" });
    pod["metadata"] = template["metadata"].clone();
    pod["metadata"]["name"] = "pod".into();
    pod["metadata"]["namespace"] = "its own".into();
    pod["spec"] = template["spec"].clone();
    Some(pod)
}

fn kustomized(world: &World, whole: &str, components: &[&str]) -> Objects {
    let folder = world.new_folder("kustomization");
    symlink(World::manifests(), folder.join("manifests")).unwrap();
    let own = folder.join("own");
    fs::create_dir(&own).unwrap();
    let below = |part: &str| format!("../manifests/{part}");
    let components: Vec<_> = components.iter().map(|part| below(part)).collect();
    let kustomization = json!({ "resources": [below(whole)], "components": components });
    fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    objects(&world.admin("kustomize").arg(own).ok())
}

fn printed(world: &World, line: &str) -> Objects {
    let mut adit = Command::new(&world.adit);
    adit.env_clear().env("HOME", world.new_folder("home"));
    objects(&Call::new(adit, "manifests").args(line).ok())
}

fn templated(world: &World, chart: &str, values: &Path) -> Objects {
    let text = helm(world, "template --namespace")
        .args(&format!("{chart} {chart}"))
        .arg(charts().join(chart))
        .arg("--values")
        .arg(values)
        .ok();
    objects(&text)
}

fn helm(world: &World, line: &str) -> Call {
    let mut helm = Command::new(&world.cluster.helm);
    helm.env_clear().env("HOME", world.new_folder("helm"));
    Call::new(helm, line)
}

fn objects(yaml: &str) -> Objects {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
    let mut objects = Objects::new();
    for object in documents.into_iter().filter(|object| !object.is_null()) {
        let text = |place: &Value| place.as_str().unwrap().to_owned();
        let mut key = format!(
            "{} {}",
            text(&object["kind"]),
            text(&object["metadata"]["name"])
        );
        if object["kind"] == "RoleBinding" {
            key += &format!(" in {}", text(&object["metadata"]["namespace"]));
        }
        assert!(
            objects.insert(key.clone(), object).is_none(),
            "{key} is there twice"
        );
    }
    objects
}

/// Without what the ways may differ in: the name of a ConfigMap that says what is in it, marks of helm, comments in config files.
fn comparable(objects: Objects) -> Objects {
    let mut all = Objects::new();
    for (key, mut object) in objects {
        let mut key = key;
        if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
            labels.retain(|label, _| !MARKS.contains(&label.as_str()));
        }
        match object["kind"].as_str() {
            Some("ConfigMap") => {
                key = "ConfigMap".into();
                object["metadata"]["name"] = Value::Null;
                for text in object["data"].as_object_mut().unwrap().values_mut() {
                    *text = serde_saphyr::from_str(text.as_str().unwrap()).unwrap();
                }
            }
            Some("Deployment") => {
                let template = &mut object["spec"]["template"];
                template["metadata"]
                    .as_object_mut()
                    .unwrap()
                    .remove("annotations");
                template["spec"]["volumes"][0]["configMap"]["name"] = Value::Null;
            }
            Some("Namespace") => key = "Namespace".into(),
            _ => {}
        }
        all.insert(key, object);
    }
    all
}

fn assert_same(left: &Objects, right: &Objects) {
    assert_eq!(
        left.keys().collect::<Vec<_>>(),
        right.keys().collect::<Vec<_>>()
    );
    for (key, left) in left {
        assert_eq!(left, &right[key], "{key}");
    }
}

fn charts() -> std::path::PathBuf {
    workspace::root().join("deploy/charts")
}

fn example() -> std::path::PathBuf {
    workspace::root().join("deploy/relay.example.yaml")
}

/// What helm says of itself.
const MARKS: [&str; 3] = [
    "helm.sh/chart",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
];

/// Stand-ins for the Prometheus operator's kinds, which know what the charts use of them.
const MONITORS: &str = include_str!("monitors.yaml");
