//! Agents' files at GitLab: the relay reads them, here by the API with a token, tells what is wrong with them, and hands them to GitLab,
//! whether or not an agent is connected.

mod causes;
mod gitaly;

use std::{fmt::Write as _, fs};

use adit_tests::{
    Endpoint, Fault, GitLab, Role, TestRelay, agent, gitlab, gitlab::GitLabBuilder, kube, logs,
    relay, scenario, until,
};
use tempfile::TempDir;
use tokio::time::Instant;

use super::arrange;

const FILE: &str = ".gitlab/agents/prod/config.yaml";
const FOR_THE_SHOP: &str = "ci_access:\n  projects:\n  - id: group/shop\n";
const FILES: &str = "adit_relay_gitlab_agent_files";
const GRANTS: &str = "adit_relay_gitlab_agent_file_grants";
const UNPOSTED: &str = "adit_relay_gitlab_agent_files_unposted";

/// The agent `prod` (1) of `group/sub/app`, which never connects, and `group/shop`, whose jobs want to use it.
struct Files {
    gitlab: GitLab,
    relay: TestRelay,
    token_file: TempDir,
}

impl Files {
    /// The relay's token has this scope, and the file is there from the beginning or not at all.
    async fn with(scope: &str, first: Option<&str>) -> Self {
        Self::read(scope, first, "100ms").await
    }

    /// Of a relay that reads files this often by itself, by the API alone, and that GitLab may tell of pushes.
    async fn read(scope: &str, first: Option<&str>, every: &str) -> Self {
        let gitlab = prepared(gitlab()).await;
        commit(&gitlab, "main", first);
        let keys = format!("source: api, every: {every}");
        Self::reading(gitlab, &keys, Some(scope)).await
    }

    /// With these keys of the relay's section, and a token of this scope if there is one.
    async fn reading(gitlab: GitLab, keys: &str, scope: Option<&str>) -> Self {
        Self::asking_every("200ms", gitlab, keys, scope).await
    }

    /// Of a relay that asks about tokens so often.
    async fn asking_every(recheck: &str, gitlab: GitLab, keys: &str, scope: Option<&str>) -> Self {
        let token_file = tempfile::tempdir().unwrap();
        let mut keys = keys.to_owned();
        if let Some(scope) = scope {
            let path = token_file.path().join("token");
            fs::write(&path, token(&gitlab, scope)).unwrap();
            write!(keys, ", token_file: '{}'", path.display()).unwrap();
        }
        let keys = format!(
            "recheck: {recheck}, api_secret_file: '{}', agent_files: {{ {keys} }}",
            gitlab.secret_file().display(),
        );
        let relay = relay().asking(&gitlab, &keys);
        let relay = relay.with("gitlab_api", "address", "127.0.0.1:0");
        let relay = relay.start().await;
        Self {
            gitlab,
            relay,
            token_file,
        }
    }

    fn commit(&self, text: Option<&str>) {
        commit(&self.gitlab, "main", text);
    }

    /// Registers an agent (5) at GitLab, which has a file: its token.
    fn register(&self, name: &str) -> String {
        let mut world = self.gitlab.world();
        let id = world.number(5).agent("group/sub/app", name);
        let path = format!(".gitlab/agents/{name}/config.yaml");
        let project = world.project("group/sub/app");
        let repository = world.repository(project);
        repository.commit_to("main", &[(&path, Some(FOR_THE_SHOP))]);
        world.agent_token(id).unwrap()
    }

    /// GitLab tells of a push to this project, so many times.
    async fn push(&self, project: u64, path: &str, times: usize) {
        let kas = self.gitlab.connect_to_kas(self.relay.gitlab_api()).await;
        for _ in 0..times {
            kas.pushed(project, path).await.unwrap();
        }
    }

    /// Waits until the files of both agents have been read, of which the first was handed over.
    async fn until_read(&self) {
        self.until_handed_over(1).await;
        until("both files are read", || self.reads() == 2).await;
    }

    fn reads(&self) -> usize {
        self.gitlab.calls().to(Endpoint::RawFile)
    }

    /// Waits until GitLab has been handed so many files.
    async fn until_handed_over(&self, times: usize) {
        let handed = || logs().matches("GitLab has been handed").count();
        until("GitLab has been handed a file", || handed() >= times).await;
        assert_eq!(handed(), times);
    }

