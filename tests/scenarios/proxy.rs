//! Agents behind a company's proxy: it is asked to CONNECT, with its password, and sees nothing but TLS.

use adit_tests::{
    ConnectProxy, agent, kube, logs, raw::field, relay, scenario, tinyproxy::TinyProxy, until,
};

/// `user:canary-proxy-password`
const AUTHORIZATION: &str = "Basic dXNlcjpjYW5hcnktcHJveHktcGFzc3dvcmQ=";

#[test]
fn agent_goes_through_the_proxy_with_its_password() {
    scenario(async {
        let proxy = ConnectProxy::start(AUTHORIZATION).await;
        let kube = kube().start().await;
        let relay = relay().start().await;
        let url = format!("http://user:canary-proxy-password@{}", proxy.address());
        let agent = agent("prod")
            .to(&relay)
            .serving(&kube)
            .with("relay", "proxy", url)
            .start()
            .await;
        relay.job(9001).get("/api").await.echo();
        let asked = proxy.asked();
        assert_eq!(
            asked.len(),
            1,
            "only the relay is reached through it: {asked:?}"
        );
        assert!(
            asked[0].starts_with(&format!("CONNECT {} HTTP/1.1\r\n", relay.address())),
            "{}",
            asked[0]
        );
        assert_eq!(
            field(&asked[0], "host"),
            Some(relay.address().to_string().as_str())
        );
        assert!(!asked[0].contains("canary-agent-token"));
        assert!(!logs().contains("canary-proxy-password"));
        relay.stop().await;
        agent.stop().await;
        drop(proxy);
        kube.stop().await;
    });
}

#[test]
fn proxy_that_refuses_is_named_and_its_password_is_not() {
    scenario(async {
        let proxy = ConnectProxy::start(AUTHORIZATION).await;
        let kube = kube().start().await;
        let relay = relay().start().await;
        let url = format!("http://user:canary-wrong-password@{}", proxy.address());
        let agent = agent("prod")
            .to(&relay)
            .serving(&kube)
            .with("relay", "proxy", url)
            .start_anyway()
            .await;
        until("it tried twice", || proxy.asked().len() >= 2).await;
        until("the log says why", || logs().contains("407")).await;
        assert!(!logs().contains("canary-wrong-password"));
        assert_eq!(agent.metrics().await.value("adit_agent_tunnels"), 0.0);
        relay.stop().await;
        agent.stop().await;
        drop(proxy);
        kube.stop().await;
    });
}

/// Not ours: it judges the password and the CONNECT, and closes what it does not take.
#[test]
fn agent_goes_through_a_real_proxy_with_its_password() {
    if !TinyProxy::is_there("agent_goes_through_a_real_proxy_with_its_password") {
        return;
    }
    scenario(async {
        let kube = kube().start().await;
        let relay = relay().start().await;
        let proxy = TinyProxy::start(relay.address().port(), "user", "canary-password").await;
        let through = |password: &str| {
            let url = format!("http://user:{password}@{}", proxy.address());
            let agent = agent("prod").to(&relay).serving(&kube);
            agent.with("relay", "proxy", url)
        };
        let refused = through("canary-wrong").start_anyway().await;
        until("the log says why", || logs().contains("401")).await;
        refused.stop().await;
        let agent = through("canary-password").start().await;
        relay.job(9001).get("/api").await.echo();
        assert!(!logs().contains("canary-"), "{}", logs());
        relay.stop().await;
        agent.stop().await;
        drop(proxy);
        kube.stop().await;
    });
}
