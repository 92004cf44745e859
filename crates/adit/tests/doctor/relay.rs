//! Beside a relay: one that runs, one that does not, and whom it depends on.

mod authority;
mod certificates;

use std::time::Duration;

use adit_tests::caller::get;
use adit_tests::collector::Collector;
use adit_tests::pki::Pki;
use adit_tests::{TestIssuer, TestRelay, gitlab, relay, scenario, until, world};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::{AdminPort, Doctor, Examined, closed_port};

/// With this configuration.
async fn examined(config: &str) -> Examined {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("relay.yaml");
    std::fs::write(&file, config).unwrap();
    let doctor = Doctor::at("relay").arg("--config");
    doctor.arg(file.to_str().unwrap()).examine().await
}

/// The configuration of a relay that has ended, so that its ports are free.
async fn ended(relay: TestRelay) -> (String, TestRelay) {
    let mut relay = relay;
    let config = relay.config();
    relay.kill().await;
    (config, relay)
}

#[test]
fn relay_that_runs_is_well() {
    scenario(async {
        let relay = relay().start().await;
        let examined = examined(&relay.config()).await;
        examined.is_well_but_for(&[
            "client_ca",
            "admin_certificate",
            "admin_client_ca",
            "admin_token",
            "audit",
            "traces",
            "gitlab",
            "api_secret",
            "read_token",
            "gitaly",
            "gitlab_api_certificate",
            "gitlab_api",
            "webhook",
        ]);
        for (check, words) in [
            ("certificate", "issued by `adit test CA`"),
            ("admin", "a relay runs"),
            ("port", "takes connections, and shows its certificate"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("issuers", "https://gitlab.test: 1 key"),
        ] {
            assert!(examined.what(check).contains(words), "{examined}");
        }
        // It said nothing at the public port, behind a handshake that was well.
        let metrics = relay.metrics().await;
        assert_eq!(metrics.sum("adit_relay_handshakes_failed_total"), 0.0);
        assert_eq!(metrics.sum("adit_relay_requests_total"), 0.0);
        relay.stop().await;
    });
}

#[test]
fn relay_that_does_not_run_could() {
    scenario(async {
        let (config, _relay) = ended(relay().start().await).await;
        let free = examined(&config).await;
        free.is_well_but_for(&[
            "client_ca",
            "admin_certificate",
            "admin_client_ca",
            "admin_token",
            "audit",
            "traces",
            "ready",
            "version",
            "gitlab",
            "api_secret",
            "read_token",
            "gitaly",
            "gitlab_api_certificate",
            "gitlab_api",
            "webhook",
        ]);

        let wrong = examined("listen: { address: nowhere }\nshards: 0\n").await;
        wrong.is_broken_at("settings", "relay", "shards");
        let lines = wrong.what("settings").lines().count();
        assert!(lines > 2, "{wrong}");
        assert!(
            wrong.what("settings").contains("`nowhere` is not"),
            "{wrong}"
        );
        wrong.did_not_run(&["certificate", "port", "issuers", "gitlab"], "settings");
    });
}

#[test]
fn private_port_with_a_certificate_is_asked_over_tls() {
    scenario(async {
        let folder = TempDir::new().unwrap();
        let relay = relay().with_admin_certificate(folder.path()).start().await;
        let examined = examined(&relay.config()).await;
        for (check, words) in [
            ("admin", "over TLS, with its certificate"),
            ("admin_certificate", "issued by `adit test CA`"),
            ("ready", "it is ready"),
            ("version", env!("CARGO_PKG_VERSION")),
        ] {
            assert_eq!(examined.outcome(check), "ok", "{examined}");
            assert!(examined.what(check).contains(words), "{examined}");
        }
        relay.stop().await;
    });
}

#[test]
fn private_port_at_which_nobody_or_somebody_else_answers_is_told() {
    scenario(async {
        let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let relay = relay().with_admin_certificate(folder.path()).start().await;
        // The one that runs shows another certificate than the file of this configuration.
        let (other, key) = Pki::new("another CA").write_server(elsewhere.path());
        let own = folder.path().display().to_string();
        let config = relay.config();
        let config = config.replace(&format!("{own}/server.pem"), &other.display().to_string());
        let config = config.replace(&format!("{own}/server.key"), &key.display().to_string());
        let stranger = examined(&config).await;
        stranger.is_broken_at("admin", "relay", "somebody else listens there");
        let told = stranger.what("admin");
        assert!(told.contains("issued by `adit test CA`"), "{stranger}");

        let (config, relay) = ended(relay).await;
        assert_eq!(examined(&config).await.outcome("admin"), "ok");
        // It takes connections, and hangs up.
        let other = TcpListener::bind(relay.admin()).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { while other.accept().await.is_ok() {} });
        let nobody = examined(&config).await;
        nobody.is_broken_at("admin", "relay", "something else listens there");

        let missing = config.replace(&own, "/nowhere");
        let missing = examined(&missing).await;
        missing.is_broken_at("admin_certificate", "relay", "admin.certificate");
    });
}

