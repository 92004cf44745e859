//! Beside a relay: one that runs, one that does not, and whom it depends on.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_tests::caller::get;
use adit_tests::collector::Collector;
use adit_tests::pki::Pki;
use adit_tests::{
    Endpoint, Fault, Role, TestIssuer, TestRelay, agent, gitlab, gitlab::arrange, kube, relay,
    scenario, until, world,
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;
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
            ("port", "takes connections"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("issuers", "https://gitlab.test: 1 keys"),
        ] {
            assert!(examined.what(check).contains(words), "{examined}");
        }
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

#[test]
fn certificate_that_is_of_no_use_is_told() {
    scenario(async {
        let (config, relay) = ended(relay().start().await).await;
        let folder = TempDir::new().unwrap();
        let (certificate, key) = Pki::new("another").write_server(folder.path());
        let with = |field: &str, path: &Path| replaced(&config, field, path);

        let lost = examined(&with("certificate", Path::new("/nowhere/a.pem"))).await;
        lost.is_broken_at("certificate", "relay", "/nowhere/a.pem");
        let mixed = examined(&with("key", &key)).await;
        mixed.is_broken_at(
            "certificate",
            "relay",
            "cannot be used with the certificate",
        );

        let made = |change: fn(&mut CertificateParams)| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            change(&mut params);
            std::fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
            let key_file = folder.path().join("other.key");
            std::fs::write(&key_file, key.serialize_pem()).unwrap();
            replaced(&with("certificate", &certificate), "key", &key_file)
        };
        let expired = made(|params| params.not_after = date_time_ymd(2001, 1, 1));
        let expired = examined(&expired).await;
        expired.is_broken_at("certificate", "relay", "renew it");
        let early = made(|params| params.not_before = date_time_ymd(2090, 1, 1));
        let early = examined(&early).await;
        early.is_broken_at("certificate", "relay", "does not hold yet");
        // Its life began in 1975.
        let nearly_over = made(|params| {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            params.not_after = date_time_ymd(1970, 1, 1) + since_1970 + Duration::from_hours(24);
        });
        let nearly_over = examined(&nearly_over).await;
        assert_eq!(nearly_over.code, 0, "{nearly_over}");
        nearly_over.warns("certificate", "ends soon: renew it");
        drop(relay);
    });
}

/// With another path in one line of the section `listen`.
fn replaced(config: &str, field: &str, path: &Path) -> String {
    let lines = config.lines().map(|line| {
        if line.starts_with(&format!("  {field}: ")) {
            format!("  {field}: {}\n", path.display())
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

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

#[test]
fn cas_of_agents_are_told() {
    scenario(async {
        let folder = TempDir::new().unwrap();
        let file = Pki::new("agents' CA").write_ca(folder.path());
        let relay = relay().with("tunnel", "client_ca_file", file.display());
        let (config, _relay) = ended(relay.start().await).await;
        let well = examined(&config).await;
        let words = "issued by `agents' CA`";
        assert_eq!(well.outcome("client_ca"), "ok", "{well}");
        assert!(well.what("client_ca").contains(words), "{well}");

        let key = KeyPair::generate().unwrap();
        let mut over = CertificateParams::default();
        over.not_after = date_time_ymd(2020, 1, 1);
        let over = over.self_signed(&key).unwrap();
        std::fs::write(&file, over.pem()).unwrap();
        examined(&config)
            .await
            .is_broken_at("client_ca", "relay", "renew it");
        std::fs::write(&file, "spoilt").unwrap();
        let spoilt = examined(&config).await;
        spoilt.is_broken_at("client_ca", "relay", "tunnel.client_ca_file");
    });
}

#[test]
fn cas_of_operators_are_told() {
    scenario(async {
        let folder = TempDir::new().unwrap();
        let file = Pki::new("operators' CA").write_ca(folder.path());
        let relay = relay().with("admin", "client_ca_file", file.display());
        let relay = relay.with_admin_certificate(folder.path());
        let (config, _relay) = ended(relay.start().await).await;
        let well = examined(&config).await;
        assert_eq!(well.outcome("admin_client_ca"), "ok", "{well}");
        let told = well.what("admin_client_ca");
        assert!(told.contains("issued by `operators' CA`"), "{well}");

        write_over(&file);
        let over = examined(&config).await;
        over.is_broken_at("admin_client_ca", "relay", "renew it");
        assert_eq!(over.outcome("admin_certificate"), "ok", "{over}");
        std::fs::write(&file, "spoilt").unwrap();
        let spoilt = examined(&config).await;
        spoilt.is_broken_at("admin_client_ca", "relay", "admin.client_ca_file");
        assert_eq!(spoilt.outcome("admin_certificate"), "ok", "{spoilt}");
        let lost = replaced(&config, "key", Path::new("/nowhere/key"));
        let lost = examined(&lost).await;
        lost.did_not_run(&["admin_client_ca"], "admin_certificate");
    });
}

/// Writes a certificate of its own that ended long ago, and gives its key.
fn write_over(file: &Path) -> KeyPair {
    let key = KeyPair::generate().unwrap();
    let mut over = CertificateParams::new(["localhost".to_owned()]).unwrap();
    over.not_after = date_time_ymd(2021, 1, 1);
    std::fs::write(file, over.self_signed(&key).unwrap().pem()).unwrap();
    key
}

#[test]
fn certificate_of_the_port_for_gitlab_is_told() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let secret = format!("api_secret_file: '{}'", gitlab.secret_file().display());
        let folder = TempDir::new().unwrap();
        let (certificate, key) = Pki::new("GitLab's").write_server(folder.path());
        let relay = relay()
            .asking(&gitlab, &secret)
            .with("gitlab_api", "address", "127.0.0.1:0")
            .with("gitlab_api", "certificate", certificate.display())
            .with("gitlab_api", "key", key.display());
        let (config, _relay) = ended(relay.start().await).await;
        let well = examined(&config).await;
        assert_eq!(well.outcome("gitlab_api_certificate"), "ok", "{well}");
        assert_eq!(well.outcome("gitlab_api"), "ok", "{well}");

        let other = write_over(&certificate);
        std::fs::write(&key, other.serialize_pem()).unwrap();
        let over = examined(&config).await;
        over.is_broken_at("gitlab_api_certificate", "relay", "renew it");
        assert_eq!(over.outcome("gitlab_api"), "ok", "{over}");
        std::fs::write(&key, "spoilt").unwrap();
        let spoilt = examined(&config).await;
        spoilt.is_broken_at("gitlab_api", "relay", "gitlab_api.key");
        spoilt.did_not_run(&["gitlab_api_certificate"], "gitlab_api");
    });
}
