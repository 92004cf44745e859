//! A black hole: packets vanish, no connection is reset, and both ends wait for each other. What runs ends in time all the
//! same, the message names the hop, and when the way is there again the agent finds it by itself.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use adit_tests::{Direction, Line};
use libtest_mimic::Trial;
use tokio::runtime::{Builder, Runtime};

use crate::{
    client::Client,
    faults::{NOTICED, watching},
    harness::{Needs, trials},
    installation::{Agent, Relay, Ways},
    job::Job,
    running::{Ended, Running},
    until::until_within,
    world::World,
};

/// An agent that tries again while its packets vanish finds out by its own deadlines, one after the other.
const BACK: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    trials![Needs::Pods;
        silence_between_agent_and_relay_is_noticed_and_got_over,
        silence_between_agent_and_api_server_is_noticed_and_got_over,
    ]
}

fn silence_between_agent_and_relay_is_noticed_and_got_over(world: &World) {
    let relay = Relay::start(world);
    let road = Road::to(relay.address);
    let ways = Ways {
        to_relay: Some(road.address()),
        ..Ways::default()
    };
    let agent = Agent::by(world, &relay, &ways);
    let said = said_in_silence(world, &relay, agent, &road);
    assert!(
        said.contains("adit: the connection to agent group/sub/app:prod ended")
            && said.contains("(agent"),
        "{said}"
    );
}

fn silence_between_agent_and_api_server_is_noticed_and_got_over(world: &World) {
    let relay = Relay::start(world);
    let road = Road::to(world.cluster.address());
    let ways = Ways {
        to_api_server: Some(road.address()),
        ..Ways::default()
    };
    let agent = Agent::by(world, &relay, &ways);
    let said = said_in_silence(world, &relay, agent, &road);
    assert!(
        said.contains("adit: ") && said.contains("(api-server"),
        "{said}"
    );
}

/// Lets the road go silent under a watch, a log that is followed and a command, and mends it. What a request made meanwhile was told.
fn said_in_silence(world: &World, relay: &Relay, mut agent: Agent, road: &Road) -> String {
    world.bench();
    agent.until_connected();
    let job = Job::of_relay(world, relay, &Client::ours(world));
    let watch = watching(world, &job);
    let mut logs = job.kubectl("logs -f bench").start();
    logs.hears("bench is up");
    let mut exec = job
        .kubectl("exec bench -- sh -c")
        .arg("echo begun; sleep 600")
        .start();
    exec.hears("begun");

    let silent = road.swallow();
    let late = job.kubectl("get configmaps").start();
    silent.ends(watch);
    let logs = silent.ends(logs);
    assert_ne!(logs.code, Some(0), "it looks complete: {logs}");
    let exec = silent.ends(exec);
    assert_ne!(exec.code, Some(0), "it looks complete: {exec}");
    let said = silent.ends(late).failure();

    road.mend();
    until_within(BACK, "jobs are answered again", || {
        (job.kubectl("get configmaps").run().code == Some(0)).then_some(())
    });
    watching(world, &job);
    said
}

/// A line between two processes; it lives in a runtime of its own, because tests here block.
struct Road {
    line: Line,
    _runtime: Runtime,
}

impl Road {
    fn to(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let line = runtime.block_on(Line::to(address));
        Self {
            line,
            _runtime: runtime,
        }
    }

    fn address(&self) -> SocketAddr {
        self.line.address()
    }

    /// From now on nothing arrives, on connections old and new.
    fn swallow(&self) -> Silence {
        self.line.swallow(&[Direction::There, Direction::Back]);
        Silence {
            since: Instant::now(),
        }
    }

    /// It carries bytes again, on connections that did not lose any.
    fn mend(&self) {
        self.line.mend();
    }
}

struct Silence {
    since: Instant,
}

impl Silence {
    /// Waits for the end of a client, no longer than it may take to notice.
    fn ends(&self, client: Running) -> Ended {
        client.ended_within(NOTICED.saturating_sub(self.since.elapsed()))
    }
}
