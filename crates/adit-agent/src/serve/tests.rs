//! The agent's end of a tunnel, served with a real API server behind it and a relay's end in the test's hands.

mod answers;
mod ends;
mod upgrades;

use std::convert::Infallible;

use adit_exchange::{Ask, AskError, ask};
use adit_identity::{ActAs, Impersonation};
use adit_process::metrics::Label as _;
use adit_tunnel::{Options, Terms, testing};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;

use super::*;
use crate::fake::{ApiServer, Terms as Speaks, empty, full, soon};
use crate::impersonate::Ceiling;

const MAX_IN_HAND: usize = 256 << 10;

/// A tunnel whose other end is served.
struct Near {
    tunnel: Tunnel,
    metrics: Metrics,
    _tasks: JoinSet<()>,
}

fn service(kube: Kube, ceiling: Ceiling) -> Service {
    let metrics = Metrics::default();
    Service {
        kube: Arc::new(kube),
        identities: Identities::new(ceiling),
        running: Running::default(),
        head_limits: HeadLimits::default(),
        max_streams: 200,
        in_hand: InHand {
            bytes: metrics.in_hand.clone(),
            max: MAX_IN_HAND,
        },
        traces: None,
        metrics,
    }
}

async fn serving(server: &ApiServer) -> Near {
    serving_with(server.kube().await).await
}

async fn serving_with(kube: Kube) -> Near {
    serving_below(kube, Ceiling::default()).await
}

async fn serving_below(kube: Kube, ceiling: Ceiling) -> Near {
    serving_by(service(kube, ceiling)).await
}

async fn serving_by(service: Service) -> Near {
    let metrics = service.metrics.clone();
    let (near, far, driver) = soon(testing::pair(Options::default(), Options::default())).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        tokio::join!(driver, serve(far, Arc::new(service)));
    });
    Near {
        tunnel: near,
        metrics,
        _tasks: tasks,
    }
}

fn as_user(user: &str, groups: &[&str]) -> ActAs {
    let groups = groups.iter().map(|&group| group.into()).collect();
    ActAs::Impersonate(Impersonation::new(user.into(), None, groups, vec![]).unwrap())
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;
type Answered = Result<Response<adit_exchange::AnswerBody>, AskError>;

fn get() -> Request<Body> {
    Request::new(Empty::new().boxed_unsync())
}

fn post(body: Body) -> Request<Body> {
    Request::builder().method(Method::POST).body(body).unwrap()
}

impl Near {
    async fn ask(&self, request: Request<Body>, act_as: &ActAs) -> Answered {
        self.put(request, act_as, None).await
    }

    /// GET, as the agent itself.
    async fn get(&self) -> Answered {
        self.ask(get(), &ActAs::Agent).await
    }

    async fn put(
        &self,
        request: Request<Body>,
        act_as: &ActAs,
        upgrade: Option<&HeaderValue>,
    ) -> Answered {
        self.put_at("/api/v1/pods?watch=1", request, act_as, upgrade)
            .await
    }

    async fn put_at(
        &self,
        target: &str,
        request: Request<Body>,
        act_as: &ActAs,
        upgrade: Option<&HeaderValue>,
    ) -> Answered {
        let how = Ask {
            target,
            act_as,
            request_id: "0123456789abcdef",
            upgrade,
            limits: HeadLimits::default(),
        };
        soon(ask(&self.tunnel, request, how, Terms::default())).await
    }

    /// Waits until one of its numbers is nothing any more.
    async fn until_none(&self, gauge: &Gauge) {
        soon(async {
            while gauge.get() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

async fn text(response: Response<adit_exchange::AnswerBody>) -> String {
    let body = soon(response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

fn reset(error: AskError) -> (ResetReason, String) {
    let AskError::NoAnswer(StreamError::Reset { reason, message }) = error else {
        panic!("{error:?}")
    };
    (reason, message)
}

#[test]
fn request_that_is_not_answered_is_counted_under_the_name_of_the_cause() {
    let masters = vec!["system:masters".into()];
    let masters = Impersonation::new("gitlab:ci_job:1".into(), None, masters, vec![]).unwrap();
    let beyond = Ceiling::default().check(&masters).unwrap_err();
    let smuggled = NotActing::Smuggled(HeaderName::from_static("impersonate-user"));
    for (cause, label) in [
        (smuggled.into(), "smuggled"),
        (NotActing::Unwritable.into(), "smuggled"),
        (NotActing::from(beyond).into(), "beyond_ceiling"),
        (Unanswered::TooMany, "overloaded"),
        (Unanswered::HandsFull, "overloaded"),
        (Unanswered::BrokenOff, "broken"),
        (Unanswered::Lowered, "beyond_ceiling"),
        (Unanswered::Left, "left"),
    ] {
        assert_eq!(cause.kind().as_str(), label, "{cause:?}");
    }
}
