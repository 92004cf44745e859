//! Attaching to what already runs.

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials_by_client},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_client![Needs::Node; attached_client_talks_with_the_first_process]
}

fn attached_client_talks_with_the_first_process(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let mut attached = job.kubectl("attach -i listener").start();
    attached.say(&format!("{}-one\n", client.name));
    attached.hears(&format!("heard {}-one", client.name));
    attached.say(&format!("{}-two\n", client.name));
    attached.hears(&format!("heard {}-two", client.name));
}
