//! The end of a job, and who is told: job events to the project's webhooks.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{
    GitLab, jwt,
    world::{Hook, Job, JobStatus, World},
};
use crate::{pki, tasks::Tasks};

/// What came of one call of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub url: String,
    /// `None`: no answer in time.
    pub status: Option<u16>,
}

/// GitLab waits so long for a receiver.
const PATIENCE: Duration = Duration::from_secs(10);

impl GitLab {
    /// Ends a job, and tells the project's webhooks.
    ///
    /// # Panics
    ///
    /// When there is no such job.
    pub async fn end_job(&self, job: u64, status: JobStatus) -> Vec<Delivery> {
        self.world().set_status(job, status);
        self.tell(job).await
    }

    /// Tells the project's webhooks what the job's status is; again, when they were told already.
    pub async fn tell(&self, job: u64) -> Vec<Delivery> {
        let (hooks, event) = {
            let world = self.world();
            let job = world.job_of(job);
            let hooks = world.project_of(job.project).hooks.clone();
            (hooks, world.job_event(job))
        };
        let mut deliveries = Vec::new();
        for hook in hooks {
            let status = timeout(PATIENCE, deliver(&hook, &event)).await;
            deliveries.push(Delivery {
                url: hook.url,
                status: status.ok().flatten(),
            });
        }
        deliveries
    }
}

impl World {
    fn job_event(&self, job: &Job) -> Value {
        let user = self.user_of(job.user);
        let path = self.project_path(job.project);
        let is_over = job.status != JobStatus::Running;
        json!({
            "object_kind": "build",
            "ref": job.git_ref,
            "tag": job.is_tag,
            "build_id": job.id,
            "build_name": job.name,
            "build_stage": "deploy",
            "build_status": job.status.word(),
            "build_started_at": jwt::seconds(job.began),
            "build_finished_at": is_over.then(jwt::now),
            "build_allow_failure": false,
            "build_failure_reason": "unknown_failure",
            "pipeline_id": job.pipeline,
            "project_id": job.project,
            "project_name": path.replace('/', " / "),
            "user": { "id": user.id, "username": user.login },
            "environment": job.environment.as_ref().map(|name| json!({ "name": name, "action": "start" })),
        })
    }
}

async fn deliver(hook: &Hook, event: &Value) -> Option<u16> {
    let url: Uri = hook.url.parse().ok()?;
    let authority = url.authority()?.clone();
    let is_tls = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let target = url.path_and_query()?.to_string();
    let request = Request::post(target)
        .header("host", authority.as_str())
        .header("content-type", "application/json")
        .header("user-agent", "GitLab/19.1.0")
        .header("x-gitlab-event", "Job Hook")
        .header("x-gitlab-token", &hook.secret)
        .header(
            "x-gitlab-event-uuid",
            format!("event-{}", event["build_id"]),
        )
        .body(Full::new(Bytes::from(event.to_string())))
        .ok()?;
    let socket = TcpStream::connect((authority.host(), port)).await.ok()?;
    if is_tls {
        let tls = TlsConnector::from(pki::shared().client(&[pki::HTTP1]));
        let name = rustls::pki_types::ServerName::try_from(authority.host().to_owned()).ok()?;
        let io = tls.connect(name, socket).await.ok()?;
        send(TokioIo::new(io), request).await
    } else {
        send(TokioIo::new(socket), request).await
    }
}

async fn send<IO>(io: IO, request: Request<Full<Bytes>>) -> Option<u16>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(io).await.ok()?;
    let tasks = Tasks::default();
    tasks.spawn(async move {
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    let _ = response.into_body().collect().await;
    Some(status)
}
