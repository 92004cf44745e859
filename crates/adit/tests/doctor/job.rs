//! In a job: each thing that a job, its way and its relay can have wrong.

mod cluster;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_tests::pki::{self, HTTP1, HTTP2};
use adit_tests::{ConnectProxy, job, relay, scenario};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Doctor, Impostor, closed_port};

/// A certificate that is its own authority, for `localhost` and what `change` makes of it.
fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into());
    (certificate.pem(), Arc::new(config.unwrap()))
}

/// As a relay refuses whoever shows no token, with one field more.
fn refusal(field: &str) -> String {
    let body = r#"{"message":"no Authorization header","details":{"causes":[{"reason":"AditHop","message":"client"}]}}"#;
    format!(
        "HTTP/1.1 401 Unauthorized\r\n{field}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn job_without_settings_is_told_what_to_set() {
    scenario(async {
        let examined = Doctor::at("job").examine().await;
        examined.is_broken_at("settings", "client", "ADIT_RELAY_URL");
        examined.did_not_run(&["token", "name", "tls", "relay"], "settings");
        examined.did_not_run(BEYOND, "settings");

        let missing = Doctor::at("job").env("KUBECONFIG", "/nowhere/config");
        let examined = missing.examine().await;
        examined.is_broken_at("settings", "client", "/nowhere/config");

        let tokenless = Doctor::at("job").env("ADIT_RELAY_URL", "https://relay.test");
        let examined = tokenless.examine().await;
        examined.is_broken_at("settings", "client", "id_tokens");
    });
}

#[test]
fn settings_that_cannot_be_used_are_told() {
    scenario(async {
        let folder = TempDir::new().unwrap();
        let (path, garbage) = (folder.path().join("config"), folder.path().join("ca.pem"));
        std::fs::write(&garbage, "no certificate").unwrap();
        for ca in ["/nowhere/ca.pem", garbage.to_str().unwrap()] {
            let doctor = Doctor::at("job")
                .env("ADIT_RELAY_URL", "https://relay.test")
                .env("ADIT_ID_TOKEN", "glcbt-64_canary")
                .env("ADIT_RELAY_CA", ca);
            let examined = doctor.examine().await;
            examined.is_broken_at("settings", "client", ca);
            examined.did_not_run(&["token", "name"], "settings");
        }

        let token = "token: 'ci:41:glcbt-64_canary'";
        let cluster = "server: 'https://relay.test/k8s-proxy'";
        let context = "context: { cluster: gitlab, user: me }";
        for (cluster, user, contexts, words) in [
            (
                format!("{cluster}, proxy-url: 'socks5://user:canary@proxy.test'"),
                token,
                format!("{{ name: a, {context} }}"),
                "(proxy-url in the kubeconfig)",
            ),
            (
                cluster.to_owned(),
                "exec: { apiVersion: client.authentication.k8s.io/v1, command: glab }",
                format!("{{ name: a, {context} }}"),
                "comes from a program",
            ),
            (
                cluster.to_owned(),
                token,
                format!("{{ name: a, {context} }}, {{ name: b, {context} }}"),
                "of several contexts none is current, which kubectl needs: a, b",
            ),
        ] {
            let file = format!(
                "{{ clusters: [{{ name: gitlab, cluster: {{ {cluster} }} }}], users: [{{ name: me, user: {{ {user} }} }}], contexts: [{contexts}] }}"
            );
            std::fs::write(&path, file).unwrap();
            let doctor = Doctor::at("job").env("KUBECONFIG", path.to_str().unwrap());
            let examined = doctor.examine().await;
            examined.is_broken_at("settings", "client", words);
            assert!(!examined.to_string().contains("canary"), "{examined}");
        }
    });
}

/// What kubectl would get a 404 for, and GitLab's agent server in the relay's place.
#[test]
fn kubeconfig_for_another_path_is_told() {
    scenario(async {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("config");
        for (server, words) in [
            ("https://relay.test", "lacks /k8s-proxy"),
            ("https://relay.test/", "set-cluster gitlab"),
            (
                "https://gitlab.test/-/kubernetes-agent/k8s-proxy/",
                "set-cluster gitlab",
            ),
        ] {
            let file = format!(
                "{{ clusters: [{{ name: gitlab, cluster: {{ server: '{server}' }} }}],
                   users: [{{ name: 'agent:41', user: {{ token: 'ci:41:glcbt-64_canary' }} }}],
                   contexts: [{{ name: 'a/b:c', context: {{ cluster: gitlab, user: 'agent:41' }} }}] }}"
            );
            std::fs::write(&path, file).unwrap();
            let doctor = Doctor::at("job").env("KUBECONFIG", path.to_str().unwrap());
            let examined = doctor.examine().await;
            examined.is_broken_at("settings", "client", words);
            assert!(!examined.to_string().contains("canary"), "{examined}");
        }
    });
}

