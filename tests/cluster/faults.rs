//! Something breaks: what runs ends soon, the message names the hop, and what comes back is found without anybody's hands.

use std::time::Duration;

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials},
    installation::Installation,
    job::Job,
    running::Running,
    until::until_within,
    world::World,
};

/// How soon a client must notice.
pub const NOTICED: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    let mut all = trials![Needs::ControlPlane;
        killed_agent_ends_a_watch_and_is_named,
        killed_relay_ends_a_watch_and_its_successor_serves,
        stopped_agent_lets_a_request_finish_and_says_that_it_left,
    ];
    all.extend(trials![Needs::Pods;
        killed_agent_ends_logs_and_exec_without_looking_complete,
        token_that_expires_cuts_the_logs_and_says_why,
    ]);
    all.extend(trials![Needs::Solitude; restarted_api_server_is_found_again]);
    all
}

fn killed_agent_ends_a_watch_and_is_named(world: &World) {
    let mut ours = Installation::start(world);
    let job = Job::of(world, &ours, &Client::ours(world));
    let watch = watching(world, &job);
    ours.agents[0].kill();
    watch.ended_within(NOTICED);
    let said = job.kubectl("get configmaps").failure();
    assert!(
        said.contains("adit: agent group/sub/app:prod") && said.contains("(agent"),
        "{said}"
    );

    ours.agents[0].revive();
    job.kubectl("get configmaps").ok();
    watching(world, &job);
}

fn killed_relay_ends_a_watch_and_its_successor_serves(world: &World) {
    let mut ours = Installation::start(world);
    let job = Job::of(world, &ours, &Client::ours(world));
    let watch = watching(world, &job);
    ours.relay.kill();
    watch.ended_within(NOTICED);
    let said = job.kubectl("get configmaps").failure();
    assert!(
        said.contains("connection refused") || said.contains("was refused"),
        "{said}"
    );
    ours.agents[0].until_disconnected();

    ours.relay.revive();
    ours.agents[0].until_connected();
    job.kubectl("get configmaps").ok();
}

fn stopped_agent_lets_a_request_finish_and_says_that_it_left(world: &World) {
    let mut ours = Installation::start(world);
    let job = Job::of(world, &ours, &Client::ours(world));
    // Ends by itself after seconds in which the agent has been told to stop.
    let mut running = job
        .kubectl("get --raw /api/v1/namespaces/shop/configmaps?watch=1&timeoutSeconds=6")
        .start();
    running.hears("ADDED");
    ours.agents[0].process.stop(NOTICED);
    let ended = running.ended_within(NOTICED);
    assert_eq!(ended.code, Some(0), "it was cut: {ended}");
    let said = job.kubectl("get configmaps").failure();
    assert!(
        said.contains("has been offline since") && said.contains("(agent"),
        "{said}"
    );
}

fn killed_agent_ends_logs_and_exec_without_looking_complete(world: &World) {
    world.bench();
    let mut ours = Installation::start(world);
    let job = Job::of(world, &ours, &Client::ours(world));
    let mut logs = job.kubectl("logs -f bench").start();
    logs.hears("bench is up");
    let mut exec = job
        .kubectl("exec bench -- sh -c")
        .arg("echo begun; sleep 600")
        .start();
    exec.hears("begun");
    ours.agents[0].kill();
    for cut in [logs, exec] {
        let ended = cut.ended_within(NOTICED);
        assert_ne!(ended.code, Some(0), "it looks complete: {ended}");
        assert!(!ended.stderr.is_empty(), "{ended}");
    }
    let said = job.kubectl("exec bench -- true").failure();
    assert!(
        said.contains("adit: agent group/sub/app:prod") && said.contains("(agent"),
        "{said}"
    );
    ours.agents[0].revive();
    job.kubectl("exec bench -- true").ok();
}

fn token_that_expires_cuts_the_logs_and_says_why(world: &World) {
    world.bench();
    let relay = &world.shared().relay;
    let job = Job::at(world, relay, &Client::ours(world), Duration::from_secs(6));
    let mut logs = job.kubectl("logs -f bench").start();
    logs.hears("bench is up");
    let mut exec = job
        .kubectl("exec bench -- sh -c")
        .arg("echo begun; sleep 600")
        .start();
    exec.hears("begun");
    for cut in [logs, exec] {
        let ended = cut.ended_within(NOTICED);
        assert_ne!(ended.code, Some(0), "it looks complete: {ended}");
        assert!(ended.took < Duration::from_secs(8), "{ended}");
    }
    let said = job.kubectl("logs -f bench").failure();
    assert!(
        said.contains("expired") && said.contains("(client"),
        "{said}"
    );
}

fn restarted_api_server_is_found_again(world: &World) {
    let job = world.any_job();
    let watch = watching(world, &job);
    world.cluster.stop_api_server();
    watch.ended_within(NOTICED);
    let said = job.kubectl("get configmaps").failure();
    assert!(
        said.contains("adit: ") && said.contains("(api-server"),
        "{said}"
    );
    world.cluster.start_api_server();
    until_within(
        Duration::from_secs(60),
        "the API server answers jobs again",
        || (job.kubectl("get configmaps").run().code == Some(0)).then_some(()),
    );
    watching(world, &job);
}

/// A watch that has begun, and seen an object.
pub fn watching(world: &World, job: &Job) -> Running {
    let name = world.name("sign");
    world
        .admin("create configmap --namespace shop")
        .arg(&name)
        .ok();
    let selector = format!("--field-selector=metadata.name={name}");
    let mut watch = job
        .kubectl("get configmaps --watch --output=name")
        .arg(selector)
        .start();
    watch.hears(&name);
    watch
}
