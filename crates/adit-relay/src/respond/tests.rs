use adit_authority::CredentialError;
use http::HeaderValue;
use http_body_util::BodyExt as _;

use super::*;

async fn body(refusal: &Refusal, format: Format) -> (http::response::Parts, Bytes) {
    let (head, body) = respond(refusal, &RequestId::new(), format).into_parts();
    (head, body.collect().await.unwrap().to_bytes())
}

fn accept(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))])
}

#[test]
fn format_is_the_first_that_the_client_names() {
    for (value, format) in [
        ("*/*", Format::Json),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            Format::Json,
        ),
        (
            "application/vnd.kubernetes.protobuf,application/json",
            Format::Protobuf,
        ),
        (
            "application/vnd.kubernetes.protobuf;stream=watch, application/json",
            Format::Protobuf,
        ),
        (
            "application/json,application/vnd.kubernetes.protobuf",
            Format::Json,
        ),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
            Format::Discovery,
        ),
        ("text/plain", Format::Json),
    ] {
        assert_eq!(Format::wanted(&accept(value)), format, "{value}");
    }
    assert_eq!(Format::wanted(&HeaderMap::new()), Format::Json);
}

#[tokio::test]
async fn discovery_is_warned_since_it_drops_the_body() {
    let refusal = Refusal::BadPath(r#"a \ and a ""#);
    let (head, bytes) = body(&refusal, Format::Discovery).await;
    assert_eq!(
        head.headers[WARNING],
        r#"299 - "adit: the path is refused: a \\ and a \" (client)""#
    );
    let status: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(status["kind"], "Status");

    let (head, _) = body(&refusal, Format::Json).await;
    assert!(!head.headers.contains_key(WARNING));
}

#[tokio::test]
async fn json_is_a_status_with_reason_hop_and_request() {
    let refusal = Refusal::JobRate { limit: 3 };
    let (head, bytes) = body(&refusal, Format::Json).await;
    assert_eq!(head.status, 429);
    assert_eq!(head.headers[RETRY_AFTER], "1");
    let status: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let id = head.headers[REQUEST_ID].to_str().unwrap();
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["apiVersion"], "v1");
    assert_eq!(status["status"], "Failure");
    assert_eq!(status["reason"], "TooManyRequests");
    assert_eq!(status["code"], 429);
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with("adit: this job or user sends more than 3 requests a second"),
        "{message}"
    );
    assert!(
        message.ends_with(&format!("(client, request {id})")),
        "{message}"
    );
    let causes = status["details"]["causes"].as_array().unwrap();
    let cause = |reason: &str| {
        causes
            .iter()
            .find(|cause| cause["reason"] == reason)
            .unwrap()["message"]
            .clone()
    };
    assert_eq!(
        (cause("AditReason"), cause("AditHop")),
        ("job_rate".into(), "client".into())
    );
    assert_eq!(cause("AditRequestId"), id);
}

#[tokio::test]
async fn protobuf_holds_the_same_as_json() {
    let refusal = Refusal::BadCredential(CredentialError::Missing);
    let (head, bytes) = body(&refusal, Format::Protobuf).await;
    assert_eq!(head.headers[CONTENT_TYPE], PROTOBUF);
    assert_eq!(head.headers[WWW_AUTHENTICATE], "Bearer");
    let envelope = wire::Unknown::decode(bytes.strip_prefix(PROTOBUF_MAGIC).unwrap()).unwrap();
    let kind = envelope.type_meta.unwrap();
    assert_eq!(
        (kind.api_version.as_str(), kind.kind.as_str()),
        ("v1", "Status")
    );
    let status = wire::Status::decode(envelope.raw).unwrap();
    assert_eq!((status.code, status.reason.as_str()), (401, "Unauthorized"));
    assert!(
        status.message.contains("no Authorization header"),
        "{}",
        status.message
    );
    assert_eq!(
        status.details.unwrap().causes[0].message,
        "credential_missing"
    );
}

#[tokio::test]
async fn every_refusal_says_what_and_where() {
    for refusal in crate::refusal::tests::every() {
        let facts = refusal.facts();
        let (head, bytes) = body(&refusal, Format::Json).await;
        assert!(head.status.is_client_error() || head.status.is_server_error());
        let message = serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(message.contains(facts.hop.as_str()), "{message}");
        assert!(message.is_ascii(), "{message}");
    }
}