#[test]
fn token_that_has_ended_or_is_none_of_a_job_is_told() {
    scenario(async {
        let relay = relay().start().await;
        let ended = relay.issuer().signed(&job(9001), |claims| {
            for (claim, second) in [("iat", 1), ("nbf", 1), ("exp", 1_700_000_000)] {
                claims.insert(claim.to_owned(), second.into());
            }
        });
        let doctor = Doctor::of_job(&relay).env("ADIT_ID_TOKEN", &ended);
        let examined = doctor.examine().await;
        examined.is_broken_at("token", "client", "that ended");
        // The way is looked at all the same, and the relay does not like the token either.
        assert_eq!(examined.outcome("relay"), "ok", "{examined}");
        assert_eq!(examined.outcome("grant"), "failed", "{examined}");
        assert!(!examined.to_string().contains(&ended));

        let agents = Doctor::of_job(&relay).env("ADIT_ID_TOKEN", "glagent-canary");
        let examined = agents.examine().await;
        examined.is_broken_at("token", "client", "an agent's token");
        assert!(!examined.to_string().contains("canary"));
        relay.stop().await;
    });
}

#[test]
fn name_port_and_proxy_are_told_apart() {
    scenario(async {
        let relay = relay().start().await;
        let doctor = || Doctor::of_job(&relay);

        let examined = doctor()
            .env("ADIT_RELAY_URL", "https://relay.invalid")
            .examine()
            .await;
        examined.is_broken_at("name", "network", "relay.invalid");
        examined.did_not_run(
            &["connect", "proxy", "tls", "http", "clock", "relay"],
            "name",
        );
        examined.did_not_run(BEYOND, "name");

        let nowhere = doctor().env("HTTPS_PROXY", "http://proxy.invalid:3128");
        let examined = nowhere.examine().await;
        examined.is_broken_at("name", "network", "proxy.invalid");
        examined.did_not_run(&["connect", "proxy", "tls"], "name");

        let examined = doctor().calling(closed_port().await).examine().await;
        examined.is_broken_at("connect", "network", "nothing listens there");
        examined.did_not_run(&["proxy", "tls", "http", "clock", "relay"], "connect");

        let proxy = ConnectProxy::start(AUTHORIZATION).await;
        let refusing = format!("http://user:canary-wrong-password@{}", proxy.address());
        let examined = doctor().env("HTTPS_PROXY", &refusing).examine().await;
        examined.is_broken_at("proxy", "network", "a user and a password");
        examined.did_not_run(&["tls", "http", "clock", "relay"], "proxy");
        assert!(!examined.to_string().contains("canary"), "{examined}");

        let good = format!("http://user:canary-proxy-password@{}", proxy.address());
        let examined = doctor().env("HTTPS_PROXY", &good).examine().await;
        assert_eq!(examined.outcome("relay"), "ok", "{examined}");
        assert!(
            examined.what("proxy").contains("lets us through"),
            "{examined}"
        );

        let excepted = doctor()
            .env("HTTPS_PROXY", &refusing)
            .env("NO_PROXY", "127.0.0.1");
        let examined = excepted.examine().await;
        assert!(examined.what("proxy").contains("none"), "{examined}");
        drop(proxy);
        relay.stop().await;
    });
}

