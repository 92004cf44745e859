//! Jobs for whom GitLab itself vouches: the relay in front of the double of GitLab, with the agents `prod` (1) and `staging` (2) of
//! `group/sub/app`, as they are registered there.

use adit_tests::{
    Caller, GitLab, KubeBuilder, TestRelay, World, agent, gitlab,
    gitlab::{TokenForm, arrange},
    kube, relay,
};

mod agents;
mod browsers;
mod ends;
mod explained;
mod files;
mod flux;
mod grants;
mod identity;
mod outages;
mod pages;
mod parallel;
mod reload;
mod users;
mod webhook;

/// GitLab is asked again within the second after this.
const RECHECK: &str = "recheck: 500ms";

/// A GitLab with the project of the usual job, and the usual world before it.
struct Place {
    gitlab: GitLab,
    world: World,
}

impl Place {
    async fn new() -> Self {
        Self::with(RECHECK).await
    }

    /// With more keys of the relay's section `authorities.gitlab`.
    async fn with(keys: &str) -> Self {
        Self::of(kube(), keys).await
    }

    async fn of(kube: KubeBuilder, keys: &str) -> Self {
        let gitlab = gitlab().start().await;
        Self::before(gitlab, kube, keys).await
    }

    /// With the secret that GitLab shares with its agent server.
    async fn trusted(keys: &str) -> Self {
        Self::trusted_before(kube(), keys).await
    }

    async fn trusted_before(kube: KubeBuilder, keys: &str) -> Self {
        let gitlab = gitlab().start().await;
        let secret = gitlab.secret_file().display().to_string();
        let keys = format!("api_secret_file: '{secret}', {keys}");
        Self::before(gitlab, kube, &keys).await
    }

    async fn before(gitlab: GitLab, kube: KubeBuilder, keys: &str) -> Self {
        arrange(&gitlab);
        let world = World::of(kube, relay().asking(&gitlab, keys)).await;
        Self { gitlab, world }
    }

    fn relay(&self) -> &TestRelay {
        &self.world.relay
    }

    /// A job that runs: its id, and itself as a caller of `prod`.
    fn job(&self) -> (u64, Caller) {
        self.job_with(TokenForm::Opaque)
    }

    fn job_with(&self, form: TokenForm) -> (u64, Caller) {
        let id = self.gitlab.world().job("group/sub/app").token(form).run();
        (id, self.caller(id))
    }

    fn caller(&self, job: u64) -> Caller {
        let token = self.gitlab.world().job_of(job).token().to_owned();
        self.showing(&token)
    }

    /// Whoever shows this token, as a caller of `prod`.
    fn showing(&self, token: &str) -> Caller {
        self.relay().showing(&format!("Bearer ci:1:{token}"))
    }

    async fn stop(self) {
        self.world.stop().await;
    }
}

/// `staging` in front of another API server.
async fn staging(place: &Place, kube: &adit_tests::Kube) -> adit_tests::TestAgent {
    agent("staging")
        .to(place.relay())
        .serving(kube)
        .start()
        .await
}
