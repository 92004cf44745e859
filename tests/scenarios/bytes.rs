//! All of the Kubernetes API passes, byte for byte.

use adit_tests::{
    GZIPPED, World, body,
    caller::{Answer, get, request},
    kube,
    pattern::Check,
    raw, relay, scenario, until, within, world,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use http_body_util::BodyExt;

#[test]
fn target_arrives_byte_for_byte() {
    scenario(async {
        let world = world().await;
        let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
        let long = format!("/api/v1/pods?labelSelector={}", "app%20in%20(a,b),".repeat(500));
        let targets = [
            "/api/v1/namespaces/default/pods",
            "/api/v1//pods",
            "//api///v1/",
            "/api/v1/pods/a%2Fb",
            "/api/v1/pods/a%2fb",
            "/api/v1/pods;v=1;w/status",
            "/api/v1/pods?watch=1&x=%2F%00&y",
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
