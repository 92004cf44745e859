use std::time::Duration;

use super::*;
use crate::config::PoolLimits;
use crate::metrics::Metrics;

fn config(dir: &tempfile::TempDir, server: &str, cluster: &str, user: &str) -> KubernetesConfig {
    let path = dir.path().join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
         contexts:\n- {{ name: one, context: {{ cluster: a, user: u }} }}\n\
         - {{ name: two, context: {{ cluster: b, user: u }} }}\n\
         clusters:\n- {{ name: a, cluster: {{ server: '{server}' {cluster} }} }}\n\
         - {{ name: b, cluster: {{ server: 'https://other.example.com:6443' }} }}\n\
         users:\n- {{ name: u, user: {{ {user} }} }}\n"
    );
    std::fs::write(&path, text).unwrap();
    KubernetesConfig {
        kubeconfig: Some(path),
        context: None,
        connect_timeout: Duration::from_secs(1),
        pool: PoolLimits::DEFAULT,
    }
}

async fn load(config: &KubernetesConfig) -> Result<Endpoint, EndpointError> {
    let kube = find(config).await?;
    let files = Files::load(&kube, &Metrics::default())?;
    Endpoint::new(&kube, &files, config)
}

async fn endpoint(server: &str, cluster: &str, user: &str) -> Result<Endpoint, EndpointError> {
    let dir = tempfile::tempdir().unwrap();
    load(&config(&dir, server, cluster, user)).await
}

fn target(text: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(text)
}

#[tokio::test]
async fn targets_keep_every_byte() {
    let endpoint = endpoint("https://10.0.0.1:6443", "", "").await.unwrap();
    for text in ["/api/v1/pods?watch=1&x=%2F", "//a//b;c=d/%2f?q=a/b?c", "/"] {
        assert_eq!(
            endpoint.absolute(target(text)).unwrap(),
            format!("https://10.0.0.1:6443{text}").as_str()
        );
        assert_eq!(
            endpoint
                .origin(target(text))
                .unwrap()
                .path_and_query()
                .unwrap(),
            text
        );
    }
    assert_eq!(endpoint.host(), "10.0.0.1:6443");
    assert_eq!(endpoint.any.target(), "10.0.0.1:6443");
}

#[tokio::test]
async fn api_server_beneath_a_path_gets_it_before_every_target() {
    let endpoint = endpoint("https://rancher.example.com/k8s/clusters/c-1/", "", "")
        .await
        .unwrap();
    let uri = endpoint.absolute(target("/api/v1?x=1")).unwrap();
    assert_eq!(
        uri,
        "https://rancher.example.com/k8s/clusters/c-1/api/v1?x=1"
    );
    assert_eq!(endpoint.any.port, 443);
}

#[tokio::test]
async fn context_chooses_the_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir, "https://10.0.0.1:6443", "", "");
    config.context = Some("two".into());
    assert_eq!(
        load(&config).await.unwrap().any.target(),
        "other.example.com:6443"
    );
    config.context = Some("three".into());
    assert!(matches!(
        load(&config).await,
        Err(EndpointError::Kubeconfig(_))
    ));
}

#[tokio::test]
async fn kubeconfig_that_weakens_the_agent_is_refused() {
    let unchecked = endpoint("https://10.0.0.1", ", insecure-skip-tls-verify: true", "").await;
    assert!(
        matches!(unchecked, Err(EndpointError::Unchecked)),
        "{unchecked:?}"
    );
    for user in ["as: root", "as-uid: '1'", "as-groups: [dev]"] {
        let impersonates = endpoint("https://10.0.0.1", "", user).await;
        assert!(
            matches!(impersonates, Err(EndpointError::Impersonates)),
            "{user}"
        );
    }
    for server in ["http://10.0.0.1:8080", "ftp://10.0.0.1", "10.0.0.1:6443"] {
        assert!(
            matches!(endpoint(server, "", "").await, Err(EndpointError::Url)),
            "{server}"
        );
    }
    assert!(
        endpoint("http://127.0.0.1:8001", "", "")
            .await
            .unwrap()
            .any
            .tls
            .is_none()
    );
}

#[tokio::test]
async fn server_name_and_proxy_of_a_kubeconfig_are_used() {
    let cluster = ", tls-server-name: kube.example.com, proxy-url: 'http://me:secret@proxy:3128'";
    let endpoint = endpoint("https://10.0.0.1", cluster, "").await.unwrap();
    let name = ServerName::try_from("kube.example.com").unwrap();
    assert_eq!(endpoint.any.tls.as_ref().unwrap().name, name);
    assert_eq!(
        endpoint.any.proxy.as_ref().unwrap().to_string(),
        "proxy:3128"
    );
    assert!(!format!("{endpoint:?}").contains("secret"));
}

#[tokio::test]
async fn ca_that_lies_in_a_file_is_kept_and_one_in_the_kubeconfig_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let made = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
    std::fs::write(&file, made.cert.pem()).unwrap();
    let (server, named) = ("https://10.0.0.1", ", certificate-authority: ca.pem");
    let kept = async |cluster: &str| {
        let kube = find(&config(&dir, server, cluster, "")).await.unwrap();
        let files = Files::load(&kube, &Metrics::default());
        files.map(|files| {
            files
                .roots()
                .and_then(|roots| Some(roots.file()?.to_owned()))
        })
    };
    assert_eq!(kept(named).await.unwrap(), Some(file.clone()));
    // It comes first.
    let both = format!("{named}, certificate-authority-data: aGVsbG8=");
    assert_eq!(kept(&both).await.unwrap(), None);
    assert_eq!(kept("").await.unwrap(), None);
    std::fs::write(&file, "spoilt").unwrap();
    assert!(matches!(kept(named).await, Err(EndpointError::Ca(_))));
}

#[tokio::test]
async fn broken_kubeconfig_is_told_without_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir, "https://10.0.0.1", "", "");
    std::fs::write(
        config.kubeconfig.as_ref().unwrap(),
        "users: [{ name: u, user: { token: [hunter2 } ]",
    )
    .unwrap();
    let error = load(&config).await.unwrap_err();
    assert!(matches!(error, EndpointError::Yaml { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    std::fs::remove_file(config.kubeconfig.as_ref().unwrap()).unwrap();
    assert!(matches!(
        load(&config).await,
        Err(EndpointError::Read { .. })
    ));
}

#[test]
fn kubeconfig_that_kubectl_would_take_and_is_not_there_is_told_in_our_words() {
    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
    let error = KubeconfigError::ReadConfig(source, "/home/one/.kube/config".into());
    let told = adit_process::chain(&EndpointError::kubeconfig(error));
    let expected = "the kubeconfig /home/one/.kube/config cannot be read: ";
    assert!(told.starts_with(expected), "{told}");
    assert!(!told.contains(['"', '\'']), "{told}");
}
