//! Job events, as a receiver sees them.

use std::sync::Arc;

use adit_tests::{
    JobStatus, body, gitlab,
    gitlab::{Delivery, Hook},
    kube, scenario,
};
use http::Response;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::Value;

#[test]
fn the_end_of_a_job_is_told_with_the_secret() {
    scenario(async {
        let told = Arc::new(Mutex::new(Vec::new()));
        let receiver = {
            let told = Arc::clone(&told);
            kube()
                .answer("/webhooks/gitlab", move |request| {
                    let told = Arc::clone(&told);
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        told.lock().push((head.headers, body));
                        Response::new(body::empty())
                    }
                })
                .start()
                .await
        };
        let gitlab = gitlab().start().await;
        let url = format!("https://{}/webhooks/gitlab", receiver.address());
        let gone = "http://127.0.0.1:1/webhooks/gitlab".to_owned();
        let job = {
            let mut world = gitlab.world();
            world.project("group/app");
            let hooks = [&url, &gone].map(|url| Hook {
                url: url.clone(),
                secret: "webhook secret".to_owned(),
            });
            world.project_mut("group/app").hooks = hooks.to_vec();
            world.job("group/app").environment("production").run()
        };
        let deliveries = gitlab.end_job(job, JobStatus::Canceled).await;
        let delivered = |url, status| Delivery { url, status };
        assert_eq!(
            deliveries,
            [delivered(url, Some(200)), delivered(gone, None)]
        );
        let (headers, body) = told.lock().pop().unwrap();
        assert_eq!(headers["x-gitlab-event"], "Job Hook");
        assert_eq!(headers["x-gitlab-token"], "webhook secret");
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["object_kind"], "build");
        assert_eq!(event["build_id"], job);
        assert_eq!(event["build_status"], "canceled");
        assert_eq!(event["environment"]["name"], "production");
        receiver.stop().await;
    });
}
