//! The patches that the documents print for a kustomization do over the manifests what is said of them.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::{Value, json};
use xtask::{command, tools};

use super::{fences::all, root};

/// Over which manifests a patch is laid, and what stands where with it.
struct Case {
    document: &'static str,
    of: &'static str,
    resources: &'static str,
    components: &'static [&'static str],
    seen: Vec<(&'static str, &'static str, Value)>,
}

fn cases() -> [Case; 4] {
    let tcp = |port: u16| json!({ "port": port, "protocol": "TCP" });
    [
        Case {
            document: "docs/install.md",
            of: "name: adit-relay",
            resources: "relay",
            components: &[],
            seen: vec![(
                "NetworkPolicy adit-relay",
                "/spec/egress/1/ports",
                json!([tcp(443), tcp(4317)]),
            )],
        },
        Case {
            document: "docs/install.md",
            of: "name: adit-agent",
            resources: "agent/cluster-wide",
            components: &[],
            seen: vec![(
                "NetworkPolicy adit-agent",
                "/spec/egress/1/ports",
                json!([tcp(443), tcp(6443), tcp(8150)]),
            )],
        },
        Case {
            document: "docs/networks.md",
            of: "name: adit-relay",
            resources: "relay",
            components: &[],
            seen: vec![
                (
                    "Deployment adit-relay",
                    "/spec/template/spec/volumes/1",
                    Value::Null,
                ),
                (
                    "Deployment adit-relay",
                    "/spec/template/spec/containers/0/volumeMounts",
                    json!([{ "name": "config", "mountPath": "/etc/adit/config", "readOnly": true }]),
                ),
                (
                    "Service adit-relay",
                    "/spec/ports/0/appProtocol",
                    json!("http"),
                ),
            ],
        },
        Case {
            document: "docs/rbac.md",
            of: "name: adit-agent-impersonator",
            resources: "agent/cluster-wide",
            components: &["agent/before-1.36"],
            seen: vec![(
                "ClusterRole adit-agent-impersonator",
                "/rules/1/resourceNames",
                json!(["gitlab:ci_job", "gitlab:project:150", "gitlab:group:23"]),
            )],
        },
    ]
}

#[test]
fn printed_patches_do_what_is_said_of_them() {
    // It works on files alone.
    let kubectl = tools::other_kubectl().unwrap();
    let cases = cases();
    let printed = all().into_iter();
    let printed: Vec<_> = printed
        .filter(|(_, block)| block.kind == "yaml" && block.text.starts_with("patches:"))
        .collect();
    assert_eq!(printed.len(), cases.len(), "nobody looks at some");
    for case in cases {
        let is_it = |(document, text): &(String, &str)| {
            *document == case.document && text.contains(case.of)
        };
        let mut blocks = printed
            .iter()
            .map(|(document, block)| (document.clone(), block.text.as_str()));
        let (_, patches) = blocks.find(is_it).expect(case.document);
        let (without, with) = (built(&kubectl, &case, ""), built(&kubectl, &case, patches));
        assert_eq!(without.len(), with.len());
        for (object, at, value) in &case.seen {
            let found = |objects: &BTreeMap<String, Value>| {
                objects[*object].pointer(at).cloned().unwrap_or_default()
            };
            assert_eq!(found(&with), *value, "{}: {object}", case.document);
            assert_ne!(found(&without), *value, "{}: {object}", case.document);
        }
        let patched =
            |(key, object): (&String, &Value)| (with[key] != *object).then(|| key.clone());
        let mut patched: Vec<_> = without.iter().filter_map(patched).collect();
        let mut seen: Vec<_> = case.seen.iter().map(|(object, ..)| *object).collect();
        patched.sort_unstable();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(patched, seen, "{}", case.document);
    }
}

/// What a reader's kustomization gives.
fn built(kubectl: &Path, case: &Case, patches: &str) -> BTreeMap<String, Value> {
    let folder = tempfile::tempdir().unwrap();
    symlink(root().join("deploy"), folder.path().join("deploy")).unwrap();
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    let below = |path: &str| format!("../deploy/manifests/{path}");
    let components: Vec<_> = case.components.iter().map(|path| below(path)).collect();
    let (resources, components) = (json!([below(case.resources)]), json!(components));
    let text = format!("resources: {resources}\ncomponents: {components}\n{patches}");
    fs::write(own.join("kustomization.yaml"), text).unwrap();
    let built = command::text(Command::new(kubectl).arg("kustomize").arg(&own)).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&built).unwrap();
    let named = objects.into_iter().map(|object| {
        let name = object["metadata"]["name"].as_str().unwrap();
        (
            format!("{} {name}", object["kind"].as_str().unwrap()),
            object,
        )
    });
    named.collect()
}
