//! Who is let through, and what the others are told: by kubectl, in the relay's words.

use std::{process::Command, time::Duration};

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials, trials_by_client},
    job::{Call, Job},
    until::{until, until_within},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    let mut all = trials_by_client![Needs::ControlPlane;
        agent_that_is_away_is_named_at_once,
        token_of_nobody_is_refused,
    ];
    all.extend(trials![Needs::ControlPlane;
        kubeconfig_has_a_context_for_each_agent_of_the_job,
        job_of_another_project_gets_no_context,
        job_of_another_project_is_refused,
        expired_token_is_refused_with_its_reason,
        agents_of_others_look_as_if_they_were_not_there,
    ]);
    all
}

fn kubeconfig_has_a_context_for_each_agent_of_the_job(world: &World) {
    let job = world.any_job();
    let contexts = job.kubectl("config get-contexts --output=name").ok();
    assert_eq!(
        contexts.lines().collect::<Vec<_>>(),
        ["group/sub/app:away", "group/sub/app:prod"]
    );
    assert_eq!(
        job.kubectl("config current-context").ok().trim(),
        "group/sub/app:prod"
    );
    job.kubectl("config use-context group/sub/app:prod").ok();
    let namespace = job
        .kubectl("config view --minify --output jsonpath={..namespace}")
        .ok();
    assert_eq!(namespace, "shop");
}

fn agent_that_is_away_is_named_at_once(world: &World, client: &Client) {
    let job = world.job(client);
    // A relay that has just started gives agents some time to come back to it.
    let said = until("it is told at once", || {
        let ended = job.kubectl("--context group/sub/app:away get pods").run();
        (ended.took < Duration::from_secs(2)).then(|| ended.failure())
    });
    assert!(
        said.contains("adit: agent group/sub/app:away has not connected")
            && said.contains("(agent"),
        "{said}"
    );
}

fn token_of_nobody_is_refused(world: &World, client: &Client) {
    let job = world.job(client);
    let said = job.kubectl("get pods --token=ci:7:not-a-token").failure();
    assert!(
        said.contains("adit: ") && said.contains("(client"),
        "{said}"
    );
}

fn job_of_another_project_gets_no_context(world: &World) {
    let mut identity = world.next_job();
    identity.project.path = Some("group/sub/application".parse().unwrap());
    identity.project.id.0 = 151;
    let token = world.token(&identity, Duration::from_secs(600));
    let relay = &world.shared().relay;
    let mut command = Command::new(&world.adit);
    command
        .env_clear()
        .env("ADIT_ID_TOKEN", &token)
        .env("ADIT_RELAY_CA", &relay.ca);
    let ended = Call::new(command, "kubeconfig --output - --relay")
        .arg(relay.url())
        .run();
    assert_eq!(ended.code, Some(77), "{ended}");
    assert!(ended.stdout.is_empty(), "{ended}");
}

fn job_of_another_project_is_refused(world: &World) {
    let mut identity = world.next_job();
    identity.project.path = Some("group/sub/application".parse().unwrap());
    identity.project.id.0 = 151;
    let token = world.token(&identity, Duration::from_secs(600));
    let job = world.any_job();
    let said = job
        .kubectl("get pods")
        .arg(format!("--token=ci:7:{token}"))
        .failure();
    assert!(
        said.contains("Forbidden") && said.contains("adit: ") && said.contains("(client"),
        "{said}"
    );
    assert!(!said.contains(&token), "the token stands in the message");
}

fn agents_of_others_look_as_if_they_were_not_there(world: &World) {
    let job = world.any_job();
    let told = |agent: u64| {
        let said = job
            .kubectl("get pods")
            .arg(format!("--token=ci:{agent}:{}", job.token))
            .failure();
        let (message, _) = said.split_once("(client").expect("it is the relay's");
        message.replace(&agent.to_string(), "N")
    };
    assert_eq!(told(9), told(4711), "9 is another project's, 4711 nobody's");
}

fn expired_token_is_refused_with_its_reason(world: &World) {
    let relay = &world.shared().relay;
    let job = Job::at(world, relay, &Client::ours(world), Duration::from_secs(2));
    let said = until_within(Duration::from_secs(10), "the token has expired", || {
        let ended = job.kubectl("get configmaps").run();
        (ended.code != Some(0)).then_some(ended.stderr)
    });
    assert!(
        said.contains("expired") && said.contains("(client"),
        "{said}"
    );
}