    /// Whether a job of the shop is let in; a new one, of which the relay remembers nothing.
    async fn lets_the_shop_in(&self) -> bool {
        let token = self.gitlab.world().job("group/shop").run_for_token();
        let caller = self.relay.showing(&format!("Bearer ci:1:{token}"));
        let answer = caller.get("/api").await;
        if answer.status == 200 {
            return true;
        }
        // Or it is let in, and only then told that the agent is not there.
        match answer.refused().reason.as_str() {
            "agent_never_connected" => true,
            "not_permitted" => false,
            other => panic!("{other}"),
        }
    }

    async fn until_one_is(&self, state: &str) {
        self.until_so_many_are(state, 1.0).await;
    }

    async fn until_so_many_are(&self, state: &str, expected: f64) {
        let sample = format!("{FILES}{{state=\"{state}\"}}");
        let is_so = |count| count == expected;
        self.relay.until_metric(&sample, is_so).await;
    }

    /// What operators are told about it.
    async fn problem(&self, about: &str) -> Option<String> {
        let (_, text) = self.relay.admin_get("/status").await;
        let report: adit_relay::status::Report = serde_json::from_str(&text).unwrap();
        let mut problems = report.problems.into_iter();
        let found = problems.find(|problem| problem.about == about);
        found.map(|problem| problem.message)
    }

    async fn stop(self) {
        self.relay.stop().await;
        drop(self.token_file);
    }
}

async fn prepared(gitlab: GitLabBuilder) -> GitLab {
    let gitlab = gitlab.start().await;
    arrange(&gitlab);
    gitlab.world().project("group/shop");
    gitlab
}

fn commit(gitlab: &GitLab, branch: &str, text: Option<&str>) {
    let mut world = gitlab.world();
    let project = world.project("group/sub/app");
    world.repository(project).commit_to(
        branch,
        &[("README.md", Some("an agent's project\n")), (FILE, text)],
    );
}

fn token(gitlab: &GitLab, scope: &str) -> String {
    let mut world = gitlab.world();
    let user = world.user("reader");
    world.member("reader", "group", Role::Reporter);
    world.personal_token(user, &[scope])
}

#[test]
fn grant_reaches_gitlab_though_the_agent_is_not_connected() {
    scenario(async {
        let files = Files::with("read_repository", None).await;
        assert!(!files.lets_the_shop_in().await);
        files.commit(Some(FOR_THE_SHOP));
        files.until_handed_over(1).await;
        assert!(files.lets_the_shop_in().await);
        files.commit(Some("ci_access: {}\n"));
        files.until_handed_over(2).await;
        assert!(!files.lets_the_shop_in().await);
        files.stop().await;
    });
}

#[test]
fn file_with_a_mistake_is_told_with_its_place_and_the_one_before_it_holds() {
    scenario(async {
        let files = Files::with("read_repository", Some(FOR_THE_SHOP)).await;
        files.until_handed_over(1).await;
        files.commit(Some("ci_access:\n  projects: group/shop\n"));
        files.until_one_is("wrong").await;
        assert!(logs().contains("place=2:13"), "{}", logs());
        let told = files.problem("agent_files").await.unwrap();
        assert!(told.starts_with("1 of agents' files at GitLab"), "{told}");
        assert!(files.lets_the_shop_in().await);
        let metrics = files.relay.metrics().await;
        let accepted = format!("{GRANTS}{{result=\"accepted\"}}");
        assert_eq!(metrics.value(&accepted), 1.0);
        files.commit(Some("ci_access: {}\n"));
        files.until_handed_over(2).await;
        assert!(!files.lets_the_shop_in().await);
        files.stop().await;
    });
}

#[test]
fn grant_that_gitlab_drops_is_told() {
    scenario(async {
        let text = "ci_access:\n  groups: [{id: group}, {id: other}]\n";
        let files = Files::with("read_repository", Some(text)).await;
        let dropped = format!("{GRANTS}{{result=\"dropped\"}}");
        let relay = &files.relay;
        relay.until_metric(&dropped, |count| count == 1.0).await;
        assert!(logs().contains("GitLab drops a grant"), "{}", logs());
        assert!(logs().contains("ci_access.groups[1]"), "{}", logs());
        files.stop().await;
    });
}

#[test]
fn file_is_handed_over_once_for_each_change() {
    scenario(async {
        let files = Files::with("read_repository", Some(FOR_THE_SHOP)).await;
        files.until_handed_over(1).await;
        let reads = files.reads();
        until("the file is read again and again", || {
            files.reads() > reads + 6
        })
        .await;
        files.commit(None);
        files.until_handed_over(2).await;
        assert!(!files.lets_the_shop_in().await);
        files.stop().await;
    });
}

