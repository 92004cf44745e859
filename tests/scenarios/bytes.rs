//! All of the Kubernetes API passes, byte for byte: whatever the HTTP version in front, and HTTP/2 or HTTP/1.1 behind.

use adit_tests::{
    World, body,
    caller::{Answer, request},
    kube, relay, scenario, world,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

mod early;
mod framing;
mod headers;
mod large;

#[test]
fn target_arrives_byte_for_byte() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        let long = format!(
            "/api/v1/pods?labelSelector={}",
            "app%20in%20(a,b),".repeat(500)
        );
        let targets = [
            "/api/v1/namespaces/default/pods",
            "/api/v1//pods",
            "//api///v1/",
            "/api/v1/pods/a%2Fb",
            "/api/v1/pods/a%2fb",
            "/api/v1/pods;v=1;w/status",
            "/api/v1/pods?limit=1&x=%2F%00&y",
            "/api/v1/pods?",
            "/api/v1/pods??a=b?c=d&&&",
            "/api/v1/pods?x=a+b%20c/../d",
            "/api/v1/%E2%98%83/:@!$&'()*+,=~",
            "/",
            &long,
        ];
        for target in targets {
            assert_eq!(http1.get(target).await.echo().target(), target);
            assert_eq!(http2.get(target).await.echo().target(), target);
        }
        drop((http1, http2));
        world.stop().await;
    });
}

#[test]
fn every_method_and_its_body_pass() {
    scenario(async {
        for kube in [kube(), kube().http1_only()] {
            let world = World::of(kube, relay()).await;
            let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
            for method in [
                "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
            ] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                for text in ["", r#"{"kind":"Pod"}"#] {
                    let request = || request(method.clone(), "/api/v1/pods", body::full(text));
                    for answer in [http1.answer(request()).await, http2.answer(request()).await] {
                        let echo = answer.echo();
                        assert_eq!(
                            (echo.0["method"].as_str().unwrap(), echo.body()),
                            (method.as_str(), text)
                        );
                    }
                }
            }
            drop((http1, http2));
            world.stop().await;
        }
    });
}

#[test]
fn every_status_passes() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        for status in [
            200, 201, 202, 206, 300, 301, 307, 400, 401, 403, 404, 409, 410, 415, 418, 422, 429,
            500, 501, 503, 504, 599,
        ] {
            let path = format!("/status/{status}");
            for answer in [http1.get(&path).await, http2.get(&path).await] {
                assert_eq!(answer.status.as_u16(), status);
                assert!(answer.text().starts_with(&status.to_string()));
                assert!(
                    !answer.headers.contains_key("x-request-id"),
                    "the relay answered itself"
                );
            }
        }
        drop((http1, http2));
        world.stop().await;
    });
}

#[test]
fn two_versions_of_http_answer_alike() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        for path in [
            "/api/v1/x",
            "/status/404",
            "/gzip",
            "/sized/70000",
            "/big/70000",
        ] {
            let (old, new) = (http1.get(path).await, http2.get(path).await);
            assert_eq!(
                (old.version, new.version),
                (Version::HTTP_11, Version::HTTP_2)
            );
            let fields = |answer: &Answer| -> HeaderMap {
                let mut headers = answer.headers.clone();
                for name in ["date", "transfer-encoding"] {
                    headers.remove(name);
                }
                headers
            };
            assert_eq!(
                (old.status, fields(&old)),
                (new.status, fields(&new)),
                "{path}"
            );
            if !path.starts_with("/api") {
                assert_eq!(old.body, new.body);
            }
        }
        drop((http1, http2));
        world.stop().await;
    });
}

#[test]
fn redirect_is_passed_on_and_never_followed() {
    scenario(async {
        let world = world().await;
        let answer = world.job.get("/redirect").await;
        assert_eq!(
            (answer.status, &answer.headers[header::LOCATION]),
            (
                StatusCode::FOUND,
                &HeaderValue::from_static("https://127.0.0.1:1/elsewhere")
            )
        );
        let asked: Vec<_> = world
            .kube
            .requests()
            .into_iter()
            .map(|request| request.target)
            .collect();
        assert_eq!(asked, ["/version", "/redirect"]);
        world.stop().await;
    });
}
