//! `kubectl logs`: promptly, and to the end.

use std::time::Duration;

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials_by_client},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_client![Needs::Pods; line_appears_as_soon_as_it_is_written, old_lines_are_there]
}

fn line_appears_as_soon_as_it_is_written(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let mut logs = job.kubectl("logs -f bench --tail=1").start();
    for step in 0..3 {
        let line = world.name("line");
        job.kubectl("exec bench -- sh -c")
            .arg(format!("echo {line} {step} > /proc/1/fd/1"))
            .ok();
        // The command has ended: the line is in the container's log.
        let late = logs.hears(&line);
        assert!(late < Duration::from_secs(3), "the line came {late:?} late");
    }
    assert!(logs.is_running());
}

fn old_lines_are_there(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let log = job.kubectl("logs bench").ok();
    assert!(log.starts_with("bench is up\n"), "{log}");
    assert!(
        job.kubectl("logs bench --timestamps --limit-bytes=10")
            .ok()
            .len()
            <= 10
    );
}
