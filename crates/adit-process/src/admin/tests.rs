//! The admin listener over a real socket.

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::Stop;

const SOON: Duration = Duration::from_secs(5);

struct Fixture {
    addr: SocketAddr,
    readiness: Readiness,
    stop: Stop,
    tasks: JoinSet<()>,
}

fn fixture(extra: Option<Router>) -> Fixture {
    let mut registry = Registry::default();
    let served: Counter = Counter::default();
    registry.register("adit_served", "Things served", served.clone());
    served.inc();
    let (readiness, stop) = (Readiness::new(), Stop::new());
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let admin = Admin::bind(any_port, None, Arc::new(registry), readiness.clone(), extra).unwrap();
    let (addr, stopping) = (admin.local_addr(), stop.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(admin.serve(async move { stopping.draining().await }));
    Fixture {
        addr,
        readiness,
        stop,
        tasks,
    }
}

async fn get_text(addr: SocketAddr, path: &str) -> String {
    text(addr, "GET", path).await
}

async fn text(addr: SocketAddr, method: &str, path: &str) -> String {
    let exchange = async {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    };
    timeout(SOON, exchange).await.expect("an answer in time")
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let fixture = fixture(None);
    let keys = fixture.readiness.condition("issuer-keys");
    let answer = get_text(fixture.addr, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("missing: issuer-keys\n"), "{answer}");
    keys.met();
    assert!(
        get_text(fixture.addr, "/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get_text(fixture.addr, "/livez")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let answer = get_text(fixture(None).addr, "/metrics").await;
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{answer}"
    );
    assert!(answer.contains("adit_served_total 1\n"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
}

#[tokio::test]
async fn callers_own_routes_are_served() {
    let extra = Router::new().route("/agents", get(|| std::future::ready("none")));
    let fixture = fixture(Some(extra));
    assert!(get_text(fixture.addr, "/agents").await.ends_with("none"));
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_client_that_says_nothing() {
    let mut fixture = fixture(None);
    let mut silent = TcpStream::connect(fixture.addr).await.unwrap();
    silent.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    fixture.stop.drain();
    timeout(SOON, fixture.tasks.join_next())
        .await
        .expect("it ends")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_is_told_what_is() {
    let fixture = fixture(None);
    let answer = get_text(fixture.addr, "/metricz").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(
        answer.ends_with("GET: /livez, /readyz and /metrics\n"),
        "{answer}"
    );
    let answer = text(fixture.addr, "PUT", "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("allow: GET,HEAD\r\n"), "{answer}");
    assert!(answer.ends_with("it is read, by GET\n"), "{answer}");
}
