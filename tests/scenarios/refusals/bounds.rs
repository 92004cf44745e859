//! What a request is told that comes when something is full: which bound it was, and when to come back.

use adit_tests::{
    AgentBuilder, Answer, Caller, World,
    caller::{H2, get},
    kube, relay, scenario, without_time,
};
use futures_util::future::{join_all, select_all};
use h2::Reason;
use http::StatusCode;

use super::{by_agents::ByHand, expect};
use crate::upgrades::{SPDY, upgrade};

#[test]
fn agent_has_so_many_upgraded_connections() {
    scenario(async {
        let takes_one = |agent: AgentBuilder| agent.with("kubernetes", "max_upgrades", 1);
        let world = World::with(kube(), relay(), takes_one).await;
        let (first, _) = upgrade(&world.job, SPDY).await;
        let mut second = world.job.raw_asking("POST /upgrade", SPDY).await;
        let refused = Answer::read(&mut second).await.refused();
        expect(&refused, 503, "overloaded", "agent", Some(1));
        assert!(
            refused.message.contains("kubernetes.max_upgrades"),
            "{}",
            refused.message
        );
        // Ordinary requests are not concerned, and a place that becomes free is taken.
        world.job.get("/api").await.echo();
        drop((first, second));
        world.kube.until_open(0).await;
        world
            .agent
            .until_metric("adit_agent_upgrades_open", |open| open == 0.0)
            .await;
        drop(upgrade(&world.job, SPDY).await);
        world.stop().await;
    });
}

#[test]
fn agent_has_so_many_connections_to_its_api_server() {
    scenario(async {
        let takes_few = |agent: AgentBuilder| {
            agent.with("kubernetes", "max_connections", 2).with(
                "kubernetes",
                "max_streams_per_connection",
                2,
            )
        };
        let world = World::with(kube(), relay(), takes_few).await;
        let http2 = world.job.http2().await;
        let mut watches = Vec::new();
        let mut refused = 0;
        for answer in join_all((0..5).map(|_| http2.send(get("/watch")))).await {
            let answer = answer.unwrap();
            if answer.status() == StatusCode::OK {
                watches.push(answer);
                continue;
            }
            let told = Answer::of(answer).await.unwrap().refused();
            expect(&told, 503, "overloaded", "agent", Some(1));
            assert!(
                told.message.contains("kubernetes.max_connections"),
                "{}",
                told.message
            );
            refused += 1;
        }
        assert!(refused > 0);
        drop(watches);
        world.kube.until_open(0).await;
        world
            .agent
            .until_metric("adit_agent_streams_open", |open| open == 0.0)
            .await;
        http2.send(get("/watch")).await.unwrap();
        http2.get("/api").await.echo();
        drop(http2);
        world.stop().await;
    });
}

/// Sends so many requests, and takes them back once the agent has them. The status of one that the relay answers itself, if it
/// does.
async fn take_back(
    caller: &Caller,
    connection: &mut H2,
    agent: &ByHand,
    count: usize,
) -> Option<StatusCode> {
    let mut asked = Vec::new();
    for _ in 0..count {
        connection.sender = connection.sender.clone().ready().await.unwrap();
        asked.push(connection.send(caller.h2_get("/api"), false));
    }
    let (answers, mut streams): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let arriving = async {
        let mut held = Vec::new();
        while held.len() < count {
            held.push(agent.asked().await);
        }
        held
    };
    let held = tokio::select! {
        held = arriving => held,
        (answer, ..) = select_all(answers) => return Some(answer.unwrap().status()),
    };
    for stream in &mut streams {
        stream.send_reset(Reason::CANCEL);
    }
    for stream in held {
        std::future::poll_fn(|cx| stream.poll_failure(cx)).await;
    }
    None
}

#[test]
fn callers_that_take_back_too_much_are_told() {
    scenario(async {
        // Nothing but the agent's patience is the limit.
        let lavish = relay().with("limits", "opens_per_second", 1_000_000).with(
            "limits",
            "cancels_per_second",
            100_000,
        );
        let relay = lavish.start().await;
        let agent = ByHand::of(&relay).await;
        let (hasty, other) = (relay.job(9001), relay.job(9002).http2().await);
        let mut connection = hasty.h2().await;
        let refused = without_time(async {
            let status = loop {
                if let Some(status) = take_back(&hasty, &mut connection, &agent, 50).await {
                    break status;
                }
            };
            assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
            other.get("/api").await.refused()
        })
        .await;
        expect(&refused, 429, "too_many_cancels", "agent", Some(1));
        let metrics = relay.metrics().await;
        assert_eq!(metrics.value("adit_relay_tunnels_open"), 1.0);
        drop((connection, other, agent));
        relay.stop().await;
    });
}
