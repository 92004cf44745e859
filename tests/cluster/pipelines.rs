//! The pipelines of a real project: `.gitlab-ci.yml` files of `tests/pipelines`, run by gitlab-ci-local with what GitLab gives to a job, its
//! token and the kubeconfig as GitLab writes it, before the double of GitLab, a relay that asks it, and the real cluster.

mod flux;
mod place;
mod runner;

use adit_identity::JobId;
use adit_tests::{JobStatus, documents::commands_run_by};
use base64::{Engine, engine::general_purpose::STANDARD};
use libtest_mimic::Trial;
use serde_json::Value;
use xtask::workspace;

use crate::{
    cluster::app_image,
    harness::{Needs, trials},
    until::until,
    world::World,
};
use flux::Flux;
use place::{PROJECT, Place};
use runner::{Runner, said};

pub fn trials() -> Vec<Trial> {
    let mut trials = trials![
        Needs::Pipelines;
        registry_secret_comes_and_goes_with_its_environment,
        roles_allow_to_jobs_what_they_say_and_refuse_the_rest,
        review_app_is_deployed_by_tier_and_goes_with_its_environment,
        variables_choose_context_and_namespace,
        environment_chooses_the_context,
        jobs_without_a_grant_are_refused,
        watch_ends_with_its_job,
        deploy_goes_on_while_gitlab_is_away,
    ];
    trials.extend(trials![
        Needs::Flux;
        flux_is_told_to_look_and_prunes_what_is_gone,
        a_push_alone_has_flux_look,
    ]);
    trials
}

const MAIN: (&str, &str) = (PROJECT, "main");

fn registry_secret_comes_and_goes_with_its_environment(world: &World) {
    let place = Place::new(world);
    let runner = Runner::new(world, &place, MAIN, "registry-secret")
        .variable("CONTAINER_REGISTRY_ACCESS_USERNAME", "deploy-token-1")
        .variable("CONTAINER_REGISTRY_ACCESS_TOKEN", "canary-deploy-token");
    let (_, contexts) = runner.succeeds("contexts", None);
    assert!(
        contexts.contains(&format!("{PROJECT}:testing")),
        "{contexts}"
    );

    let environment = Some("container-registry-secret");
    let secret = || {
        world
            .admin("get secret gitlab-registry-auth --namespace flux-system --output json")
            .run()
    };
    // The second finds the first's.
    for _ in 0..2 {
        runner.succeeds("registry-secret", environment);
        let secret: Value = serde_json::from_str(&secret().ok()).unwrap();
        let config = secret["data"][".dockerconfigjson"].as_str().unwrap();
        let config = String::from_utf8(STANDARD.decode(config).unwrap()).unwrap();
        assert!(config.contains("deploy-token-1"), "{config}");
        assert!(config.contains("canary-deploy-token"), "{config}");
    }
    // So does the second here find nothing.
    for _ in 0..2 {
        runner.succeeds("registry-secret-stop", environment);
        assert!(secret().failure().contains("not found"));
    }
}

fn roles_allow_to_jobs_what_they_say_and_refuse_the_rest(world: &World) {
    let place = Place::new(world);
    let runner = Runner::new(world, &place, MAIN, "rights").file("source.yaml", SOURCE);
    runner.succeeds("flux-objects", None);
    for (name, what) in [
        ("read-secrets", "cannot list resource \"secrets\""),
        ("other-kinds", "cannot create resource \"configmaps\""),
        ("see-other-kinds", "cannot list resource \"configmaps\""),
    ] {
        let (job, said) = runner.fails(name, None);
        for part in [what, &format!("\"gitlab:ci_job:{job}\"")] {
            assert!(said.contains(part), "{part:?} in {said}");
        }
    }
    // Where the agent itself may act for nobody.
    let (_, said) = runner.fails("secrets-elsewhere", None);
    let why = "cannot impersonate-on:user-info:create resource \"secrets\"";
    assert!(said.contains(why), "{said}");
}

