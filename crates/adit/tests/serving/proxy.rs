//! The proxy that the environment names: who takes it, and for what.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ours::with_tls;
use crate::process::{SOON, adit};

/// As kubectl does, which would get through where `adit kubeconfig` did not.
#[tokio::test]
async fn job_takes_the_proxy_that_the_environment_names() {
    let certificates = TempDir::new().unwrap();
    let (mut ours, host) = with_tls(certificates.path()).await;
    let (proxy, mut asked) = proxy(&mut ours.tasks).await;
    for (excepted, is_taken) in [("elsewhere.test", true), ("localhost", false)] {
        let mut job = adit(&["kubeconfig", "--output", "-"]);
        job.env("ADIT_RELAY_URL", format!("https://{host}"))
            .env("ADIT_RELAY_CA", certificates.path().join("cert.pem"))
            .env("ADIT_ID_TOKEN", "e30.e30.c2ln")
            .env("HTTPS_PROXY", format!("http://{proxy}"))
            .env("NO_PROXY", excepted);
        let ended = timeout(SOON, job.output()).await.expect("it ends").unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(77), "the relay answers: {stderr}");
        let head = asked.try_recv().ok();
        assert_eq!(head.is_some(), is_taken, "{excepted}");
        if let Some(head) = head {
            assert!(
                head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")),
                "{head}"
            );
        }
    }
}

#[tokio::test]
async fn agent_takes_the_proxy_that_the_environment_names() {
    let certificates = TempDir::new().unwrap();
    let (mut ours, host) = with_tls(certificates.path()).await;
    let (proxy, mut asked) = proxy(&mut ours.tasks).await;
    let named = format!("http://user:canary-password@{proxy}");
    let nowhere = "http://127.0.0.1:1".to_owned();
    let none = || ("NO_PROXY", String::new());
    for (variables, is_taken) in [
        ([("HTTPS_PROXY", named.clone()), none()], true),
        ([("https_proxy", named.clone()), none()], true),
        ([("ALL_PROXY", named.clone()), none()], true),
        (
            [
                ("HTTPS_PROXY", named.clone()),
                ("ALL_PROXY", nowhere.clone()),
            ],
            true,
        ),
        (
            [
                ("HTTPS_PROXY", named.clone()),
                ("NO_PROXY", "elsewhere.test".to_owned()),
            ],
            true,
        ),
        (
            [
                ("HTTPS_PROXY", named.clone()),
                ("NO_PROXY", "elsewhere.test, localhost".to_owned()),
            ],
            false,
        ),
        (
            [("HTTPS_PROXY", named.clone()), ("no_proxy", host.clone())],
            false,
        ),
        (
            [("HTTPS_PROXY", named.clone()), ("NO_PROXY", "*".to_owned())],
            false,
        ),
        // Not meant for connections with TLS.
        ([("HTTP_PROXY", nowhere), none()], false),
    ] {
        let mut agent = ours.agent(&format!("https://{host}"));
        agent.env("ADIT_RELAY_CA", certificates.path().join("cert.pem"));
        agent.envs(variables.clone());
        ours.tunnel_of(agent.spawn().unwrap()).await;
        let head = asked.try_recv().ok();
        assert_eq!(head.is_some(), is_taken, "{variables:?}");
        if let Some(head) = head {
            assert!(
                head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")),
                "{head}"
            );
            assert!(
                head.contains("Basic dXNlcjpjYW5hcnktcGFzc3dvcmQ="),
                "{head}"
            );
        }
        assert!(
            asked.try_recv().is_err(),
            "the API server is dialled directly"
        );
    }
}

/// A company's proxy: opens the way for everybody who asks, and gives the heads of their requests.
async fn proxy(tasks: &mut JoinSet<()>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, asked) = mpsc::channel(16);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let tell = tell.clone();
            connections.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(near.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let to = head.split(' ').nth(1).unwrap().to_owned();
                tell.send(head).await.unwrap();
                let mut far = TcpStream::connect(to).await.unwrap();
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                // However it ends, the agent finds out.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (address, asked)
}
