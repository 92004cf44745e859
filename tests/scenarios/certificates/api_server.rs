//! The files by which an agent and its API server prove themselves to each other, replaced while both run: what is up stays, and the next
//! connection goes by what they hold then.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use adit_process::tls::Certificate;
use adit_tests::{
    Kube, KubeBuilder, Metrics, World, agent,
    caller::{get, next_piece},
    kube, logs,
    pki::{self, Made, Pki},
    relay, scenario, until, within, world,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};

const REPLACED: &str = "adit_agent_server_ca_reloads_total{outcome=\"replaced\"}";
const FAILED: &str = "adit_agent_server_ca_reloads_total{outcome=\"failed\"}";

/// Has the agent look at the CA's file when it holds this.
async fn look(world: &World, text: &str, outcome: &str) {
    let before = world.agent.metrics().await.value(outcome);
    fs::write(world.kube.kubeconfig().with_file_name("ca.pem"), text).unwrap();
    world.agent.reread();
    world.agent.until_metric(outcome, |now| now > before).await;
}

/// Asks until this is in the answer: that a connection is lost is not always known at once.
async fn until_answered(world: &World, part: &str) {
    let asked = async { while !world.job.get("/api").await.text().contains(part) {} };
    within("an answer like that", asked).await;
}

#[test]
fn api_server_is_believed_by_what_the_file_holds_now() {
    scenario(async {
        let mut world = world().await;
        world.job.get("/api").await.echo();
        let accepted = world.kube.accepted();
        look(&world, "spoilt", FAILED).await;
        let told = logs();
        assert!(told.lines().any(|line| {
            line.contains("CAs of servers not reloaded") && line.contains("API server's")
        }));
        world.kube.kill().await;
        world.kube.revive().await;
        until_answered(&world, "/api").await;
        assert!(world.kube.accepted() > accepted, "by those of before");

        let accepted = world.kube.accepted();
        look(&world, &Pki::new("somebody else").ca_pem(), REPLACED).await;
        world.job.get("/api").await.echo();
        assert_eq!(world.kube.accepted(), accepted, "what is up stays");
        world.kube.kill().await;
        world.kube.revive().await;
        until_answered(&world, "api_server_unreachable").await;

        look(&world, &pki::shared().ca_pem(), REPLACED).await;
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

/// Puts another certificate in the place of the agent's.
fn renew(kube: &Kube) -> Vec<u8> {
    let end = Some(SystemTime::now() + Duration::from_hours(48));
    let made = Made {
        end,
        ..Made::default()
    };
    let (certificate, _) = pki::shared().write_client(folder(kube), made);
    CertificateDer::from_pem_file(certificate).unwrap().to_vec()
}

fn folder(kube: &Kube) -> &Path {
    kube.kubeconfig().parent().unwrap()
}

#[test]
fn api_server_is_shown_the_client_certificate_that_the_files_hold_now() {
    renews(kube().certified());
}

#[test]
fn api_server_without_http2_is_shown_it_too() {
    renews(kube().certified().http1_only());
}

/// When the agent says that its certificate ends.
fn told_end(metrics: &Metrics) -> f64 {
    metrics.value("adit_agent_kubernetes_certificate_expiry_timestamp_seconds")
}

/// When it does.
fn end_of(certificate: &[u8]) -> f64 {
    let end = Certificate::read(certificate).unwrap().not_after;
    end.duration_since(UNIX_EPOCH).unwrap().as_secs() as f64
}

#[test]
fn end_of_a_certificate_within_a_kubeconfig_is_told() {
    scenario(async {
        let (relay, kube) = (relay().start().await, kube().certified().start().await);
        let renewed = renew(&kube);
        let mut kubeconfig = fs::read_to_string(kube.kubeconfig()).unwrap();
        for (key, name) in [
            ("client-certificate", "client.pem"),
            ("client-key", "client.key"),
        ] {
            let path = folder(&kube).join(name);
            let data = STANDARD.encode(fs::read(&path).unwrap());
            let named = format!("{key}: '{}'", path.display());
            assert!(kubeconfig.contains(&named), "{kubeconfig}");
            kubeconfig = kubeconfig.replace(&named, &format!("{key}-data: {data}"));
            fs::remove_file(path).unwrap();
        }
        fs::write(kube.kubeconfig(), kubeconfig).unwrap();
        let agent = agent("prod").to(&relay).serving(&kube).start().await;
        relay.job(9001).get("/api").await.echo();
        assert_eq!(kube.shown().as_ref(), Some(&renewed));
        let metrics = agent.metrics().await;
        assert_eq!(told_end(&metrics), end_of(&renewed));
        let life = Certificate::read(&renewed).unwrap().life().as_secs() as f64;
        let told = metrics.value("adit_agent_kubernetes_certificate_lifetime_seconds");
        assert_eq!(told, life);
        agent.stop().await;
        relay.stop().await;
        kube.stop().await;
    });
}

fn renews(kube: KubeBuilder) {
    scenario(async {
        let world = World::of(kube, relay()).await;
        world.job.get("/api").await.echo();
        let http2 = world.job.http2().await;
        let mut watch = within("a head", http2.send(get("/watch"))).await.unwrap();
        let (accepted, shown) = (world.kube.accepted(), world.kube.shown());
        assert!(shown.is_some());
        assert_eq!(
            told_end(&world.agent.metrics().await),
            end_of(shown.as_ref().unwrap())
        );

        let file = folder(&world.kube).join("client.pem");
        let right = fs::read(&file).unwrap();
        fs::write(&file, "spoilt").unwrap();
        world.agent.reread();
        let failures = "adit_agent_credential_failures_total";
        world.agent.until_metric(failures, |now| now > 0.0).await;
        assert!(logs().contains("client certificate for the API server not reloaded"));
        world.job.get("/api").await.echo();
        assert_eq!(world.kube.shown(), shown);
        fs::write(&file, right).unwrap();
        world.agent.reread();
        let mended = "client certificate for the API server can be used again, and is as it was";
        until("it is told to be mended", || logs().contains(mended)).await;

        let renewed = renew(&world.kube);
        world.agent.reread();
        until("the certificate is taken up", || {
            logs().contains("client certificate for the API server replaced")
        })
        .await;
        world.job.get("/api").await.echo();
        assert!(world.kube.accepted() > accepted);
        assert_eq!(told_end(&world.agent.metrics().await), end_of(&renewed));
        assert_eq!(world.kube.shown(), Some(renewed));
        let accepted = world.kube.accepted();
        world.kube.event("still here");
        assert_eq!(next_piece(&mut watch).await, "still here\n");
        world.job.get("/api").await.echo();
        assert_eq!(world.kube.accepted(), accepted);
        drop((watch, http2));
        world.stop().await;
    });
}
