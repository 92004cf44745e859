//! The agent where it belongs: in the cluster, from the project's own manifests and image.

use std::fs;

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials},
    installation::{AGENT_TOKEN, Front, Relay},
    job::Job,
    until::until,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::Node; agent_in_the_cluster_serves_it]
}

fn agent_in_the_cluster_serves_it(world: &World) {
    let _ = (world, AGENT_TOKEN);
}
