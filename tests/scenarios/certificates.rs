//! Certificates as they are kept and renewed in practice: several authorities in one file, links that come to lead elsewhere, and other CAs
//! of those that are dialled.

mod api_server;
pub(crate) mod servers;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use adit_tests::{
    RelayBuilder, World, agent, gitlab, kube, logs, pass,
    pki::{self, HTTP1, Pki},
    relay, scenario, until, world,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// Whom an agent believes stands in a file with another, before it or after it.
#[test]
fn each_authority_of_a_file_is_believed() {
    scenario(async {
        let relay = relay().start().await;
        let kube = kube().start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authorities.pem");
        let (ours, other) = (pki::shared().ca_pem(), Pki::new("somebody else").ca_pem());
        for both in [[&other, &ours], [&ours, &other]] {
            fs::write(&file, both.map(String::as_str).concat()).unwrap();
            let agent = agent("prod").to(&relay).serving(&kube);
            let agent = agent.with("relay", "ca_file", file.display());
            let agent = agent.start().await;
            relay.job(9001).get("/api").await.echo();
            agent.stop().await;
        }
        relay.stop().await;
        kube.stop().await;
    });
}

#[test]
fn cas_own_certificate_is_told_by_who_does_not_believe_it_there() {
    scenario(async {
        let (of_agents, of_operators) = ("no agent believes", "adit status and adit cut");
        let has = |words| logs().contains(words);
        let (gitlab, folder) = (gitlab().start().await, tempfile::tempdir().unwrap());
        let (certificate, key) = Pki::new("its own CA").write_as_own(folder.path());
        let with = |builder: RelayBuilder, section| {
            let builder = builder.with(section, "certificate", certificate.display());
            builder.with(section, "key", key.display())
        };
        // GitLab takes it.
        let secret = format!("api_secret_file: '{}'", gitlab.secret_file().display());
        let called = relay().asking(&gitlab, &secret);
        let called = called.with("gitlab_api", "address", "127.0.0.1:0");
        with(called, "gitlab_api").start().await.stop().await;
        assert!(!has(of_agents) && !has(of_operators), "{}", logs());
        let mut asked = with(relay(), "admin").start_unready().await;
        assert!(has(of_operators) && !has(of_agents), "{}", logs());
        asked.kill().await;
    });
}

/// What a link leads to from now on, as a whole.
pub(crate) fn lead(link: &Path, to: &Path) {
    let next = link.with_file_name("next");
    symlink(to, &next).unwrap();
    fs::rename(next, link).unwrap();
}

/// A new certificate and its key, in a folder of this name.
fn issued(place: &Path, name: &str) -> [PathBuf; 2] {
    let folder = place.join(name);
    fs::create_dir(&folder).unwrap();
    let (certificate, key) = pki::shared().write_server(&folder);
    [certificate, key]
}

/// The certificate that the relay shows.
async fn shown(world: &World) -> Vec<u8> {
    let io = world.job.tls(HTTP1).await;
    let (_, tls) = io.get_ref();
    tls.peer_certificates().unwrap()[0].to_vec()
}

/// What the relay does by itself, with time.
async fn reloads(world: &World, outcome: &str, count: f64) {
    pass(Duration::from_secs(20)).await;
    let reloads =
        format!("adit_tls_certificate_reloads_total{{port=\"public\",outcome=\"{outcome}\"}}");
    world
        .relay
        .until_metric(&reloads, |so_far| so_far >= count)
        .await;
}

/// Each name is a link into an archive, and they are swapped one after the other.
#[test]
fn certificate_is_renewed_as_certbot_does_it() {
    scenario(async {
        let world = world().await;
        let links = world.relay.certificate();
        let place = tempfile::tempdir().unwrap();
        let first = shown(&world).await;
        for (link, name) in links.iter().zip(["first.pem", "first.key"]) {
            let archived = place.path().join(name);
            fs::copy(link, &archived).unwrap();
            lead(link, &archived);
        }
        let second = issued(place.path(), "second");
        lead(&links[1], &second[1]);
        // The key is not the certificate's now.
        reloads(&world, "failed", 1.0).await;
        assert_eq!(shown(&world).await, first);
        let logged = logs();
        let said = |words| logged.lines().find(|line| line.contains(words));
        let line = said("certificate not reloaded").unwrap();
        assert!(line.contains(" days\""), "{line}");
        lead(&links[1], &place.path().join("first.key"));
        pass(Duration::from_secs(20)).await;
        let mended = "certificate can be used again, and is as it was";
        until("it is told to be mended", || logs().contains(mended)).await;
        lead(&links[1], &second[1]);
        lead(&links[0], &second[0]);
        reloads(&world, "replaced", 1.0).await;
        assert_ne!(shown(&world).await, first);
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

/// The names are links through one that leads to a folder, and that is swapped.
#[test]
fn certificate_is_renewed_as_a_kubernetes_secret_is() {
    scenario(async {
        let world = world().await;
        let place = tempfile::tempdir().unwrap();
        let (first, data) = (shown(&world).await, place.path().join("..data"));
        issued(place.path(), "..1");
        lead(&data, Path::new("..1"));
        for link in world.relay.certificate() {
            lead(&link, &data.join(link.file_name().unwrap()));
        }
        reloads(&world, "replaced", 1.0).await;
        let second = shown(&world).await;
        issued(place.path(), "..2");
        lead(&data, Path::new("..2"));
        reloads(&world, "replaced", 2.0).await;
        let third = shown(&world).await;
        assert!(first != second && second != third);
        let failed = "adit_tls_certificate_reloads_total{port=\"public\",outcome=\"failed\"}";
        assert_eq!(world.relay.metrics().await.value(failed), 0.0);
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

/// As plain `openssl req -x509` makes it.
#[test]
fn certificate_that_is_renewed_to_a_cas_own_is_told_then_and_at_the_next_start() {
    scenario(async {
        let mut world = world().await;
        let [certificate, key] = world.relay.certificate();
        let of_ca = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        fs::write(certificate, params.self_signed(&of_ca).unwrap().pem()).unwrap();
        fs::write(key, of_ca.serialize_pem()).unwrap();
        let warned = || {
            let (logs, warning) = (logs(), "no agent believes the certificate");
            let lines = logs.lines().filter(|line| line.contains(warning));
            lines
                .filter(|line| line.contains("port=\"public\""))
                .count()
        };
        assert_eq!(warned(), 0);
        world.relay.reread();
        until("it is told", || warned() == 1).await;
        world.relay.kill().await;
        world.relay.revive().await;
        assert_eq!(warned(), 2);
        world.stop().await;
    });
}
