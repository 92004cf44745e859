//! Faults on order, and counts of what was asked.

use std::{pin::pin, time::Duration};

use adit_tests::{Endpoint, Fault, GitLab, caller::get, gitlab, scenario, until, within};
use http_body_util::BodyExt;
use serde_json::Value;

use super::{ALLOWED_AGENTS, allowed_agents, ask};

async fn start() -> (GitLab, String) {
    let gitlab = gitlab().start().await;
    let token = {
        let mut world = gitlab.world();
        world.project("group/app");
        world.agent("group/app", "prod");
        world.job("group/app").run_for_token()
    };
    (gitlab, token)
}

#[test]
fn a_status_is_answered_as_often_as_it_was_ordered() {
    scenario(async {
        let (gitlab, token) = start().await;
        let headers = [("job-token", token.as_str())];
        gitlab
            .faults()
            .times(Endpoint::AllowedAgents, Fault::Status(502), 2);
        for expected in [502, 502, 200] {
            assert_eq!(allowed_agents(&gitlab, &token).await.status, expected);
        }
        gitlab.faults().set_everywhere(Fault::Status(500));
        for path in [ALLOWED_AGENTS, "/api/v4/job"] {
            assert_eq!(ask(&gitlab, path, &headers).await.status, 500);
        }
        gitlab.faults().clear();
        assert_eq!(allowed_agents(&gitlab, &token).await.status, 200);
        assert_eq!(gitlab.calls().to(Endpoint::AllowedAgents), 5);
        assert_eq!(gitlab.calls().total(), 6);
        gitlab.calls().forget();
        assert_eq!(gitlab.calls().total(), 0);
    });
}

#[test]
fn a_limit_says_when_to_come_again() {
    scenario(async {
        let (gitlab, token) = start().await;
        let fault = Fault::TooManyRequests { retry_after: 7 };
        gitlab.faults().set(Endpoint::AllowedAgents, fault);
        let answer = allowed_agents(&gitlab, &token).await;
        assert_eq!(answer.status, 429);
        assert_eq!(answer.headers["retry-after"], "7");
        assert_eq!(answer.headers["ratelimit-remaining"], "0");
    });
}

#[test]
fn garbage_is_no_json_and_wrong_types_are() {
    scenario(async {
        let (gitlab, token) = start().await;
        let faults = gitlab.faults();
        faults.times(Endpoint::AllowedAgents, Fault::Garbage, 1);
        let answer = allowed_agents(&gitlab, &token).await;
        assert_eq!(answer.status, 200);
        assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
        faults.times(Endpoint::AllowedAgents, Fault::WrongTypes, 1);
        let answer = allowed_agents(&gitlab, &token).await.json();
        assert!(answer["job"]["id"].is_string());
        assert!(answer["allowed_agents"].is_object());
        assert!(answer["user"]["username"].is_number());
    });
}

#[test]
fn half_an_answer_breaks_off() {
    scenario(async {
        let (gitlab, token) = start().await;
        gitlab
            .faults()
            .set(Endpoint::AllowedAgents, Fault::HalfAnswer);
        let path = format!("{ALLOWED_AGENTS}?job_token={token}");
        let mut http1 = gitlab.caller().http1().await;
        let response = http1.send(get(&path)).await.unwrap();
        assert_eq!(response.status(), 200);
        let len = response.headers()["content-length"].to_str().unwrap();
        assert!(len.parse::<usize>().unwrap() > 100);
        assert!(response.into_body().collect().await.is_err());
        // Over HTTP/2 the reset may overtake the head.
        let http2 = gitlab.caller().http2().await;
        if let Ok(response) = http2.send(get(&path)).await {
            assert!(response.into_body().collect().await.is_err());
        }
    });
}

#[test]
fn a_hung_up_connection_has_no_answer() {
    scenario(async {
        let (gitlab, _) = start().await;
        gitlab.faults().set_everywhere(Fault::HangUp);
        let mut http1 = gitlab.caller().http1().await;
        assert!(http1.send(get(ALLOWED_AGENTS)).await.is_err());
        let http2 = gitlab.caller().http2().await;
        assert!(http2.send(get(ALLOWED_AGENTS)).await.is_err());
    });
}

#[test]
fn a_hanging_call_is_open_until_its_caller_leaves() {
    scenario(async {
        let (gitlab, _) = start().await;
        gitlab.faults().set(Endpoint::Job, Fault::Hang);
        let mut one = gitlab.caller().http1().await;
        let two = gitlab.caller().http2().await;
        {
            let calls = futures_util::future::join(
                one.send(get("/api/v4/job")),
                two.send(get("/api/v4/job")),
            );
            let both_are_open = until("two calls hang", || gitlab.calls().open(Endpoint::Job) == 2);
            tokio::select! {
                _ = calls => panic!("a hanging call was answered"),
                () = both_are_open => {}
            }
        }
        drop((one, two));
        until("nobody waits", || gitlab.calls().open(Endpoint::Job) == 0).await;
        assert_eq!(gitlab.calls().peak(Endpoint::Job), 2);
    });
}

#[test]
fn it_can_be_away_and_come_back() {
    scenario(async {
        let (mut gitlab, token) = start().await;
        let address = gitlab.address();
        gitlab.be_away().await;
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        gitlab.be_back().await;
        assert_eq!(allowed_agents(&gitlab, &token).await.status, 200);
    });
}

#[test]
fn a_slow_answer_is_the_true_one() {
    scenario(async {
        let (gitlab, token) = start().await;
        let hour = Duration::from_secs(3600);
        gitlab
            .faults()
            .set(Endpoint::AllowedAgents, Fault::SlowMillis(3_600_000));
        let mut caller = gitlab.caller().http1().await;
        let mut call = pin!(caller.send(get(&format!("{ALLOWED_AGENTS}?job_token={token}"))));
        let is_open = until("the call is open", || {
            gitlab.calls().open(Endpoint::AllowedAgents) == 1
        });
        tokio::select! {
            _ = &mut call => panic!("it was answered at once"),
            () = is_open => {}
        }
        tokio::time::pause();
        tokio::time::advance(hour).await;
        tokio::time::resume();
        assert_eq!(within("an answer", call).await.unwrap().status(), 200);
    });
}
