//! Decides what GitLab's events do: `POST /webhooks/gitlab` ends a job's access the moment that GitLab says the job is over.
//!
//! Called by `handle.rs`. Invariant: nothing of an event is read before its secret was, and no more than [`MOST`] bytes and [`TIME`].

use std::{fmt::Display, future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use adit_authority::{GitLab, Secrets, gitlab::job_over};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio::time::timeout;

use crate::{
    metrics::{Event, Metrics},
    refusal::Refusal,
};

const TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");
/// Bytes of an event. A job's has some 5 KiB.
const MOST: usize = 256 << 10;
/// GitLab itself gives up after ten seconds.
const TIME: Duration = Duration::from_secs(10);

/// Where events arrive.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) gitlab: Arc<GitLab>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Events {
    /// Does what an event says, and answers 204.
    pub(crate) async fn take<B>(
        &self,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        if request.method() != Method::POST {
            return Err(Refusal::BadMethod("only POST is served here"));
        }
        if !self.is_gitlabs(request.headers()) {
            return Err(Refusal::EventSecret);
        }
        let body = timeout(TIME, whole(request.into_body())).await;
        let body = body.unwrap_or(Err("it takes too long"));
        let body = body.map_err(Refusal::BadEvent)?;
        let over = job_over(&body).map_err(|_| Refusal::BadEvent("it is none of GitLab's"))?;
        if let Some(job) = over {
            tracing::info!(job.id = %job, "GitLab says that a job is over");
            self.gitlab.job_is_over(job);
        }
        self.metrics.gitlab_event(match over {
            Some(_) => Event::JobOver,
            None => Event::Other,
        });
        let mut done = Response::new(Full::default());
        *done.status_mut() = StatusCode::NO_CONTENT;
        Ok(done)
    }

    fn is_gitlabs(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(TOKEN).iter();
        let (Some(token), None) = (shown.next(), shown.next()) else {
            return false;
        };
        self.secrets.accept(token.as_bytes())
    }
}

async fn whole<B>(mut body: B) -> Result<Vec<u8>, &'static str>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| "its body broke off")?;
        let data = frame.into_data().unwrap_or_default();
        if whole.len() + data.len() > MOST {
            return Err("it is longer than any");
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}
