//! Whom it asks about jobs and agents: GitLab and its Gitaly.

use std::path::Path;

use adit_tests::{Endpoint, Fault, Role, agent, gitlab, gitlab::arrange, kube, relay, scenario};
use tempfile::TempDir;

use super::{ended, examined};

#[test]
fn gitlab_that_is_away_or_somebody_else_is_told() {
    scenario(async {
        let mut gitlab = gitlab().start().await;
        let (config, relay) = ended(relay().asking(&gitlab, "recheck: 30s").start().await).await;
        let well = examined(&config).await;
        well.is_well_but_for(&[
            "client_ca",
            "admin_certificate",
            "admin_client_ca",
            "admin_token",
            "audit",
            "traces",
            "ready",
            "version",
            "api_secret",
            "read_token",
            "gitaly",
            "gitlab_api_certificate",
            "gitlab_api",
            "webhook",
        ]);

        gitlab.faults().set_everywhere(Fault::Status(502));
        let broken = examined(&config).await;
        broken.is_broken_at("gitlab", "authority", "502");
        gitlab.faults().clear();
        gitlab.faults().set_everywhere(Fault::Status(404));
        let another = examined(&config).await;
        another.is_broken_at("gitlab", "authority", "not GitLab's API");

        let secret = "gitlab: { webhook_secret_file: /nowhere/secret,";
        let with_secret = config.replace("gitlab: {", secret);
        gitlab.faults().clear();
        let lost = examined(&with_secret).await;
        lost.is_broken_at("webhook", "relay", "/nowhere/secret");
        for key in ["secret_file", "certificate: /nowhere/tls.crt, key"] {
            let port = format!("gitlab_api: {{ {key}: /nowhere/file }}\n");
            let asking = config.replace("gitlab: {", "gitlab: { api_secret_file: /nowhere/secret,");
            let lost = examined(&format!("{asking}{port}")).await;
            assert!(lost.what("gitlab_api").contains("/nowhere/"), "{lost}");
        }
        gitlab.be_away().await;
        let away = examined(&config).await;
        away.is_broken_at("gitlab", "authority", "authorities.gitlab.url");
        drop(relay);
    });
}

#[test]
fn secret_that_gitlab_does_not_accept_is_told() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let secret = gitlab.secret_file().display().to_string();
        let keys = format!("api_secret_file: '{secret}'");
        let relay = relay().asking(&gitlab, &keys).start().await;
        let config = relay.config();
        let well = examined(&config).await;
        assert_eq!(well.what("api_secret"), "GitLab accepts it", "{well}");

        let folder = TempDir::new().unwrap();
        let others = folder.path().join("secret");
        std::fs::write(&others, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
        let with = |file: &Path| config.replace(&secret, file.to_str().unwrap());
        let refused = examined(&with(&others)).await;
        refused.is_broken_at("api_secret", "relay", "does not accept it");
        // Nor the right one, when a proof is over before it is looked at.
        gitlab.be_ahead(60);
        let late = examined(&config).await;
        late.is_broken_at("api_secret", "relay", "or a clock is off");
        gitlab.be_ahead(0);
        let lost = examined(&with(Path::new("/nowhere/secret"))).await;
        lost.is_broken_at("api_secret", "relay", "/nowhere/secret");
        for endpoint in [Endpoint::AgentInfo, Endpoint::OldAgentInfo] {
            gitlab.faults().set(endpoint, Fault::Status(404));
        }
        let hidden = examined(&config).await;
        hidden.is_broken_at("api_secret", "authority", "/api/v4/internal/");
        relay.stop().await;
    });
}

#[test]
fn older_gitlab_accepts_the_secret_at_its_older_path() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let newer = Endpoint::AgentInfo;
        gitlab.faults().set(newer, Fault::Status(404));
        let keys = format!("api_secret_file: '{}'", gitlab.secret_file().display());
        let relay = relay().asking(&gitlab, &keys).start().await;
        let config = relay.config();
        let well = examined(&config).await;
        assert_eq!(well.what("api_secret"), "GitLab accepts it", "{well}");
        relay.stop().await;
    });
}

#[test]
fn token_for_agents_files_that_is_of_no_use_is_told() {
    scenario(async {
        let gitlab = gitlab().start().await;
        arrange(&gitlab);
        let owned = |scope: &str| {
            let mut world = gitlab.world();
            world.member("reader", "group", Role::Reporter);
            let owner = world.user("reader");
            world.personal_token(owner, &[scope])
        };
        let folder = TempDir::new().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, owned("read_repository")).unwrap();
        let keys = format!("agent_files: {{ token_file: '{}' }}", token.display());
        let relay = relay().asking(&gitlab, &keys).start().await;
        let config = relay.config();
        let well = examined(&config).await;
        assert_eq!(well.outcome("read_token"), "ok", "{well}");
        let elsewhere = config.replace("project_id: 150", "project_id: 151");
        let elsewhere = examined(&elsewhere).await;
        elsewhere.is_broken_at("read_token", "relay", "`project_id`");
        std::fs::write(&token, owned("k8s_proxy")).unwrap();
        let narrow = examined(&config).await;
        narrow.is_broken_at("read_token", "relay", "403 Forbidden");
        std::fs::write(&token, "glpat-canary\n").unwrap();
        let unknown = examined(&config).await;
        unknown.is_broken_at("read_token", "relay", "does not know it");
        assert!(!unknown.to_string().contains("canary"), "{unknown}");
        std::fs::write(&token, "two words\n").unwrap();
        let broken = examined(&config).await;
        broken.is_broken_at("read_token", "relay", "read_repository");
        assert!(!broken.to_string().contains("two words"), "{broken}");
        relay.stop().await;
    });
}

#[test]
fn gitaly_that_the_relay_does_not_reach_is_told() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let keys = format!(
            "recheck: 200ms, api_secret_file: '{}', agent_files: {{ every: 100ms }}",
            gitlab.secret_file().display()
        );
        let relay = relay().asking(&gitlab, &keys).start().await;
        let early = examined(&relay.config()).await;
        assert_eq!(early.outcome("gitaly"), "not_run", "{early}");
        let token = {
            let mut world = gitlab.world();
            world.project("group/app");
            let agent = world.number(5).agent("group/app", "testing");
            world.agent_token(agent).unwrap()
        };
        let kube = kube().start().await;
        let agent = agent("testing").showing(&token, &relay);
        let agent = agent.serving(&kube).start().await;
        let servers = |how: &str| format!("adit_relay_gitaly_servers{{last=\"{how}\"}}");
        let one = |count| count == 1.0;
        relay.until_metric(&servers("answered"), one).await;
        assert_eq!(examined(&relay.config()).await.outcome("gitaly"), "ok");
        gitlab.gitaly().be_ahead(60);
        relay.until_metric(&servers("denied"), one).await;
        let broken = examined(&relay.config()).await;
        broken.is_broken_at("gitaly", "authority", "denied: 1");
        agent.stop().await;
        kube.stop().await;
        relay.stop().await;
    });
}
