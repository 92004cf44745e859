//! An API server, as far as these tests need one.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// An API server that answers every request with who was impersonated.
pub(crate) async fn kube(tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server
                    .serve_connection(TokioIo::new(socket), service_fn(who))
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

pub(crate) fn kubeconfig_for(url: &str, path: &Path) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         clusters: [{{ name: it, cluster: {{ server: '{url}' }} }}]\n\
         users: [{{ name: me, user: {{}} }}]\n\
         contexts: [{{ name: it, context: {{ cluster: it, user: me }} }}]\n",
    );
    fs::write(path, text).unwrap();
}
