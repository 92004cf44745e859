use adit_process::net::UNSENT_LIMIT;
use adit_process::tls::{ClientTls, H2, TrustRoots};
use socket2::SockRef;
use tokio::net::TcpListener;

use super::*;
use crate::explain::ConnectFailure;
use crate::fake::{ApiServer, Terms, full, soon};
use crate::metrics::Attempt;

fn dialler(host: &str, port: u16, tls: Option<Tls>) -> Dialler {
    Dialler {
        host: host.into(),
        port,
        tls,
        proxy: None,
        timeout: Duration::from_secs(5),
    }
}

fn checked(roots: &TrustRoots, name: &str) -> Option<Tls> {
    let connector = ClientTls::new(roots, &[H2]).unwrap().connector();
    Some(Tls {
        connector,
        name: ServerName::try_from(name.to_owned()).unwrap(),
    })
}

fn attempt(error: DialError) -> (Attempt, &'static str) {
    let failure = ConnectFailure::from(error);
    (failure.attempt(), failure.advice())
}

#[tokio::test]
async fn closed_port_is_told_as_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = soon(dialler("localhost", port, None).dial())
        .await
        .unwrap_err();
    let (attempt, advice) = attempt(error);
    assert_eq!(attempt, Attempt::Connect);
    assert!(advice.contains("is the relay running"), "{advice}");
}

#[tokio::test]
async fn name_without_address_is_told_as_such() {
    let error = soon(dialler("relay.invalid", 443, None).dial())
        .await
        .unwrap_err();
    assert_eq!(attempt(error).0, Attempt::Resolve);
}

#[tokio::test]
async fn peer_that_never_speaks_tls_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = checked(&TrustRoots::System, "localhost");
    let mut dialler = dialler("127.0.0.1", listener.local_addr().unwrap().port(), tls);
    dialler.timeout = Duration::from_millis(50);
    let error = soon(dialler.dial()).await.unwrap_err();
    assert_eq!(attempt(error).0, Attempt::TimedOut);
}

#[tokio::test]
async fn certificate_is_checked_by_authority_and_name() {
    let server = ApiServer::start(Terms::default(), |_| async { full("") }).await;
    let ours = TrustRoots::Only(server.dir.path().join("ca.pem"));
    let dial = |roots, name| {
        let dialler = dialler("127.0.0.1", server.addr.port(), checked(roots, name));
        soon(async move { dialler.dial().await })
    };
    let dialled = dial(&ours, "localhost").await.unwrap();
    assert_eq!(dialled.alpn.as_deref(), Some(H2));
    // What is written last does not wait behind megabytes in the kernel.
    let Either::Right(tls) = &dialled.wire else {
        panic!("it is TLS")
    };
    let socket = SockRef::from(tls.get_ref().0);
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_LIMIT);
    // A tunnel's ends ask each other; the kernel asks only where it is told to.
    assert!(!socket.keepalive().unwrap());
    dialled.keep_alive();
    assert!(socket.keepalive().unwrap());
    let (_, advice) = attempt(dial(&ours, "other.example.com").await.unwrap_err());
    assert!(advice.contains("host name"), "{advice}");
    let (_, advice) = attempt(dial(&TrustRoots::System, "localhost").await.unwrap_err());
    assert!(advice.contains("relay.ca_file"), "{advice}");
}

#[tokio::test]
async fn peer_without_http2_is_told_as_such() {
    let server = ApiServer::start(Terms::http1(), |_| async { full("") }).await;
    let tls = checked(
        &TrustRoots::Only(server.dir.path().join("ca.pem")),
        "localhost",
    );
    let error = soon(dialler("127.0.0.1", server.addr.port(), tls).dial())
        .await
        .unwrap_err();
    let (attempt, advice) = attempt(error);
    assert_eq!(attempt, Attempt::NoHttp2);
    assert!(advice.contains("ALPN h2"), "{advice}");
}
