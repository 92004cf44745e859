//! `adit kubeconfig` and `kubectl config`, which write the same file in turn.

use std::fs;

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials_by_client},
    installation::CONTEXT,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_client![Needs::ControlPlane;
        file_that_kubectl_rewrote_is_replaced,
        file_with_an_entry_of_somebody_else_stays,
    ]
}

fn file_that_kubectl_rewrote_is_replaced(world: &World, client: &Client) {
    let job = world.job(client);
    let written = fs::read_to_string(job.kubeconfig()).unwrap();
    job.kubectl("config use-context").arg(CONTEXT).ok();
    job.kubectl("config set-context --current --namespace=vault")
        .ok();
    let rewritten = fs::read_to_string(job.kubeconfig()).unwrap();
    assert!(written.contains('#') && !rewritten.contains('#'));

    job.adit_kubeconfig(world, &world.shared().relay).ok();
    assert_eq!(fs::read_to_string(job.kubeconfig()).unwrap(), written);
    job.kubectl("get configmaps").ok();
}

fn file_with_an_entry_of_somebody_else_stays(world: &World, client: &Client) {
    let job = world.job(client);
    job.kubectl("config set-credentials me --token=mine").ok();
    let theirs = fs::read_to_string(job.kubeconfig()).unwrap();
    let relay = &world.shared().relay;
    let ended = job.adit_kubeconfig(world, relay).run();
    assert_eq!(ended.code, Some(64), "{ended}");
    assert!(ended.stderr.contains("--force"), "{ended}");
    assert_eq!(fs::read_to_string(job.kubeconfig()).unwrap(), theirs);
    job.adit_kubeconfig(world, relay).arg("--force").ok();
    assert!(
        !fs::read_to_string(job.kubeconfig())
            .unwrap()
            .contains("mine")
    );
}