fn review_app_is_deployed_by_tier_and_goes_with_its_environment(world: &World) {
    let place = Place::new(world);
    let chart = workspace::root().join("tests/fixtures/chart");
    let branch = (PROJECT, "feature/colour");
    let runner = Runner::new(world, &place, branch, "review")
        .folder("chart", &chart)
        .variable("APP_IMAGE", app_image(1));
    let environment = Some("review/feature-colour");
    let (_, said) = runner.succeeds("review", environment);
    for group in [
        "gitlab:project_env:150:review-feature-co-",
        "gitlab:project_env_tier:150:development",
        "gitlab:group_env_tier:25:development",
    ] {
        assert!(said.contains(group), "{group} in {said}");
    }
    let releases = || {
        world
            .admin("get deployments --namespace review --output name")
            .ok()
    };
    assert!(releases().contains("app-feature-colour"), "{}", releases());
    let (_, said) = runner.fails("production", Some("production"));
    assert!(said.contains("forbidden"), "{said}");
    runner.succeeds("stop-review", environment);
    assert_eq!(releases(), "");
}

fn variables_choose_context_and_namespace(world: &World) {
    let place = Place::new(world);
    let context = format!("{PROJECT}:testing");
    let runner = Runner::new(world, &place, MAIN, "auto-devops")
        .variable("KUBE_CONTEXT", context)
        .variable("KUBE_NAMESPACE", "shop")
        .variable("ADIT_RELAY_URL", place.relay.url())
        .variable("ADIT_RELAY_CA", place.relay.ca.to_str());
    runner.succeeds("deploy", Some("production"));
    let (_, said) = runner.succeeds("deploy-by-adit", Some("production"));
    assert!(said.contains(&format!("* {PROJECT}:testing")), "{said}");
}

fn environment_chooses_the_context(world: &World) {
    let place = Place::new(world);
    let api = place.with(|gitlab| {
        let mut world = gitlab.world();
        let environment = world.environment(150, "production");
        world.environment_mut(environment).agent = Some(41);
        format!("{}/api/v4", gitlab.url())
    });
    let runner = Runner::new(world, &place, MAIN, "auto-devops")
        .variable("ADIT_RELAY_URL", place.relay.url())
        .variable("ADIT_RELAY_CA", place.relay.ca.to_str())
        .variable("CI_API_V4_URL", api)
        .variable("CI_PROJECT_ID", "150")
        .variable("CI_SERVER_TLS_CA_FILE", place.relay.ca.to_str());
    let (_, said) = runner.succeeds("deploy-by-environment", Some("production"));
    assert!(said.contains("2 contexts"), "{said}");
    assert!(said.contains(&format!("* {PROJECT}:testing")), "{said}");
}

fn jobs_without_a_grant_are_refused(world: &World) {
    let place = Place::new(world);
    let guarded = ("my-group/clusters:guarded", "42");
    let testing = ("my-group/optional-subgroup/my-repository:testing", "41");
    for (of, environment, (context, agent)) in [
        // No grant; a branch that is not protected; an environment that is filtered out, and none.
        (("other-group/app", "main"), None, testing),
        ((PROJECT, "feature"), Some("production"), guarded),
        ((PROJECT, "main"), Some("staging"), guarded),
        ((PROJECT, "main"), None, guarded),
    ] {
        let runner = Runner::new(world, &place, of, "refused")
            .variable("AGENT_KUBECONTEXT", context)
            .variable("AGENT_ID", agent)
            .variable("RELAY", place.relay.url());
        let (_, said) = runner.fails("context", environment);
        assert!(said.contains("no context exists"), "{said}");
        let (_, said) = runner.fails("forged", environment);
        // In a warning: to what kubectl asks first it tells no error's text.
        let why = format!("Warning: adit: GitLab lets this job use no agent with the id {agent}");
        assert!(said.contains(&why), "{said}");
    }
}

fn watch_ends_with_its_job(world: &World) {
    let place = Place::new(world);
    let runner = Runner::new(world, &place, MAIN, "long");
    let (job, call) = runner.job("watch", None);
    let mut running = call.start();
    running.hush();
    running.hears("kube-root-ca.crt");
    let is_written = |key: &str, value: &str| {
        let records = place.relay.recorded(&[JobId(job)]);
        let is_one =
            |record: &Value| record[key] == value && record["operation"]["kind"] == "watch";
        records.iter().any(is_one).then_some(())
    };
    // What is there was listed first.
    until("it watches", || is_written("event", "start"));
    place.end(job, JobStatus::Canceled);
    running.ended();
    until("what it watched is written down as cut", || {
        is_written("ended", "cut")
    });
}

