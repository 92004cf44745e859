//! The KUBECONFIG of a job, read by the library that clients use.

use adit_tests::{Role, gitlab, scenario};
use kube_client::config::Kubeconfig;

#[test]
fn there_is_a_user_and_a_context_for_each_agent() {
    scenario(async {
        let gitlab = gitlab()
            .k8s_proxy_at("https://kas.gitlab.test/k8s-proxy")
            .start()
            .await;
        let (job, token, [one, two]) = {
            let mut world = gitlab.world();
            world.project("group/sub/app");
            world.member("dev1", "group", Role::Developer);
            let one = world.agent("group/sub/app", "testing");
            let two = world.agent("group/config", "shared");
            let yaml = "ci_access: { groups: [{ id: group, default_namespace: 'a: b' }] }";
            world.configure_yaml(two, yaml).unwrap();
            let job = world.job("group/sub/app").run();
            (job, world.job_of(job).token().to_owned(), [one, two])
        };
        let text = gitlab.kubeconfig(job).unwrap();
        let config = Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(config.current_context, None);
        assert_eq!(config.clusters.len(), 1);
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        let server = cluster.server.as_deref();
        assert_eq!(server, Some("https://kas.gitlab.test/k8s-proxy"));
        assert!(cluster.certificate_authority_data.is_none());
        let names = |of: usize| {
            let context = config.contexts[of].context.as_ref().unwrap();
            let namespace = context.namespace.clone();
            (
                config.contexts[of].name.clone(),
                context.user.clone(),
                namespace,
            )
        };
        assert_eq!(
            names(0),
            (
                "group/sub/app:testing".to_owned(),
                Some(format!("agent:{one}")),
                None
            )
        );
        assert_eq!(
            names(1),
            (
                "group/config:shared".to_owned(),
                Some(format!("agent:{two}")),
                Some("a: b".to_owned())
            )
        );
        assert!(text.contains(&format!("token: ci:{one}:{token}\n")));
    });
}

#[test]
fn without_an_agent_there_is_none() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let job = {
            let mut world = gitlab.world();
            world.project("group/app");
            world.job("group/app").run()
        };
        assert_eq!(gitlab.kubeconfig(job), None);
    });
}

/// The agent server refuses it then: the answer goes by stored environments.
#[test]
fn an_environment_that_is_not_stored_yet_has_its_context_already() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let job = {
            let mut world = gitlab.world();
            world.project("group/app");
            let agent = world.agent("group/config", "prod");
            let yaml = "ci_access: { groups: [{ id: group, environments: ['review/*'] }] }";
            world.configure_yaml(agent, yaml).unwrap();
            let job = world.job("group/app").environment("review/a");
            job.unpersisted().run()
        };
        assert!(gitlab.kubeconfig(job).is_some());
    });
}