#[test]
fn port_that_is_taken_is_told() {
    scenario(async {
        let (config, relay) = ended(relay().start().await).await;
        let taken = TcpListener::bind(relay.address()).await.unwrap();
        let examined = examined(&config).await;
        examined.is_broken_at("port", "relay", "something else listens there");
        assert_eq!(examined.outcome("admin"), "ok", "{examined}");
        drop(taken);
    });
}

#[test]
fn admin_port_that_is_taken_is_told() {
    scenario(async {
        let (config, relay) = ended(relay().start().await).await;
        let somebody = AdminPort::telling(&[]).await;
        let taken = somebody.address.to_string();
        let examined = examined(&config.replace(&relay.admin().to_string(), &taken)).await;
        examined.is_broken_at("admin", "relay", "something else listens there");
        assert!(examined.what("admin").contains(&taken), "{examined}");
        assert_eq!(examined.outcome("port"), "ok", "{examined}");
        assert_eq!(examined.outcome("ready"), "not_run", "{examined}");
    });
}

#[test]
fn relay_that_runs_is_not_taken_for_what_listens_in_its_place() {
    scenario(async {
        let relay = relay().start().await;
        let (config, own) = (relay.config(), relay.address().to_string());
        let mut tasks = JoinSet::new();
        // One speaks plain HTTP, the other hangs up.
        for answer in ["HTTP/1.0 400 Bad Request\r\n\r\n", ""] {
            let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = other.local_addr().unwrap();
            tasks.spawn(async move {
                while let Ok((mut socket, _)) = other.accept().await {
                    socket.write_all(answer.as_bytes()).await.ok();
                }
            });
            let config = config.replace(&own, &address.to_string());
            let examined = examined(&config).await;
            examined.is_broken_at("port", "relay", "something else listens there");
            let told = format!("TLS with {address} failed: ");
            assert!(examined.what("port").contains(&told), "{examined}");
        }
        relay.stop().await;
    });
}

/// It waits for a balancer's words, which come before TLS.
#[test]
fn relay_to_which_this_machine_is_a_balancer_is_well() {
    scenario(async {
        let relay = relay().with("listen", "proxy_protocol_from", "[127.0.0.1]");
        let relay = relay.start().await;
        let examined = examined(&relay.config()).await;
        let told = format!("{} takes connections", relay.address());
        assert_eq!(
            (examined.outcome("port"), examined.what("port")),
            ("ok", told.as_str()),
            "{examined}"
        );
        relay.stop().await;
    });
}

#[test]
fn relay_of_another_version_is_told() {
    scenario(async {
        let relay = relay().start().await;
        let other = AdminPort::telling(&[
            ("/livez", "live\n"),
            ("/readyz", "ready\n"),
            ("/metrics", "adit_build_info{version=\"0.0.7\"} 1\n# EOF\n"),
        ])
        .await;
        let at = other.address.to_string();
        let examined = examined(&relay.config().replace(&relay.admin().to_string(), &at)).await;
        assert_eq!(examined.code, 0, "{examined}");
        let ours = env!("CARGO_PKG_VERSION");
        examined.warns("version", &format!("is adit 0.0.7, and this is {ours}"));
        relay.stop().await;
    });
}

/// It lets a watch finish, and nobody else in.
#[test]
fn relay_that_is_stopping_is_told() {
    scenario(async {
        let mut world = world().await;
        let (config, address) = (world.relay.config(), world.relay.address());
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let ((), examined) = tokio::join!(world.relay.drain(Duration::from_secs(50)), async {
            until("nobody is let in", || {
                std::net::TcpStream::connect(address).is_err()
            })
            .await;
            let examined = examined(&config).await;
            drop(watch);
            examined
        });
        let stopping = format!("{address} (listen.address) takes no connection");
        examined.is_broken_at("port", "relay", &stopping);
        assert_eq!(examined.outcome("ready"), "failed", "{examined}");
        let missing = examined.what("ready");
        assert_eq!(missing, "it is not ready: missing: accepting", "{examined}");
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn port_for_gitlab_that_the_relay_does_not_have_is_told() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let keys = format!("api_secret_file: '{}'", gitlab.secret_file().display());
        let relay = relay().asking(&gitlab, &keys).start().await;
        let at = closed_port().await;
        let port = format!("gitlab_api: {{ address: '{at}' }}\n");
        let examined = examined(&format!("{}{port}", relay.config())).await;
        let words = format!("{at} (gitlab_api.address) takes no connection");
        examined.is_broken_at("gitlab_api", "relay", &words);
        relay.stop().await;
    });
}

#[test]
fn settings_that_keep_everybody_out_are_told() {
    scenario(async {
        let relay = relay().without_agents().start().await;
        let examined = examined(&relay.config()).await;
        assert_eq!(examined.code, 0, "{examined}");
        examined.warns("settings", "agents: none is named");
        relay.stop().await;
    });
}

