//! Against an API server that holds a Lease, and lists and tells of repositories as a test wants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::api::Api;
use super::election::{Election, Times};
use super::repositories::{Found, Repositories};
use crate::fake::{ApiServer, Terms, full, soon};

type Reply = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>>;

fn answer(status: StatusCode, body: &Value) -> Reply {
    let mut reply = full(body.to_string());
    *reply.status_mut() = status;
    reply
}

fn refused(status: StatusCode) -> Reply {
    answer(
        status,
        &json!({ "kind": "Status", "message": "no", "code": status.as_u16() }),
    )
}

/// An API server with room for one Lease, which is replaced by who has its version and by nobody else.
async fn with_lease() -> (ApiServer, Arc<Mutex<Option<Value>>>) {
    let lease = Arc::<Mutex<Option<Value>>>::default();
    let (kept, version) = (Arc::clone(&lease), Arc::new(AtomicUsize::new(1)));
    let server = ApiServer::start(Terms::default(), move |request: Request<Incoming>| {
        let (kept, version) = (Arc::clone(&kept), Arc::clone(&version));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut kept = kept.lock();
            if head.method == Method::GET {
                return match &*kept {
                    Some(lease) => answer(StatusCode::OK, lease),
                    None => refused(StatusCode::NOT_FOUND),
                };
            }
            let mut lease: Value = serde_json::from_slice(&body).unwrap();
            let known = kept
                .as_ref()
                .map(|lease| &lease["metadata"]["resourceVersion"]);
            let shown = lease["metadata"].get("resourceVersion");
            if known != shown {
                return refused(StatusCode::CONFLICT);
            }
            let next = version.fetch_add(1, Ordering::SeqCst).to_string();
            lease["metadata"]["resourceVersion"] = json!(next);
            *kept = Some(lease.clone());
            answer(StatusCode::OK, &lease)
        }
    });
    (server.await, lease)
}

/// A replica that takes over from one that has been silent so long.
async fn election(server: &ApiServer, replica: &str, lasts: Duration) -> Election {
    let times = Times {
        lasts,
        renew_within: lasts / 2,
        every: Duration::from_millis(10),
    };
    let api = Api::new(Arc::new(server.kube().await));
    Election::new(api, ("agents", "flux"), replica, times)
}

fn holder(lease: &Mutex<Option<Value>>) -> String {
    let lease = lease.lock();
    let holder = lease
        .as_ref()
        .and_then(|lease| lease["spec"]["holderIdentity"].as_str());
    holder.unwrap_or_default().to_owned()
}