#[test]
fn certificate_that_is_not_believed_is_told_with_its_issuer() {
    scenario(async {
        let relay = relay().start().await;
        let (pem, _) = self_signed(|_| ());
        let folder = TempDir::new().unwrap();
        let other = folder.path().join("ca.pem");
        std::fs::write(&other, pem).unwrap();
        let examined = Doctor::of_job(&relay)
            .env("ADIT_RELAY_CA", other.to_str().unwrap())
            .examine()
            .await;
        examined.is_broken_at("tls", "network", "issued by `adit test CA`");
        assert!(
            examined.finding("tls")["advice"]
                .to_string()
                .contains("ADIT_RELAY_CA")
        );
        examined.did_not_run(&["http", "clock", "relay"], "tls");
        relay.stop().await;
    });
}

/// As plain `openssl req -x509` makes it. It is named as the CA, too, as people do then.
#[test]
fn certificate_that_is_a_cas_own_is_told_with_what_to_do() {
    scenario(async {
        let relay = relay().start().await;
        let (pem, tls) = self_signed(|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        });
        let folder = TempDir::new().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, pem).unwrap();
        let impostor = Impostor::at("127.0.0.1", tls, &refusal("X: y")).await;
        let url = format!("https://localhost:{}", impostor.address.port());
        let doctor = Doctor::of_job(&relay)
            .env("ADIT_RELAY_URL", &url)
            .env("ADIT_RELAY_CA", ca.to_str().unwrap());
        let words = "basicConstraints=critical,CA:FALSE";
        doctor.examine().await.is_broken_at("tls", "network", words);
        let mut adit = Command::new(env!("CARGO_BIN_EXE_adit"));
        adit.args(["kubeconfig", "--output", "-", "--relay", &url, "--ca"])
            .arg(&ca)
            .env_clear()
            .env("ADIT_ID_TOKEN", "e30.e30.c2ln");
        let told = String::from_utf8(adit.output().await.unwrap().stderr).unwrap();
        assert!(told.contains(words) && !told.contains("--ca,"), "{told}");
        relay.stop().await;
    });
}

#[test]
fn certificate_with_another_name_or_out_of_time_is_told() {
    scenario(async {
        let relay = relay().start().await;
        let other_name = self_signed(|_| ());
        let ended = self_signed(|params| params.not_after = date_time_ymd(2001, 1, 1));
        // Its life began in 1975.
        let nearly_ended = self_signed(|params| {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            params.not_after = date_time_ymd(1970, 1, 1) + since_1970 + Duration::from_hours(24);
        });
        let folder = TempDir::new().unwrap();
        let examine = async |(pem, tls): (String, Arc<ServerConfig>), host: &str| {
            let ca = folder.path().join("ca.pem");
            std::fs::write(&ca, pem).unwrap();
            let impostor = Impostor::at("127.0.0.1", tls, &refusal("X: y")).await;
            let port = impostor.address.port();
            let doctor = Doctor::of_job(&relay)
                .env("ADIT_RELAY_URL", &format!("https://{host}:{port}"))
                .env("ADIT_RELAY_CA", ca.to_str().unwrap());
            doctor.examine().await
        };
        let examined = examine(other_name, "127.0.0.1").await;
        examined.is_broken_at("tls", "network", "use a host name");
        let examined = examine(ended, "localhost").await;
        examined.is_broken_at("tls", "network", "has expired");
        let examined = examine(nearly_ended, "localhost").await;
        assert_eq!(examined.outcome("tls"), "warning", "{examined}");
        relay.stop().await;
    });
}

