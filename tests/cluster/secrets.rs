//! The registry-secret job and its `on_stop` twin, with the Role that a user would write for them: secrets, create and delete,
//! and nothing else.

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials_by_client},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_client![Needs::ControlPlane;
        registry_secret_is_made_and_deleted_with_two_verbs,
        deletion_that_cannot_wait_succeeds_all_the_same,
        missing_secret_may_be_ignored_with_two_verbs,
        other_verbs_are_refused_by_rbac_in_the_jobs_name,
    ]
}

fn registry_secret_is_made_and_deleted_with_two_verbs(world: &World, client: &Client) {
    let (job, name) = (world.job(client), world.name("pull"));
    create(&job, &name);
    let made = world
        .admin("get secret --namespace vault --output jsonpath={.type}")
        .arg(&name)
        .ok();
    assert_eq!(made, "kubernetes.io/dockerconfigjson");

    let deleted = job
        .kubectl("delete secret --namespace vault --wait=false")
        .arg(&name)
        .ok();
    assert!(deleted.contains("deleted"), "{deleted}");
    world
        .admin("get secret --namespace vault")
        .arg(&name)
        .failure();
}

/// `get`, `list` and `watch` are what a `delete` that waits would need; without them kubectl does not wait, and says nothing.
fn deletion_that_cannot_wait_succeeds_all_the_same(world: &World, client: &Client) {
    let (job, name) = (world.job(client), world.name("pull"));
    create(&job, &name);
    job.kubectl("delete secret --namespace vault")
        .arg(&name)
        .ok();
    world
        .admin("get secret --namespace vault")
        .arg(&name)
        .failure();
}

fn missing_secret_may_be_ignored_with_two_verbs(world: &World, client: &Client) {
    let (job, name) = (world.job(client), world.name("pull"));
    job.kubectl("delete secret --namespace vault --ignore-not-found")
        .arg(&name)
        .ok();
    let said = job
        .kubectl("delete secret --namespace vault")
        .arg(&name)
        .failure();
    assert!(said.contains("NotFound"), "{said}");
}

fn other_verbs_are_refused_by_rbac_in_the_jobs_name(world: &World, client: &Client) {
    let job = world.job(client);
    let said = job.kubectl("get secrets --namespace vault").failure();
    let expected = format!(
        r#"secrets is forbidden: User "{}" cannot list resource "secrets" in API group "" in the namespace "vault""#,
        job.user()
    );
    assert!(said.contains(&expected), "{said}");
}

fn create(job: &crate::job::Job, name: &str) {
    let call = job
        .kubectl("create secret docker-registry --namespace vault")
        .arg(name);
    let server = "--docker-server=registry.test --docker-username=ci --docker-password=canary-registry-password";
    let said = call.args(server).ok();
    assert!(said.contains("created"), "{said}");
}