#[test]
fn what_the_start_would_refuse_is_told() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let secret = gitlab.secret_file().display().to_string();
        let keys = format!("api_secret_file: '{secret}'");
        let (config, relay) = ended(relay().asking(&gitlab, &keys).start().await).await;
        let folder = TempDir::new().unwrap();
        let there = |name: &str| folder.path().join(name).display().to_string();

        std::fs::write(there("token"), "guessed\n").unwrap();
        let token = format!("admin:\n  token_file: '{}'\n", there("token"));
        let short = examined(&config.replace("admin:\n", &token)).await;
        short.is_broken_at("admin_token", "relay", "(admin.token_file)");
        assert!(!short.to_string().contains("guessed"), "{short}");

        let audit =
            |name: &str| format!("{config}audit: {{ to: file, file: '{}' }}\n", there(name));
        let lost = examined(&audit("missing/audit.log")).await;
        lost.is_broken_at("audit", "relay", "make the folder");
        assert!(lost.what("audit").contains("(audit.file)"), "{lost}");
        assert_eq!(examined(&audit("audit.log")).await.outcome("audit"), "ok");
        let traced = "traces: { endpoint: 'https://localhost', token_file: '/missing' }\n";
        let untold = examined(&format!("{config}{traced}")).await;
        untold.is_broken_at("traces", "relay", "traces.token_file");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "only the token: {left:?}");

        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = taken.local_addr().unwrap();
        let port = examined(&format!("{config}gitlab_api: {{ address: '{at}' }}\n")).await;
        port.is_broken_at("gitlab_api", "relay", "something else listens there");
        assert!(
            port.what("gitlab_api").contains("(gitlab_api.address)"),
            "{port}"
        );

        let keyless = config.replace(&secret, "/nowhere/secret");
        let port = format!("{keyless}gitlab_api: {{ address: '127.0.0.1:0' }}\n");
        let keyless = examined(&port).await;
        assert_eq!(keyless.outcome("gitlab_api"), "failed", "{keyless}");
        let told = keyless.what("gitlab_api");
        assert!(
            told.contains("authorities.gitlab.api_secret_file"),
            "{keyless}"
        );

        let bundle = "gitlab: { gitaly: { ca_file: /nowhere/ca.pem },";
        let lost = examined(&config.replace("gitlab: {", bundle)).await;
        lost.is_broken_at("gitaly", "relay", "authorities.gitlab.gitaly.ca_file");
        drop(relay);
    });
}

#[test]
fn collector_that_is_away_or_refuses_is_told() {
    scenario(async {
        let collector = Collector::start().await;
        let token = collector.demand("collector-canary");
        std::fs::write(&token, "collector-canary\n").unwrap();
        let (config, relay) = ended(relay().start().await).await;
        let keys = format!(
            "{{ endpoint: 'http://{}', token_file: '{}' }}",
            collector.address(),
            token.display()
        );
        let config = format!("{config}audit: {{ to: otlp, otlp: {keys} }}\ntraces: {keys}\n");
        let well = examined(&config).await;
        assert!(well.what("audit").contains("takes records"), "{well}");
        assert!(well.what("traces").contains("takes spans"), "{well}");
        assert!(collector.kept().is_empty() && collector.told().is_empty());

        std::fs::write(&token, "other-canary\n").unwrap();
        let denied = examined(&config).await;
        denied.is_broken_at("audit", "relay", "token_file");
        assert!(
            denied.what("audit").contains("(audit.otlp.endpoint)"),
            "{denied}"
        );
        assert_eq!(denied.outcome("traces"), "warning", "{denied}");
        assert!(!denied.to_string().contains("canary"), "{denied}");

        collector.be_away(true);
        let away = examined(&config).await;
        away.is_broken_at("audit", "relay", "reaches the collector");
        assert_eq!(away.outcome("traces"), "warning", "{away}");
        assert!(!away.to_string().contains("source:"), "{away}");
        drop(relay);
    });
}

#[test]
fn file_of_an_issuers_keys_that_is_gone_is_told_with_its_path_and_key() {
    scenario(async {
        let (config, relay) = ended(relay().start().await).await;
        let lines = config
            .lines()
            .map(|line| match line.split_once("jwks_file: ") {
                Some((before, rest)) => {
                    let (_, behind) = rest.split_once(',').unwrap();
                    format!("{before}jwks_file: /nowhere/keys.json,{behind}\n")
                }
                None => format!("{line}\n"),
            });
        let lost = examined(&lines.collect::<String>()).await;
        lost.is_broken_at("issuers", "authority", "/nowhere/keys.json (jwks_file)");
        lost.is_broken_at(
            "issuers",
            "authority",
            "authorities.oidc.issuers[].jwks_file",
        );
        drop(relay);
    });
}

#[test]
fn relay_that_is_not_ready_says_why() {
    scenario(async {
        let issuer = TestIssuer::over_https().await;
        issuer.be_away();
        let relay = relay().believing(issuer).start_unready().await;
        let examined_so = examined(&relay.config()).await;
        examined_so.is_broken_at("issuers", "authority", "jwks_url");
        assert_eq!(examined_so.outcome("ready"), "failed", "{examined_so}");
        let missing = examined_so.what("ready");
        assert!(missing.contains("missing: keys"), "{examined_so}");
        let (config, relay) = ended(relay).await;
        let examined_so = examined(&config).await;
        examined_so.is_broken_at("issuers", "authority", "jwks_url");
        drop(relay);
    });
}