fn deploy_goes_on_while_gitlab_is_away(world: &World) {
    let place = Place::new(world);
    let runner = Runner::new(world, &place, MAIN, "long");
    let (job, call) = runner.job("deploy", None);
    let mut running = call.start();
    running.hush();
    running.hears("configmap/halfway created");
    place.gitlab_is_away();
    // What GitLab said is old by now, and it does not answer.
    until("the relay has asked in vain", || {
        let unanswered = place.relay.metric(UNREACHABLE);
        (unanswered > 2.0).then_some(())
    });
    runner.put("go-on", "");
    let ended = running.ended();
    let said = said(&ended);
    assert_eq!(ended.code, Some(0), "{said}");
    assert!(said.contains("configmap \"halfway\" deleted"), "{said}");
    place.gitlab_is_back();
    place.end(job, JobStatus::Success);
}

fn flux_is_told_to_look_and_prunes_what_is_gone(world: &World) {
    let place = Place::new(world);
    let nginx = (
        "clusters/testing/nginx.yaml",
        NGINX.replace("IMAGE", &app_image(1)),
    );
    let nginx_is_there = || is_there(world, "deployment/nginx --namespace fleet");
    place.push(&[("clusters/testing/fleet.yaml", Some(FLEET))]);
    let flux = Flux::follow(world, &place);
    let runner = Runner::new(world, &place, MAIN, "flux")
        .program("flux", &flux.command)
        .variable("APP", flux.app.as_str());
    until("Flux has applied what lies there", || {
        is_there(world, "namespace/fleet").then_some(())
    });

    place.push(&[(nginx.0, Some(&nginx.1))]);
    assert!(!nginx_is_there());
    runner.succeeds("source", None);
    until("what was pushed is there", || {
        nginx_is_there().then_some(())
    });

    place.push(&[(nginx.0, None)]);
    assert!(nginx_is_there());
    let (_, said) = runner.succeeds("all", None);
    assert!(said.contains("applied revision main@sha1:"), "{said}");
    until("what is gone is pruned", || {
        (!nginx_is_there()).then_some(())
    });
    assert!(is_there(world, "namespace/fleet"));
}

fn a_push_alone_has_flux_look(world: &World) {
    let receivers = &flux::controllers(world).receivers;
    let place = Place::passing_pushes_on(world, receivers);
    let namespace = |name: &str| FLEET.replace("fleet", name);
    place.push(&[("clusters/testing/before.yaml", Some(&namespace("before")))]);
    let flux = Flux::follow(world, &place);
    until("Flux has applied what lies there", || {
        is_there(world, "namespace/before").then_some(())
    });
    until("there is a Receiver for the repository", || {
        let wait = "wait --namespace flux-system --for=condition=Ready --timeout=5s";
        let receiver = format!("receiver/gitlab-{}", flux.app);
        let call = world.admin(wait).arg(receiver).run();
        (call.code == Some(0)).then_some(())
    });
    place.push(&[("clusters/testing/after.yaml", Some(&namespace("after")))]);
    place.tell_of_push();
    until("what was pushed is there", || {
        is_there(world, "namespace/after").then_some(())
    });

    // Back to another agent: what this one made stays, until somebody takes it away.
    drop(place);
    let (app, receiver) = (&flux.app, format!("receiver/gitlab-{}", flux.app));
    let is_kept = || is_there(world, &format!("{receiver} --namespace flux-system"));
    assert!(is_kept());
    let mut deleted = 0;
    for line in commands_run_by("docs/gitlab.md", "a_push_alone_has_flux_look") {
        let line = line
            .replace("receiver/gitlab-app", &receiver)
            .replace("gitlab-receiver-app", &format!("gitlab-receiver-{app}"));
        let said = world.admin(line.strip_prefix("kubectl ").unwrap()).ok();
        deleted += said.matches(" deleted").count();
    }
    assert_eq!(deleted, 4);
    assert!(!is_kept());
}

fn is_there(world: &World, what: &str) -> bool {
    world.admin("get").args(what).run().code == Some(0)
}

const SOURCE: &str = "
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: { name: app }
spec: { url: https://gitlab.test/app.git, interval: 1h, suspend: true }
";
const FLEET: &str = "{ apiVersion: v1, kind: Namespace, metadata: { name: fleet } }";
const NGINX: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: nginx, namespace: fleet }
spec:
  selector: { matchLabels: { app: nginx } }
  template:
    metadata: { labels: { app: nginx } }
    spec:
      containers:
        - { name: nginx, image: IMAGE, imagePullPolicy: Never }
";
const UNREACHABLE: &str = "adit_relay_gitlab_calls_total{question=\"job\",outcome=\"unreachable\"}";
