//! As whom a job acts: exactly GitLab's names, and nobody else's, whatever it asks for.

use std::{collections::BTreeMap, time::Duration};

use adit_identity::{Environment, Tier};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    client::Client,
    harness::{Needs, trials, trials_by_client},
    job::Job,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    let mut all = trials_by_client![Needs::ControlPlane; job_is_known_by_gitlabs_names_exactly];
    all.extend(trials![Needs::ControlPlane;
        job_with_an_environment_has_its_groups_too,
        rbac_answers_what_the_job_may_do,
        job_cannot_act_as_somebody_else,
    ]);
    all
}

fn job_is_known_by_gitlabs_names_exactly(world: &World, client: &Client) {
    let job = world.job(client);
    let me = whoami(&job);
    assert_eq!(me["username"], job.user());
    assert_eq!(
        me["groups"],
        json!([
            "gitlab:ci_job",
            "gitlab:group:23",
            "gitlab:group:25",
            "gitlab:project:150",
            "system:authenticated"
        ])
    );
    let id = job.identity.job.to_string();
    let expected = BTreeMap::from([
        ("agent.gitlab.com/id", "7"),
        ("agent.gitlab.com/config_project_id", "150"),
        ("agent.gitlab.com/project_id", "150"),
        ("agent.gitlab.com/ci_pipeline_id", "880"),
        ("agent.gitlab.com/ci_job_id", id.as_str()),
        ("agent.gitlab.com/username", "dev1"),
    ]);
    assert_eq!(extras(&me), expected);
}

fn job_with_an_environment_has_its_groups_too(world: &World) {
    let mut identity = world.next_job();
    identity.environment = Some(Environment::named("prod", Tier::Production, true).unwrap());
    let relay = &world.shared().relay;
    let job = Job::known_as(
        identity,
        world,
        relay,
        &Client::ours(world),
        Duration::from_secs(600),
    );
    let me = whoami(&job);
    assert_eq!(
        me["groups"],
        json!([
            "gitlab:ci_job",
            "gitlab:group:23",
            "gitlab:group_env_tier:23:production",
            "gitlab:group:25",
            "gitlab:group_env_tier:25:production",
            "gitlab:project:150",
            "gitlab:project_env:150:prod",
            "gitlab:project_env_tier:150:production",
            "system:authenticated",
        ])
    );
    assert_eq!(extras(&me)["agent.gitlab.com/environment_slug"], "prod");
    assert_eq!(
        extras(&me)["agent.gitlab.com/environment_tier"],
        "production"
    );
}

fn rbac_answers_what_the_job_may_do(world: &World) {
    let job = world.any_job();
    assert_eq!(
        job.kubectl("auth can-i create pods --namespace shop")
            .ok()
            .trim(),
        "yes"
    );
    assert_eq!(
        job.kubectl("auth can-i create secrets --namespace vault")
            .ok()
            .trim(),
        "yes"
    );
    let refused = job
        .kubectl("auth can-i get secrets --namespace vault")
        .run();
    assert_eq!(
        (refused.code, refused.text().trim()),
        (Some(1), "no"),
        "{refused}"
    );
    let listed = job.kubectl("auth can-i --list --namespace vault").ok();
    assert!(listed.contains("[create delete]"), "{listed}");
}

fn job_cannot_act_as_somebody_else(world: &World) {
    let job = world.any_job();
    for arguments in [
        "--as=admin",
        "--as=admin --as-group=system:masters",
        "--as=gitlab:ci_job:1 --as-uid=1",
    ] {
        let said = job.kubectl("get configmaps").args(arguments).failure();
        assert!(
            said.contains("Impersonate-") && said.contains("(client"),
            "{arguments}: {said}"
        );
    }
}

fn whoami(job: &Job) -> Value {
    let review: Value =
        serde_json::from_str(&job.kubectl("auth whoami --output=json").ok()).unwrap();
    review["status"]["userInfo"].clone()
}

/// Those with this prefix; the API server may add its own.
fn extras(me: &Value) -> BTreeMap<&str, &str> {
    let all = me["extra"].as_object().unwrap();
    let ours = all
        .iter()
        .filter(|(key, _)| key.starts_with("agent.gitlab.com/"));
    ours.map(|(key, values)| {
        assert_eq!(values.as_array().unwrap().len(), 1, "{key}");
        (key.as_str(), values[0].as_str().unwrap())
    })
    .collect()
}
