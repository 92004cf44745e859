//! `kubectl debug`: a container beside one that runs.

use libtest_mimic::Trial;

use crate::{
    client::Client,
    cluster::app_image,
    harness::{Needs, trials_by_carrier},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_carrier![Needs::Pods; debug_container_is_added_and_attached_to]
}

fn debug_container_is_added_and_attached_to(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let call = job
        .kubectl("debug listener -i --image-pull-policy=Never")
        .arg(format!("--image={}", app_image(2)));
    let mut debug = call
        .arg(format!("--container={}", world.name("dbg")))
        .args("-- cat")
        .start();
    debug.say("hello from outside\n");
    debug.hears("hello from outside");
    debug.hush();
    debug.ended().ok();
}
