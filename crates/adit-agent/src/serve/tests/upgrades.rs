//! Upgrades: half by half after a 101, and an ordinary answer otherwise.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn upgraded_connection_ends_half_by_half() {
    let kept = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let server = ApiServer::start(Speaks::default(), move |mut request| {
        let keep = Arc::clone(&keep);
        async move {
            assert_eq!(request.headers()["impersonate-user"], "gitlab:ci_job:1");
            let upgrading = hyper::upgrade::on(&mut request);
            // It writes only once it has read to the end: the other half must still be open then.
            let echoing = async move {
                let mut io = hyper_util::rt::TokioIo::new(upgrading.await.unwrap());
                let mut bytes = Vec::new();
                io.read_to_end(&mut bytes).await.unwrap();
                io.write_all(&bytes).await.unwrap();
                io.shutdown().await.unwrap();
            };
            let mut response = empty();
            let mut tasks = JoinSet::new();
            tasks.spawn(echoing);
            // Lives as long as the test: whoever drops a set ends its tasks.
            keep.lock().push(tasks);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            for (name, value) in [
                (header::CONNECTION, "upgrade"),
                (header::UPGRADE, "websocket"),
            ] {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            response
        }
    })
    .await;
    let near = serving(&server).await;
    let protocol = HeaderValue::from_static("websocket");
    let answer = near
        .put(get(), &as_user("gitlab:ci_job:1", &[]), Some(&protocol))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut io = answer.into_body().into_upgraded().unwrap();
    soon(async {
        let sent = vec![7; 300_000];
        io.write_all(&sent).await.unwrap();
        io.shutdown().await.unwrap();
        let mut echoed = Vec::new();
        io.read_to_end(&mut echoed).await.unwrap();
        assert_eq!(echoed.len(), sent.len());
    })
    .await;
}

#[tokio::test]
async fn refused_upgrade_is_an_ordinary_answer() {
    let server = ApiServer::start(Speaks::default(), |_| async {
        let mut response = full("no");
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    })
    .await;
    let near = serving(&server).await;
    let protocol = HeaderValue::from_static("SPDY/3.1");
    let answer = near
        .put(get(), &ActAs::Agent, Some(&protocol))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(text(answer).await, "no");
}