#[test]
fn agent_that_never_had_a_file_is_not_handed_over_as_one_without_grants() {
    scenario(async {
        let files = Files::with("read_repository", None).await;
        let absent = format!("{FILES}{{state=\"absent\"}}");
        let relay = &files.relay;
        relay.until_metric(&absent, |count| count == 2.0).await;
        assert_eq!(files.gitlab.calls().to(Endpoint::AgentConfiguration), 0);
        files.stop().await;
    });
}

#[test]
fn token_that_may_not_read_is_told() {
    scenario(async {
        let files = Files::with("k8s_proxy", Some(FOR_THE_SHOP)).await;
        let told = "GitLab does not let an agent's file be read";
        until("it is told", || logs().matches(told).count() == 2).await;
        let unread = format!("{FILES}{{state=\"unread\"}}");
        let relay = &files.relay;
        relay.until_metric(&unread, |count| count == 2.0).await;
        assert_eq!(files.gitlab.calls().to(Endpoint::AgentConfiguration), 0);
        files.stop().await;
    });
}

/// As it is when the configuration names another project.
#[test]
fn project_that_gitlab_does_not_show_is_told_with_the_key_that_may_be_wrong() {
    scenario(async {
        let files = Files::with("read_repository", Some(FOR_THE_SHOP)).await;
        let faults = files.gitlab.faults();
        faults.set(Endpoint::RawFile, Fault::Status(404));
        let told = "`project_id` of the agent in this relay's configuration";
        until("it is told", || logs().matches(told).count() == 2).await;
        files.stop().await;
    });
}

#[test]
fn file_is_handed_over_when_gitlab_takes_it_again() {
    scenario(async {
        let files = Files::with("read_repository", Some(FOR_THE_SHOP)).await;
        files.until_handed_over(1).await;
        let faults = files.gitlab.faults();
        faults.set(Endpoint::AgentConfiguration, Fault::Status(503));
        files.commit(Some("ci_access: {}\n"));
        let relay = &files.relay;
        relay.until_metric(UNPOSTED, |count| count == 1.0).await;
        faults.clear();
        relay.until_metric(UNPOSTED, |count| count == 0.0).await;
        files.until_handed_over(2).await;
        assert!(!files.lets_the_shop_in().await);
        files.stop().await;
    });
}

#[test]
fn push_has_the_files_of_its_project_read_at_once() {
    scenario(async {
        let files = Files::read("read_repository", Some(FOR_THE_SHOP), "1h").await;
        files.until_read().await;
        files.commit(Some("ci_access: {}\n"));
        files.push(150, "group/sub/app", 1).await;
        files.until_handed_over(2).await;
        assert!(!files.lets_the_shop_in().await);
        files.stop().await;
    });
}

#[test]
fn push_to_another_project_reads_nothing() {
    scenario(async {
        let files = Files::read("read_repository", Some(FOR_THE_SHOP), "1h").await;
        files.until_read().await;
        files.push(151, "group/sub/app", 1).await;
        files.push(151, "group/shop", 1).await;
        // What comes later is read, so what came before has been seen.
        files.push(150, "group/sub/app", 1).await;
        until("the files are read", || files.reads() == 4).await;
        files.stop().await;
    });
}

#[test]
fn flood_of_pushes_reads_each_file_once_in_a_while() {
    scenario(async {
        let files = Files::read("read_repository", Some(FOR_THE_SHOP), "1h").await;
        files.until_read().await;
        let began = Instant::now();
        files.push(150, "group/sub/app", 200).await;
        files.commit(Some("ci_access: {}\n"));
        files.push(150, "group/sub/app", 1).await;
        files.until_handed_over(2).await;
        // Two files at the first push, and in each second that has begun since.
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
        let reads = files.reads();
        assert!(reads <= 2 + 2 * (seconds + 2), "{reads} in {seconds} s");
        files.stop().await;
    });
}

#[test]
fn file_of_an_agent_that_comes_anew_is_read_at_once() {
    scenario(async {
        let files = Files::read("read_repository", Some(FOR_THE_SHOP), "1h").await;
        files.until_read().await;
        let kube = kube().start().await;
        let agent = agent("testing").showing(&files.register("testing"), &files.relay);
        let agent = agent.serving(&kube).start().await;
        files.until_handed_over(2).await;
        agent.stop().await;
        kube.stop().await;
        files.stop().await;
    });
}

#[test]
fn file_of_an_agent_that_gitlab_has_vouched_for_is_read_too() {
    scenario(async {
        let files = Files::with("read_repository", None).await;
        let kube = kube().start().await;
        let agent = agent("testing").showing(&files.register("testing"), &files.relay);
        let agent = agent.serving(&kube).start().await;
        files.until_handed_over(1).await;
        agent.stop().await;
        kube.stop().await;
        files.stop().await;
    });
}