/// Waits until it has been written so often.
async fn renewed(lease: &Mutex<Option<Value>>, times: u64) {
    let version = || {
        let lease = lease.lock();
        let version = lease.as_ref()?["metadata"]["resourceVersion"].as_str()?;
        version.parse::<u64>().ok()
    };
    while version().unwrap_or_default() < times {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// No test takes it.
const LONG: Duration = Duration::from_mins(2);

#[tokio::test]
async fn one_replica_leads_until_it_lets_go() {
    let (server, lease) = with_lease().await;
    let mut one = election(&server, "one", LONG).await;
    let mut other = election(&server, "other", LONG).await;
    soon(one.win()).await;
    assert!(holder(&lease).starts_with("one_"), "{}", holder(&lease));
    let first = lease.lock().clone().unwrap();
    // While it is renewed, nobody else gets it.
    tokio::select! {
        () = other.win() => panic!("two lead"),
        () = one.keep() => panic!("it was renewed"),
        () = soon(renewed(&lease, 20)) => {}
    }
    let kept = lease.lock().clone().unwrap();
    assert_ne!(kept["spec"]["renewTime"], first["spec"]["renewTime"]);
    assert_eq!(kept["spec"]["acquireTime"], first["spec"]["acquireTime"]);
    one.release().await;
    assert_eq!(holder(&lease), "");
    soon(other.win()).await;
    assert!(holder(&lease).starts_with("other_"));
    assert_eq!(
        lease.lock().as_ref().unwrap()["spec"]["leaseTransitions"],
        1
    );
}

#[tokio::test]
async fn a_leader_that_is_gone_is_followed_by_another() {
    let (server, lease) = with_lease().await;
    let mut one = election(&server, "one", LONG).await;
    soon(one.win()).await;
    drop(one);
    let mut other = election(&server, "other", Duration::from_millis(200)).await;
    soon(other.win()).await;
    assert!(holder(&lease).starts_with("other_"));
}

#[tokio::test]
async fn who_finds_another_in_its_place_leads_no_longer() {
    let (server, lease) = with_lease().await;
    let mut one = election(&server, "one", LONG).await;
    soon(one.win()).await;
    {
        let mut lease = lease.lock();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("other");
        lease["metadata"]["resourceVersion"] = json!("taken");
    }
    soon(one.keep()).await;
}

/// The lines of one watch; it lasts until this is dropped.
type Watch = mpsc::Sender<Result<Frame<Bytes>, std::convert::Infallible>>;

fn repository(name: &str, url: &str, version: &str) -> Value {
    let metadata =
        json!({ "name": name, "uid": format!("uid-{name}"), "resourceVersion": version });
    json!({ "metadata": metadata, "spec": { "url": url } })
}

async fn tell(watch: &Watch, kind: &str, object: &Value) {
    let line = json!({ "type": kind, "object": object }).to_string() + "\n";
    // In two pieces, as it may come.
    let (one, other) = line.split_at(line.len() / 2);
    for piece in [one, other] {
        let piece = Frame::data(Bytes::from(piece.to_owned()));
        watch.send(Ok(piece)).await.unwrap();
    }
}

#[tokio::test]
async fn repositories_are_listed_watched_and_listed_again() {
    let listed = Arc::new(Mutex::new(BTreeMap::from([
        ("app", "https://gitlab.example.com/group/app.git"),
        ("other", "https://github.example.com/group/app.git"),
    ])));
    let (open, mut opened) = mpsc::channel(4);
    let lists = Arc::clone(&listed);
    let server = ApiServer::start(Terms::default(), move |request: Request<Incoming>| {
        let (lists, open) = (Arc::clone(&lists), open.clone());
        async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            if query.contains("watch=1") {
                let (watch, lines) = mpsc::channel(16);
                open.send((query, watch)).await.unwrap();
                let lines = stream(lines);
                return Response::new(StreamBody::new(lines).boxed_unsync());
            }
            // Two pages.
            let is_second = query.contains("continue=more");
            let all = lists.lock();
            let items = all
                .iter()
                .filter(|(name, _)| (**name != "app") == is_second);
            let items: Vec<_> = items
                .map(|(name, url)| repository(name, url, "1"))
                .collect();
            let more = if is_second { "" } else { "more" };
            let metadata = json!({ "resourceVersion": "7", "continue": more });
            answer(
                StatusCode::OK,
                &json!({ "metadata": metadata, "items": items }),
            )
        }
    })
    .await;
    let (found, mut finds) = watch::channel(Found::new());
    let repositories = Repositories {
        api: Api::new(Arc::new(server.kube().await)),
        namespace: "flux-system".into(),
        gitlab: "https://gitlab.example.com".parse().unwrap(),
        found,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(repositories.follow());
    let names = |found: &Found| -> Vec<_> {
        let projects = found
            .iter()
            .map(|(place, of)| format!("{}={}", place.name, of.project));
        projects.collect()
    };
    let mut until = async |expected: &[&str]| {
        soon(finds.wait_for(|found| names(found) == expected))
            .await
            .unwrap();
    };
    until(&["app=group/app"]).await;

    let (query, watch): (String, Watch) = soon(opened.recv()).await.unwrap();
    assert!(query.contains("resourceVersion=7&"), "{query}");
    let new = repository("new", "ssh://git@gitlab.example.com/group/new", "8");
    tell(&watch, "ADDED", &new).await;
    until(&["app=group/app", "new=group/new"]).await;
    let moved = repository("app", "https://github.example.com/group/app", "9");
    tell(&watch, "MODIFIED", &moved).await;
    until(&["new=group/new"]).await;
    tell(&watch, "DELETED", &new).await;
    until(&[]).await;
    tell(
        &watch,
        "BOOKMARK",
        &json!({ "metadata": { "resourceVersion": "21" } }),
    )
    .await;
    drop(watch);

    // It goes on from the last version; when that is too old, everything is listed again.
    let (query, watch) = soon(opened.recv()).await.unwrap();
    assert!(query.contains("resourceVersion=21&"), "{query}");
    listed
        .lock()
        .insert("app", "https://gitlab.example.com/group/moved");
    tell(
        &watch,
        "ERROR",
        &json!({ "code": 410, "message": "too old" }),
    )
    .await;
    until(&["app=group/moved"]).await;
    let (query, _watch) = soon(opened.recv()).await.unwrap();
    assert!(query.contains("resourceVersion=7&"), "{query}");
}

fn stream<T>(mut lines: mpsc::Receiver<T>) -> impl futures_util::Stream<Item = T> {
    futures_util::stream::poll_fn(move |cx| lines.poll_recv(cx))
}
