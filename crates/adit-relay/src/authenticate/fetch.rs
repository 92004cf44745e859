//! Decides how an issuer's keys are fetched: the network that `adit-authority` asks for.
//!
//! Called by its key refresh, never by a request. Invariant: a redirect is not followed and a proxy's word is not taken,
//! keys come from the address in the configuration or not at all.

use adit_authority::{
    FetchError, FetchKeys,
    oidc::{FetchedKeys, MAX_DOCUMENT_BYTES},
};
use adit_process::{chain, tls::ClientTls};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header::ACCEPT};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Fetches over HTTPS; over plain HTTP only what the configuration allowed, which is this machine.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Fetch {
    pub(crate) fn new(tls: &ClientTls) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*tls.config()).clone())
            .https_or_http()
            .enable_http1()
            .build();
        // A document every few minutes: an idle connection in between would only be one to break.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Self { client }
    }

    async fn document(&self, url: &str) -> Result<Bytes, FetchError> {
        let url: Uri = url.parse().map_err(failed)?;
        let request = Request::get(url)
            .header(ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(failed)?;
        let response = self.client.request(request).await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MAX_DOCUMENT_BYTES)
            .collect()
            .await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(failed)
    }
}

impl FetchKeys for Fetch {
    fn fetch<'a>(&'a self, url: &'a str) -> FetchedKeys<'a> {
        Box::pin(self.document(url))
    }
}

/// With all its causes in one line: whoever logs it shows one level.
fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FetchError {
    FetchError::Request(chain(&*error.into()).into())
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use adit_process::tls::TrustRoots;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn why_nobody_answers_is_told_to_the_last_cause() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let fetch = Fetch::new(&ClientTls::new(&TrustRoots::System, &[]).unwrap());
        for (url, cause) in [
            (format!("http://{address}/keys"), "Connection refused"),
            ("https://issuer.invalid/keys".to_owned(), "dns error"),
        ] {
            let error = fetch.fetch(&url).await.unwrap_err();
            let told = error.source().unwrap().to_string();
            assert!(told.contains(cause), "{told}");
        }
    }
}
