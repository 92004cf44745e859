//! What a job is told about its project's environments.

use adit_tests::{GitLab, Role, gitlab, scenario};
use serde_json::json;

use super::ask;

/// A GitLab with the environments `production`, which names the agent `prod` of another project, and `staging`.
async fn start() -> GitLab {
    let gitlab = gitlab().start().await;
    {
        let mut world = gitlab.world();
        world.group("group");
        world.number(150).project("group/app");
        world.number(151).project("group/agents");
        world.member("dev1", "group", Role::Developer);
        world.member("mate", "group/app", Role::Developer);
        world.number(41).agent("group/agents", "prod");
        let production = world.environment(150, "production");
        world.environment_mut(production).agent = Some(41);
        world.environment(150, "staging");
    }
    gitlab
}

#[test]
fn a_job_is_told_which_agent_its_environment_names() {
    scenario(async {
        let gitlab = start().await;
        let path = "/api/v4/projects/150/environments";
        let token = |login: &str| {
            let mut world = gitlab.world();
            world.job("group/app").by(login).run_for_token()
        };
        let asked = async |query: &str, token: &str| {
            ask(&gitlab, &format!("{path}{query}"), &[("job-token", token)]).await
        };
        let (own, mate) = (token("dev1"), token("mate"));
        assert_eq!(asked("", &own).await.json().as_array().unwrap().len(), 2);
        let listed = asked("?name=production", &own).await.json();
        assert_eq!(listed[0]["tier"], "production");
        let agent = &listed[0]["cluster_agent"];
        assert_eq!((&agent["id"], &agent["name"]), (&json!(41), &json!("prod")));
        assert_eq!(
            agent["config_project"]["path_with_namespace"],
            "group/agents"
        );
        let plain = asked("?name=staging", &own).await.json();
        assert!(plain[0].get("cluster_agent").is_none(), "{plain}");
        assert_eq!(asked("?name=prod", &own).await.json(), json!([]));
        // Who may not see the agent is told of the environment alone.
        let unseen = asked("?name=production", &mate).await.json();
        assert_eq!(unseen[0]["name"], "production");
        assert!(unseen[0].get("cluster_agent").is_none(), "{unseen}");
        assert_eq!(asked("", "glcbt-nobodys").await.status, 401);
        let foreign = "/api/v4/projects/151/environments";
        let answer = ask(&gitlab, foreign, &[("job-token", &own)]).await;
        assert_eq!(answer.status, 404);
    });
}
