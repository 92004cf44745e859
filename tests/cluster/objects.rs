//! Objects come, change and go: what most jobs do most of the time.

use libtest_mimic::Trial;
use serde_json::Value;

use crate::{
    client::Client,
    harness::{Needs, trials, trials_by_client},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    let mut all = trials_by_client![Needs::ControlPlane; object_is_made_read_changed_and_deleted];
    all.extend(trials![Needs::ControlPlane;
        applied_change_shows_in_diff_first,
        deletion_waits_for_a_finalizer,
        whatever_the_cluster_serves_is_discovered,
        watch_sees_each_change,
        list_comes_as_table_json_and_names,
    ]);
    all
}

fn object_is_made_read_changed_and_deleted(world: &World, client: &Client) {
    let (job, name) = (world.job(client), world.name("settings"));
    let value = || {
        job.kubectl("get configmap --output jsonpath={.data}")
            .arg(&name)
            .ok()
    };

    job.kubectl("create configmap --from-literal=a=1")
        .arg(&name)
        .ok();
    assert_eq!(value(), r#"{"a":"1"}"#);
    job.kubectl("patch configmap --type=merge")
        .arg(&name)
        .arg(r#"--patch={"data":{"b":"2"}}"#)
        .ok();
    assert_eq!(value(), r#"{"a":"1","b":"2"}"#);
    job.kubectl("patch configmap --type=json")
        .arg(&name)
        .arg(r#"--patch=[{"op":"remove","path":"/data/a"}]"#)
        .ok();
    assert_eq!(value(), r#"{"b":"2"}"#);
    job.kubectl("label configmap")
        .arg(&name)
        .arg("from=job")
        .ok();
    job.kubectl("annotate configmap")
        .arg(&name)
        .arg("note=two words, ünïcode")
        .ok();
    let replaced = manifest(&name, "3");
    job.kubectl("replace -f -").input(replaced).ok();
    assert_eq!(value(), r#"{"key":"3"}"#);
    let deleted = job.kubectl("delete configmap").arg(&name).ok();
    assert!(deleted.contains("deleted"), "{deleted}");
    let said = job.kubectl("get configmap").arg(&name).failure();
    assert!(said.contains("(NotFound)"), "{said}");
}

fn applied_change_shows_in_diff_first(world: &World) {
    let (job, name) = (world.any_job(), world.name("applied"));
    let said = job.kubectl("apply -f -").input(manifest(&name, "1")).ok();
    assert!(said.contains("created"), "{said}");
    let said = job.kubectl("apply -f -").input(manifest(&name, "1")).ok();
    assert!(said.contains("unchanged"), "{said}");
    // 1: there is a difference.
    let differs = job.kubectl("diff -f -").input(manifest(&name, "2")).run();
    assert_eq!(differs.code, Some(1), "{differs}");
    assert!(differs.text().contains("+  key: \"2\""), "{differs}");
    let dry = job
        .kubectl("apply --dry-run=server -f -")
        .input(manifest(&name, "2"))
        .ok();
    assert!(dry.contains("server dry run"), "{dry}");
    let said = job.kubectl("apply -f -").input(manifest(&name, "2")).ok();
    assert!(said.contains("configured"), "{said}");
}

fn deletion_waits_for_a_finalizer(world: &World) {
    let (job, name) = (world.any_job(), world.name("held"));
    job.kubectl("create configmap").arg(&name).ok();
    let patch = |value: &str| {
        let patch = format!(r#"--patch={{"metadata":{{"finalizers":{value}}}}}"#);
        job.kubectl("patch configmap --type=merge")
            .arg(&name)
            .arg(patch)
            .ok()
    };
    patch(r#"["test.adit/held"]"#);
    let mut deletion = job.kubectl("delete configmap").arg(&name).start();
    deletion.hears("deleted");
    assert!(deletion.is_running(), "it waits");
    patch("null");
    deletion.ended().ok();
}

fn whatever_the_cluster_serves_is_discovered(world: &World) {
    let job = world.any_job();
    let resources = job.kubectl("api-resources --output=name").ok();
    for known in [
        "pods",
        "deployments.apps",
        "roles.rbac.authorization.k8s.io",
    ] {
        assert!(
            resources.lines().any(|line| line == known),
            "{known} is not among\n{resources}"
        );
    }
    let versions = job.kubectl("api-versions").ok();
    assert!(versions.lines().any(|line| line == "apps/v1"), "{versions}");
    let version: Value = serde_json::from_str(&job.kubectl("version --output=json").ok()).unwrap();
    assert!(
        version["serverVersion"]["gitVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with('v')),
        "{version}"
    );
    let explained = job.kubectl("explain configmap.data").ok();
    assert!(explained.contains("FIELD: data"), "{explained}");
    assert!(
        job.kubectl("get --raw /readyz?verbose")
            .ok()
            .contains("[+]ping ok")
    );
    let refused = job.kubectl("get --raw /metrics").failure();
    assert!(
        refused.contains("cannot impersonate-on:user-info:get path \"/metrics\""),
        "{refused}"
    );
    job.kubectl("get --raw /api/v1/namespaces/shop/configmaps?limit=1")
        .ok();
}

fn watch_sees_each_change(world: &World) {
    let (job, name) = (world.any_job(), world.name("watched"));
    let selector = format!("--field-selector=metadata.name={name}");
    let mut watch = job
        .kubectl("get configmaps --watch --output-watch-events")
        .arg(selector)
        .start();
    // Its list is empty, so nothing shows that it has begun; what comes after its list comes as an event either way.
    job.kubectl("create configmap").arg(&name).ok();
    watch.hears("ADDED");
    job.kubectl("label configmap")
        .arg(&name)
        .arg("step=two")
        .ok();
    watch.hears("MODIFIED");
    job.kubectl("delete configmap").arg(&name).ok();
    watch.hears("DELETED");
    assert!(watch.is_running());
}

fn list_comes_as_table_json_and_names(world: &World) {
    let (job, name) = (world.any_job(), world.name("listed"));
    job.kubectl("create configmap --from-literal=a=1")
        .arg(&name)
        .ok();
    let table = job.kubectl("get configmap").arg(&name).ok();
    assert!(
        table.starts_with("NAME") && table.contains(&name),
        "{table}"
    );
    let object: Value =
        serde_json::from_str(&job.kubectl("get --output=json configmap").arg(&name).ok()).unwrap();
    assert_eq!(object["data"]["a"], "1");
    assert_eq!(
        job.kubectl("get --output=name configmap")
            .arg(&name)
            .ok()
            .trim(),
        format!("configmap/{name}")
    );
    let described = job.kubectl("describe configmap").arg(&name).ok();
    assert!(described.contains("Namespace:    shop"), "{described}");
}

fn manifest(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: shop }}\ndata: {{ key: \"{value}\" }}\n"
    )
}
