//! An API server, as far as these tests need one.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// An API server that answers every request with who was impersonated.
pub(crate) async fn kube(tasks: &mut JoinSet<()>) -> String {
    serve(tasks, who).await
}

/// One that allows whoever asks nothing.
pub(crate) async fn kube_that_allows_nothing(tasks: &mut JoinSet<()>) -> String {
    serve(tasks, allowed_nothing).await
}

async fn serve<Answer>(tasks: &mut JoinSet<()>, answer: fn(Request<Incoming>) -> Answer) -> String
where
    Answer: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server
                    .serve_connection(TokioIo::new(socket), service_fn(answer))
                    .await;
            });
        }
    });
    url
}

async fn who(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name| {
        request
            .headers()
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let who = serde_json::json!({
        "path": request.uri().to_string(),
        "user": header("impersonate-user").collect::<Vec<_>>(),
        "groups": header("impersonate-group").collect::<Vec<_>>(),
    });
    Ok(Response::new(Full::from(who.to_string())))
}

async fn allowed_nothing(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let review = r#"{"status":{"allowed":false},"gitVersion":"v1.36.0"}"#;
    let mut answer = Response::new(Full::from(review));
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}

pub(crate) fn kubeconfig_for(url: &str, path: &Path) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         clusters: [{{ name: it, cluster: {{ server: '{url}' }} }}]\n\
         users: [{{ name: me, user: {{}} }}]\n\
         contexts: [{{ name: it, context: {{ cluster: it, user: me }} }}]\n",
    );
    fs::write(path, text).unwrap();
}
