//! The usual case in one word: an API server, a relay, the agent `prod` between them, and a job.

use crate::{
    AgentBuilder, Caller, Kube, KubeBuilder, RelayBuilder, TestAgent, TestRelay, agent, kube, relay,
};

/// All that most scenarios need.
pub struct World {
    pub kube: Kube,
    pub relay: TestRelay,
    pub agent: TestAgent,
    pub job: Caller,
}

/// The usual case, started.
pub async fn world() -> World {
    World::of(kube(), relay()).await
}

impl World {
    /// With an API server or a relay that is not the usual one.
    pub async fn of(kube: KubeBuilder, relay: RelayBuilder) -> Self {
        Self::with(kube, relay, |agent| agent).await
    }

    /// With an agent that is not the usual one, either.
    pub async fn with(
        kube: KubeBuilder,
        relay: RelayBuilder,
        change: impl FnOnce(AgentBuilder) -> AgentBuilder,
    ) -> Self {
        let kube = kube.start().await;
        let relay = relay.start().await;
        let agent = agent("prod").to(&relay).serving(&kube);
        let agent = change(agent).start().await;
        let job = relay.job(9001);
        Self {
            kube,
            relay,
            agent,
            job,
        }
    }

    /// Ends all of it that still runs, in order; fails when something is left running.
    pub async fn stop(self) {
        self.relay.stop().await;
        self.agent.stop().await;
        self.kube.stop().await;
    }
}
