//! Attaching to what already runs.

use libtest_mimic::Trial;

use crate::{
    client::Client,
    cluster::app_image,
    harness::{Needs, trials_by_carrier},
    running::Running,
    until::until,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_carrier![Needs::Pods;
        attached_client_talks_with_the_first_process,
        pod_that_is_run_talks_and_is_gone,
    ]
}

/// Made, waited for, attached to and deleted by one call.
fn pod_that_is_run_talks_and_is_gone(world: &World, client: &Client) {
    let (job, name) = (world.job(client), world.name("once"));
    let call = job
        .kubectl("run -i --rm --restart=Never --image-pull-policy=Never")
        .arg(&name);
    let call = call
        .arg(format!("--image={}", app_image(1)))
        .args("--command -- sh -c");
    let mut once = call
        .arg("while read line; do echo heard $line; done")
        .start();
    first_is_heard(&mut once, "a");
    once.hush();
    let said = once.ended().ok();
    assert!(said.contains("deleted"), "{said}");
    job.kubectl("get pod").arg(&name).failure();
}

fn attached_client_talks_with_the_first_process(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let mut attached = job.kubectl("attach -i listener").start();
    first_is_heard(&mut attached, &format!("{}-one", client.name));
    attached.say(&format!("{}-two\n", client.name));
    attached.hears(&format!("heard {}-two", client.name));
}

/// Said again until it was answered: containerd hands on what is typed before it has put the client among those who get the output, so
/// that the answer to a first line may find nobody.
fn first_is_heard(attached: &mut Running, line: &str) {
    until("a first line is answered", || {
        attached.say(&format!("{line}\n"));
        let heard = attached.stdout();
        heard.contains(&format!("heard {line}")).then_some(())
    });
}
