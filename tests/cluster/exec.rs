//! Commands in a container: what goes in, what comes out, and how they ended.

use std::time::Duration;

use libtest_mimic::Trial;
use sha2::{Digest, Sha256};

use crate::{
    client::Client,
    harness::{Needs, trials, trials_by_carrier},
    large::noise,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    let mut trials = trials_by_carrier![Needs::Pods;
        exit_code_of_a_command_is_kubectls,
        output_and_errors_come_apart,
        end_of_standard_input_reaches_the_command,
        large_output_arrives_whole,
        command_that_ignores_its_input_ends_the_call,
        command_that_does_not_exist_is_refused,
    ];
    trials.extend(trials![Needs::Pods; input_waits_for_a_command_that_pauses]);
    trials
}

fn exit_code_of_a_command_is_kubectls(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    for code in [0, 3, 255] {
        let ended = job
            .kubectl("exec bench -- sh -c")
            .arg(format!("exit {code}"))
            .run();
        assert_eq!(ended.code, Some(code), "{ended}");
    }
    // By SIGKILL.
    let ended = job.kubectl("exec bench -- sh -c").arg("kill -9 $$").run();
    assert_eq!(ended.code, Some(137), "{ended}");
    assert!(
        ended
            .stderr
            .contains("command terminated with exit code 137"),
        "{ended}"
    );
}

fn output_and_errors_come_apart(world: &World, client: &Client) {
    world.bench();
    let ended = world
        .job(client)
        .kubectl("exec bench -- sh -c")
        .arg("echo out; echo err >&2")
        .run();
    assert_eq!(
        (ended.text().as_str(), ended.stderr.as_str()),
        ("out\n", "err\n")
    );
}

fn end_of_standard_input_reaches_the_command(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    assert_eq!(
        job.kubectl("exec -i bench -- cat").input("one\ntwo").ok(),
        "one\ntwo"
    );
    assert_eq!(
        job.kubectl("exec -i bench -- wc -c").input("").ok().trim(),
        "0"
    );
    let bytes = noise(3 << 20);
    let sum = job
        .kubectl("exec -i bench -- sha256sum")
        .input(bytes.clone())
        .ok();
    assert_eq!(sum.split(' ').next(), Some(sha256(&bytes).as_str()));
}

/// For longer than any sign of life may take to come: the command's buffers are full, and TCP's with them.
fn input_waits_for_a_command_that_pauses(world: &World) {
    const BYTES: usize = 24 << 20;
    world.bench();
    let counted = world
        .any_job()
        .kubectl("exec -i bench -- sh -c")
        .arg("sleep 25; wc -c")
        .input(noise(BYTES))
        .ok();
    assert_eq!(counted.trim(), BYTES.to_string());
}

fn large_output_arrives_whole(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let bytes = noise(3 << 20);
    let echoed = job
        .kubectl("exec -i bench -- cat")
        .input(bytes.clone())
        .run();
    assert_eq!(echoed.code, Some(0), "{}", echoed.stderr);
    assert_eq!(
        (echoed.stdout.len(), sha256(&echoed.stdout)),
        (bytes.len(), sha256(&bytes))
    );
}

fn command_that_ignores_its_input_ends_the_call(world: &World, client: &Client) {
    world.bench();
    // The input stays open.
    let job = world.job(client);
    let running = job
        .kubectl("exec -i bench -- sh -c")
        .arg("echo done")
        .start();
    let ended = running.ended_within(Duration::from_secs(20));
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (Some(0), "done\n"),
        "{ended}"
    );
}

fn command_that_does_not_exist_is_refused(world: &World, client: &Client) {
    world.bench();
    let said = world
        .job(client)
        .kubectl("exec bench -- no-such-command")
        .failure();
    assert!(said.contains("no-such-command"), "{said}");
    let said = world
        .job(client)
        .kubectl("exec no-such-pod -- true")
        .failure();
    assert!(said.contains("\"no-such-pod\" not found"), "{said}");
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
