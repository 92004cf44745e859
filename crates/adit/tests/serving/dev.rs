//! `adit dev`, as somebody with a cluster tries it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use http::Request;
use kube_client::config::Kubeconfig;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::kube::{kube, kube_that_allows_nothing, kubeconfig_for};
use crate::process::{SOON, adit, line, signal, stdout};

#[tokio::test]
async fn dev_with_a_kubeconfig_that_may_not_impersonate_ends_at_once() {
    let mut tasks = JoinSet::new();
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("own");
    kubeconfig_for(&kube_that_allows_nothing(&mut tasks).await, &own);
    let dev = adit(&["dev", "--kubeconfig", own.to_str().unwrap()]).output();
    let ended = timeout(SOON, dev).await.expect("it ends").unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(77), "{told}");
    assert!(told.contains("may not act for a job"), "{told}");
    assert!(told.contains("impersonate users"), "{told}");
}

#[tokio::test]
async fn dev_puts_a_relay_before_the_current_cluster_and_leaves_nothing_behind() {
    let mut tasks = JoinSet::new();
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("own");
    kubeconfig_for(&kube(&mut tasks).await, &own);

    let mut dev = adit(&[
        "dev",
        "--kubeconfig",
        own.to_str().unwrap(),
        "--project",
        "group/app",
    ])
    .env("TMPDIR", folder.path())
    .spawn()
    .unwrap();
    // Kept to the end: it has more to print, and ends when nobody is there to read it.
    let mut printed = stdout(&mut dev);
    let export = line(&mut printed, "export KUBECONFIG=").await;
    let path = Path::new(export.trim().strip_prefix("export KUBECONFIG=").unwrap()).to_owned();
    let job = Kubeconfig::read_from(&path).unwrap();
    let mode = fs::metadata(path.parent().unwrap())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(job.current_context.as_deref(), Some("group/app:dev"));

    // As the job, through the relay, the tunnel and the agent.
    let config = kube_client::Config::from_custom_kubeconfig(job.clone(), &Default::default())
        .await
        .unwrap();
    let client = kube_client::Client::try_from(config).unwrap();
    let request = Request::get("/api/v1/namespaces/a%2Fb/pods?limit=1")
        .body(Vec::new())
        .unwrap();
    let who: serde_json::Value = timeout(SOON, client.request(request))
        .await
        .expect("an answer")
        .unwrap();
    assert_eq!(who["path"], "/api/v1/namespaces/a%2Fb/pods?limit=1");
    assert_eq!(who["user"], serde_json::json!(["gitlab:ci_job:1"]));
    assert_eq!(
        who["groups"],
        serde_json::json!(["gitlab:ci_job", "gitlab:group:1", "gitlab:project:1"])
    );

    // What a real job would do first.
    let credential = job.auth_infos[0]
        .auth_info
        .as_ref()
        .unwrap()
        .token
        .clone()
        .unwrap();
    let token = credential
        .expose_secret()
        .strip_prefix("ci:1:")
        .unwrap()
        .to_owned();
    let relay = job.clusters[0]
        .cluster
        .as_ref()
        .unwrap()
        .server
        .clone()
        .unwrap();
    let ca = path.with_file_name("ca.pem");
    let asked = adit(&[
        "kubeconfig",
        "--relay",
        &relay,
        "--ca",
        ca.to_str().unwrap(),
        "--output",
        "-",
    ])
    .env("ADIT_ID_TOKEN", token)
    .output();
    let asked = timeout(SOON, asked).await.expect("an answer").unwrap();
    let written = String::from_utf8(asked.stdout).unwrap();
    assert_eq!(
        asked.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    assert_eq!(written, fs::read_to_string(&path).unwrap());

    signal(&dev, "INT").await;
    let mut said = String::new();
    let mut stderr = dev.stderr.take().unwrap();
    let ended = async {
        tokio::join!(stderr.read_to_string(&mut said), dev.wait())
            .1
            .unwrap()
    };
    assert_eq!(
        timeout(SOON, ended).await.expect("it ends").code(),
        Some(0),
        "{said}"
    );
    assert!(
        !path.parent().unwrap().exists(),
        "its folder is left behind"
    );
}
