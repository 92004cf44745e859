//! Its certificates, and the CAs that it believes.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_tests::pki::Pki;
use adit_tests::{TestRelay, gitlab, relay, scenario};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::{ended, examined};

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
        // As `openssl req -x509` makes it.
        let of_ca = made(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        let of_ca = examined(&of_ca).await;
        assert_eq!(of_ca.code, 0, "{of_ca}");
        of_ca.warns("certificate", "is a CA's own: no agent believes");
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

/// Nothing is counted of the look at it, unless it speaks no TLS.
#[test]
fn port_for_gitlab_of_a_relay_that_runs_is_known_by_its_certificate() {
    scenario(async {
        let gitlab = gitlab().start().await;
        let secret = format!("api_secret_file: '{}'", gitlab.secret_file().display());
        let relay = || {
            let relay = relay().asking(&gitlab, &secret);
            relay.with("gitlab_api", "address", "127.0.0.1:0")
        };
        let config_of = |relay: &TestRelay| {
            let config = relay.config();
            config.replace("127.0.0.1:0", &relay.gitlab_api().to_string())
        };
        let (ours, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (certificate, key) = Pki::new("GitLab's CA").write_server(ours.path());
        let _ = Pki::new("another CA").write_server(other.path());
        let running = relay()
            .with("gitlab_api", "certificate", certificate.display())
            .with("gitlab_api", "key", key.display());
        let running = running.start().await;
        let config = config_of(&running);
        let well = examined(&config).await;
        let told = well.what("gitlab_api");
        assert!(told.ends_with("and shows its certificate"), "{well}");
        let failed = "adit_relay_handshakes_failed_total";
        assert_eq!(running.metrics().await.sum(failed), 0.0);
        let [ours_at, other_at] = [&ours, &other].map(|folder| folder.path().display().to_string());
        let stranger = examined(&config.replace(&ours_at, &other_at)).await;
        stranger.is_broken_at("gitlab_api", "relay", "that of gitlab_api.certificate");
        let told = stranger.what("gitlab_api");
        assert!(told.contains("issued by `GitLab's CA`"), "{stranger}");
        running.stop().await;

        let plain = relay().start().await;
        let well = examined(&config_of(&plain)).await;
        assert_eq!(well.outcome("gitlab_api"), "ok", "{well}");
        let failed = format!("{failed}{{reason=\"tls\"}}");
        plain.until_metric(&failed, |count| count == 1.0).await;
        plain.stop().await;
    });
}

/// Its admin port answers as this one's would.
#[test]
fn relay_with_another_certificate_is_told_from_this_one() {
    scenario(async {
        let relay = relay().start().await;
        let folder = TempDir::new().unwrap();
        let (certificate, key) = Pki::new("another CA").write_server(folder.path());
        let config = replaced(&relay.config(), "certificate", &certificate);
        let other = examined(&replaced(&config, "key", &key)).await;
        other.is_broken_at("port", "relay", "stop the other relay");
        let told = other.what("port");
        assert!(told.contains("issued by `adit test CA`"), "{other}");
        assert_eq!(other.outcome("admin"), "ok", "{other}");
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

        write_over(&file);
        examined(&config)
            .await
            .is_broken_at("client_ca", "relay", "renew it");
        std::fs::write(&file, "spoilt").unwrap();
        let spoilt = examined(&config).await;
        spoilt.is_broken_at("client_ca", "relay", "tunnel.client_ca_file");
        let (certificate, _) = Pki::new("another").write_server(folder.path());
        std::fs::copy(certificate, &file).unwrap();
        let of_server = examined(&config).await;
        of_server.is_broken_at("client_ca", "relay", "is no CA's");

        let own = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let own = own.self_signed(&KeyPair::generate().unwrap()).unwrap();
        std::fs::write(&file, own.pem()).unwrap();
        let pinned = examined(&config).await;
        assert_eq!(pinned.code, 0, "{pinned}");
        pinned.warns("client_ca", "`rcgen self signed cert` is no CA's");
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
    over.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
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

        // GitLab takes it.
        let (as_own, its_key) = Pki::new("its own CA").write_as_own(folder.path());
        let own = |config: &str| {
            let config = config.replace(certificate.to_str().unwrap(), as_own.to_str().unwrap());
            config.replace(key.to_str().unwrap(), its_key.to_str().unwrap())
        };
        let as_own = examined(&own(&config)).await;
        assert_eq!(as_own.outcome("gitlab_api_certificate"), "ok", "{as_own}");

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