#[test]
fn whoever_answers_in_the_relays_place_is_told() {
    scenario(async {
        let relay = relay().start().await;
        let examine = async |alpn: &[&[u8]], answer: &str| {
            let tls = pki::shared().server(alpn);
            let impostor = Impostor::at("127.0.0.1", tls, answer).await;
            let doctor = Doctor::of_job(&relay).calling(impostor.address);
            doctor.examine().await
        };
        let balancer = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>";
        let examined = examine(&[HTTP1], balancer).await;
        examined.is_broken_at("relay", "relay", "answers in its place");
        assert_eq!(examined.outcome("http"), "warning", "{examined}");
        assert_eq!(examined.outcome("clock"), "not_run", "{examined}");
        examined.did_not_run(BEYOND, "relay");

        let website = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone";
        let examined = examine(&[], website).await;
        examined.is_broken_at("relay", "relay", "no adit relay");

        let examined = examine(&[HTTP1], "").await;
        examined.is_broken_at("http", "network", "broke before the answer");

        // It takes a request of HTTP/1.1 for what it expects.
        let examined = examine(&[HTTP2], "nonsense").await;
        examined.is_broken_at("http", "network", "broke before the answer");
        relay.stop().await;
    });
}

#[test]
fn clock_that_is_wrong_is_told() {
    scenario(async {
        let relay = relay().start().await;
        let apart = |seconds| {
            let there = SystemTime::now() + Duration::from_secs(seconds);
            httpdate::fmt_http_date(there)
        };
        for (date, outcome) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", "failed"),
            ("Sat, 06 Nov 2094 08:49:37 GMT", "failed"),
            // Not much, however long the doctor takes to ask.
            (&*apart(58), "warning"),
            ("yesterday", "not_run"),
        ] {
            let answer = refusal(&format!("Date: {date}"));
            let impostor = Impostor::at("127.0.0.1", pki::shared().server(&[HTTP1]), &answer).await;
            let doctor = Doctor::of_job(&relay).calling(impostor.address);
            let examined = doctor.examine().await;
            assert_eq!(examined.outcome("clock"), outcome, "{examined}");
            match outcome {
                "failed" => examined.is_broken_at("clock", "client", "NTP"),
                "warning" => examined.warns("clock", "behind the relay's"),
                _ => {}
            }
        }
        relay.stop().await;
    });
}

#[test]
fn job_that_no_agent_lets_in_is_told() {
    scenario(async {
        let relay = relay().start().await;
        let mut stranger = job(9001);
        stranger.project.path = Some("elsewhere/app".parse().unwrap());
        stranger.project.id.0 = 4711;
        let namespace = stranger.namespace.as_mut().unwrap();
        namespace.path = "elsewhere".parse().unwrap();
        let token = relay.issuer().token(&stranger);
        let doctor = || Doctor::of_job(&relay);
        let examined = doctor().env("ADIT_ID_TOKEN", &token).examine().await;
        examined.is_broken_at("grant", "client", "no agent lets the job in");

        let others = relay.issuer().signed(&job(9001), |claims| {
            claims.insert("aud".to_owned(), "somebody".into());
        });
        let examined = doctor().env("ADIT_ID_TOKEN", &others).examine().await;
        examined.is_broken_at("grant", "client", "another audience");
        assert!(
            examined.what("token").contains("for `somebody`"),
            "{examined}"
        );
        examined.did_not_run(
            &["tunnel", "api-server", "identity", "upgrade", "idle"],
            "grant",
        );

        let foreign = Doctor::of_job_for(&relay, "other/project:foreign");
        let examined = foreign.examine().await;
        examined.is_broken_at("grant", "client", "not the agent that is asked for");
        assert!(
            examined.what("grant").contains("group/sub/app:prod"),
            "{examined}"
        );
        relay.stop().await;
    });
}

/// What comes after the relay was found.
const BEYOND: &[&str] = &[
    "grant",
    "version",
    "tunnel",
    "api-server",
    "identity",
    "upgrade",
    "idle",
];
/// `user:canary-proxy-password`
const AUTHORIZATION: &str = "Basic dXNlcjpjYW5hcnktcHJveHktcGFzc3dvcmQ=";
