//! Stock clients against the real thing: kubectl, helm and kube-rs, each with a job's ID token, through a relay and an agent
//! that run as processes of their own, to a real control plane and a real node.
//!
//! One cluster for the whole run: it takes seconds to start, and a machine has room for one node. So this test has a `main` of
//! its own, which takes the cluster down at the end, however the tests ended. A test is a function of the [`World`]; what it
//! makes in the cluster has a name of its own, so that tests run side by side. Tests that kill something bring their own relay
//! and agent; a test that disturbs the API server runs alone.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "test code without tokio's clock: a failure is a panic with a place"
)]

mod harness;

mod balancer;
mod client;
mod cluster;
mod installation;
mod job;
mod process;
mod running;
mod terminal;
mod traces;
mod until;
mod world;

mod access;
mod attach;
mod copy;
mod debug;
mod dev;
mod doctor;
mod documents;
mod exec;
mod faults;
mod helm;
mod identity;
mod in_cluster;
mod installed;
mod kube_rs;
mod kubeconfig;
mod large;
mod logs;
mod manifests;
mod objects;
mod observed;
mod pipelines;
mod port_forward;
mod replicas;
mod rights;
mod rollout;
mod secrets;
mod silence;
mod tty;
mod verbs;
mod watches;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait more than they compute.
    arguments.test_threads.get_or_insert(4);
    let trials = [
        access::trials(),
        attach::trials(),
        copy::trials(),
        debug::trials(),
        dev::trials(),
        doctor::trials(),
        documents::trials(),
        exec::trials(),
        faults::trials(),
        helm::trials(),
        identity::trials(),
        in_cluster::trials(),
        installed::trials(),
        kube_rs::trials(),
        kubeconfig::trials(),
        large::trials(),
        logs::trials(),
        manifests::trials(),
        objects::trials(),
        observed::trials(),
        pipelines::trials(),
        port_forward::trials(),
        replicas::trials(),
        rights::trials(),
        rollout::trials(),
        secrets::trials(),
        silence::trials(),
        tty::trials(),
        verbs::trials(),
        watches::trials(),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().flatten().collect());
    match world::end(conclusion.has_failed()) {
        Ok(()) => conclusion.exit_code(),
        Err(leak) => {
            eprintln!("{leak}");
            ExitCode::FAILURE
        }
    }
}
