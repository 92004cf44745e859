//! GitLab's job events: the end of a job ends its access at once, without a question; nobody else can say so.

use std::fs;

use adit_tests::{
    JobStatus, body,
    caller::{self, breaks_off, get, next_piece},
    gitlab::Hook,
    logs, scenario, until,
};
use http::Method;
use tempfile::TempDir;

use super::Place;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PATH: &str = "/webhooks/gitlab";
const EVENTS: &str = "adit_relay_gitlab_events_total";

/// A relay that hears of its jobs only by webhook: it asks once in a quarter of an hour.
struct Hooked {
    place: Place,
    secrets: TempDir,
}

impl Hooked {
    async fn new() -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let file = secrets.path().join("secrets");
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        let keys = format!("recheck: 15m, webhook_secret_file: '{}'", file.display());
        let place = Place::with(&keys).await;
        let hooked = Self { place, secrets };
        hooked.show(SECRET);
        hooked
    }

    /// The project's webhook shows this secret from now on.
    fn show(&self, secret: &str) {
        let hook = Hook {
            url: format!("https://{}{PATH}", self.place.relay().address()),
            secret: secret.to_owned(),
        };
        self.place.gitlab.world().project_mut("group/sub/app").hooks = vec![hook];
    }

    async fn end(&self, job: u64, status: JobStatus) -> Option<u16> {
        let deliveries = self.place.gitlab.end_job(job, status).await;
        deliveries[0].status
    }

    async fn stop(self) {
        self.place.stop().await;
        drop(self.secrets);
    }
}

#[test]
fn event_that_a_job_is_over_cuts_what_it_runs_without_asking_gitlab() {
    scenario(async {
        let hooked = Hooked::new().await;
        let place = &hooked.place;
        let (id, job) = place.job();
        let (_, other) = place.job();
        let (lasting, http2) = (other.http2().await, job.http2().await);
        let mut stays = lasting.send(get("/watch")).await.unwrap();
        let watch = http2.send(get("/watch")).await.unwrap();
        let asked = place.gitlab.calls().total();
        assert_eq!(hooked.end(id, JobStatus::Failed).await, Some(204));
        breaks_off(watch).await;
        assert_eq!(place.gitlab.calls().total(), asked, "nobody asked");
        let refused = job.get("/api").await.refused();
        assert_eq!(refused.told(), (401, "gitlab_not_accepted", "client", None));
        place.world.kube.event("still here");
        assert_eq!(next_piece(&mut stays).await, "still here\n");
        // Told twice, and of a job that nobody knows: nothing changes.
        place.gitlab.tell(id).await;
        let stranger = place.gitlab.world().job("group/sub/app").run();
        assert_eq!(hooked.end(stranger, JobStatus::Success).await, Some(204));
        let metrics = place.relay().metrics().await;
        assert_eq!(
            metrics.value(&format!("{EVENTS}{{kind=\"job_over\"}}")),
            3.0
        );
        drop((stays, lasting, http2));
        hooked.stop().await;
    });
}

#[test]
fn event_of_a_job_that_runs_changes_nothing() {
    scenario(async {
        let hooked = Hooked::new().await;
        let place = &hooked.place;
        let (id, job) = place.job();
        job.get("/api").await.echo();
        assert_eq!(place.gitlab.tell(id).await[0].status, Some(204));
        job.get("/api").await.echo();
        let metrics = place.relay().metrics().await;
        assert_eq!(metrics.value(&format!("{EVENTS}{{kind=\"other\"}}")), 1.0);
        hooked.stop().await;
    });
}

#[test]
fn who_does_not_know_the_secret_ends_nothing() {
    scenario(async {
        let hooked = Hooked::new().await;
        let place = &hooked.place;
        let (id, job) = place.job();
        job.get("/api").await.echo();
        for wrong in ["", "0123456789abcdef0123456789abcdeF"] {
            hooked.show(wrong);
            assert_eq!(place.gitlab.tell(id).await[0].status, Some(401), "{wrong}");
        }
        let ended =
            serde_json::json!({"object_kind": "build", "build_id": id, "build_status": "failed"});
        let event = |body: String, secrets: &[&'static str]| {
            let mut request = caller::request(Method::POST, PATH, body::full(body));
            for secret in secrets {
                let secret = http::HeaderValue::from_static(secret);
                request.headers_mut().append("x-gitlab-token", secret);
            }
            request
        };
        let anybody = place.relay().showing("Bearer none").under("").http2().await;
        let cases = [
            (event(ended.to_string(), &[]), 401, "event_secret"),
            (
                event(ended.to_string(), &[SECRET, SECRET]),
                401,
                "event_secret",
            ),
            (event("[]".to_owned(), &[SECRET]), 400, "bad_event"),
            (event("x".repeat(300 << 10), &[SECRET]), 400, "bad_event"),
            (get(PATH), 405, "bad_method"),
        ];
        for (request, status, reason) in cases {
            let refused = anybody.answer(request).await.refused();
            assert_eq!(refused.told(), (status, reason, "client", None));
        }
        job.get("/api").await.echo();
        drop(anybody);
        hooked.stop().await;
    });
}

#[test]
fn replaced_secret_counts_without_a_restart() {
    scenario(async {
        let hooked = Hooked::new().await;
        let place = &hooked.place;
        let next = "fedcba9876543210fedcba9876543210";
        let (id, _) = place.job();
        let holding = |text: &str| {
            fs::write(hooked.secrets.path().join("secrets"), text).unwrap();
            place.relay().reread();
        };
        let reloads = |outcome| format!("adit_relay_secret_reloads_total{{outcome=\"{outcome}\"}}");
        let some = |count: f64| count >= 1.0;
        holding("short");
        place.relay().until_metric(&reloads("failed"), some).await;
        assert!(logs().contains("secret not replaced, the old one stays"));
        assert_eq!(place.gitlab.tell(id).await[0].status, Some(204));
        holding(&format!("{SECRET}\n"));
        let mended = "secret can be read again, and is as it was";
        until("it is told to be mended", || logs().contains(mended)).await;

        hooked.show(next);
        assert_eq!(place.gitlab.tell(id).await[0].status, Some(401));
        holding(next);
        place.relay().until_metric(&reloads("replaced"), some).await;
        assert_eq!(place.gitlab.tell(id).await[0].status, Some(204));
        hooked.stop().await;
    });
}

#[test]
fn without_a_secret_there_is_no_such_path() {
    scenario(async {
        let place = Place::new().await;
        let anybody = place.relay().showing("Bearer none").under("").http2().await;
        let request = caller::request(Method::POST, PATH, body::empty());
        let refused = anybody.answer(request).await.refused();
        assert_eq!(refused.told(), (404, "unknown_path", "client", None));
        drop(anybody);
        place.stop().await;
    });
}
