//! Two replicas of one agent: requests spread over them, and either may go.

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials},
    installation::Installation,
    job::Job,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::ControlPlane; requests_spread_over_replicas_and_survive_one]
}

fn requests_spread_over_replicas_and_survive_one(world: &World) {
    let mut ours = Installation::with(world, 2);
    let job = Job::of(world, &ours, &Client::ours(world));
    for _ in 0..6 {
        job.kubectl("get configmaps").ok();
    }
    let answered =
        |at: usize| ours.agents[at].metric(r#"adit_agent_api_server_answers_total{class="2xx"}"#);
    assert!(
        answered(0) > 0.0 && answered(1) > 0.0,
        "one replica did it all: {} {}",
        answered(0),
        answered(1)
    );

    ours.agents[0].kill();
    for _ in 0..3 {
        job.kubectl("get configmaps").ok();
    }
    ours.agents[0].revive();
    ours.agents[1].kill();
    job.kubectl("get configmaps").ok();
}
