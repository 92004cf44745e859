//! The same files, read from Gitaly, of which GitLab says where it is when it vouches for an agent.

use adit_tests::{
    Endpoint, Kube, TestAgent, agent, gitlab,
    gitlab::{GitLabBuilder, GitalyCall, GitalyTransport},
    kube, logs, scenario, until,
};
use tokio::net::TcpListener;
use tonic::Status;

use super::{FILE, FOR_THE_SHOP, Files, commit, prepared};
use crate::certificates::servers::Bundle;

const SERVERS: &str = "adit_relay_gitaly_servers";
const CALLS: &str = "adit_relay_gitaly_calls_total";
const GITALY_ALONE: &str = "source: gitaly, every: 100ms";
const NOBODY: &str = "ci_access: {}\n";

/// `prod` is connected, with GitLab's token; of `staging` GitLab has said nothing.
struct FromGitaly {
    files: Files,
    agent: TestAgent,
    kube: Kube,
}

impl FromGitaly {
    /// The file is there from the beginning, and Gitaly is all that it can be read from.
    async fn with(gitlab: GitLabBuilder, first: &str) -> Self {
        let gitlab = prepared(gitlab).await;
        commit(&gitlab, "main", Some(first));
        Self::connect(Files::reading(gitlab, GITALY_ALONE, None).await).await
    }

    /// Without a commit.
    async fn empty() -> Self {
        let gitlab = prepared(gitlab()).await;
        Self::connect(Files::reading(gitlab, GITALY_ALONE, None).await).await
    }

    async fn connect(files: Files) -> Self {
        let token = files.gitlab.world().agent_token(1).unwrap();
        let kube = kube().start().await;
        let agent = agent("prod").showing(&token, &files.relay);
        let agent = agent.serving(&kube).start().await;
        Self { files, agent, kube }
    }

    /// Changes of other files than the agent's.
    fn commit_all(&self, changes: &[(&str, Option<&str>)]) {
        let mut world = self.files.gitlab.world();
        let project = world.project("group/sub/app");
        world.repository(project).commit_to("main", changes);
    }

    /// How often it was asked where the branch is, and for the file.
    fn asked(&self) -> (usize, usize) {
        let calls = self.files.gitlab.gitaly().calls();
        let count =
            |is_such: fn(&GitalyCall) -> bool| calls.iter().filter(|it| is_such(it)).count();
        (
            count(|call| matches!(call, GitalyCall::InfoRefsUploadPack { .. })),
            count(|call| matches!(call, GitalyCall::TreeEntry { .. })),
        )
    }

    async fn until_looked_at_again(&self) {
        let (before, _) = self.asked();
        until("Gitaly is asked again and again", || {
            self.asked().0 > before + 4
        })
        .await;
    }

    async fn stop(self) {
        self.agent.stop().await;
        self.kube.stop().await;
        self.files.stop().await;
    }
}

async fn grants_are_read_over(transport: GitalyTransport) {
    let this = FromGitaly::with(gitlab().gitaly_over(transport), FOR_THE_SHOP).await;
    let files = &this.files;
    files.until_handed_over(1).await;
    assert!(files.lets_the_shop_in().await);
    files.commit(Some(NOBODY));
    files.until_handed_over(2).await;
    assert!(!files.lets_the_shop_in().await);
    assert_eq!(files.gitlab.calls().to(Endpoint::RawFile), 0);
    this.stop().await;
}

#[test]
fn grants_are_read_over_tcp() {
    scenario(grants_are_read_over(GitalyTransport::Tcp));
}

#[test]
fn grants_are_read_over_tls() {
    scenario(grants_are_read_over(GitalyTransport::Tls));
}

#[test]
fn gitaly_is_believed_by_what_the_file_holds_now() {
    scenario(async {
        let bundle = Bundle::of_others();
        let gitlab = prepared(gitlab().gitaly_over(GitalyTransport::Tls)).await;
        commit(&gitlab, "main", Some(FOR_THE_SHOP));
        let file = bundle.file();
        let keys = format!(
            "{GITALY_ALONE} }}, gitaly: {{ ca_file: '{}'",
            file.display()
        );
        let this = FromGitaly::connect(Files::reading(gitlab, &keys, None).await).await;
        let files = &this.files;
        let unreachable = format!("{SERVERS}{{last=\"unreachable\"}}");
        files
            .relay
            .until_metric(&unreachable, |servers| servers == 1.0)
            .await;
        bundle
            .mend(&files.relay, "authorities.gitlab.gitaly.ca_file")
            .await;
        files.until_handed_over(1).await;
        assert!(files.lets_the_shop_in().await);
        this.stop().await;
    });
}

#[test]
fn grants_are_read_over_a_socket_of_this_machine() {
    scenario(grants_are_read_over(GitalyTransport::Unix));
}

#[test]
fn grants_are_read_when_the_agent_has_gone() {
    scenario(async {
        let FromGitaly { files, agent, kube } = FromGitaly::with(gitlab(), NOBODY).await;
        files.until_handed_over(1).await;
        agent.stop().await;
        files.commit(Some(FOR_THE_SHOP));
        files.until_handed_over(2).await;
        kube.stop().await;
        files.stop().await;
    });
}

#[test]
fn gitaly_is_asked_at_once_when_an_agent_connects_and_when_somebody_pushes() {
    scenario(async {
        let gitlab = prepared(gitlab()).await;
        commit(&gitlab, "main", Some(NOBODY));
        let files = Files::reading(gitlab, "source: gitaly, every: 1h", None).await;
        let this = FromGitaly::connect(files).await;
        this.files.until_handed_over(1).await;
        this.files.commit(Some(FOR_THE_SHOP));
        this.files.push(150, "group/sub/app", 1).await;
        this.files.until_handed_over(2).await;
        assert!(this.files.lets_the_shop_in().await);
        this.stop().await;
    });
}

#[test]
fn commit_that_is_the_same_is_not_read_again() {
    scenario(async {
        let this = FromGitaly::with(gitlab(), FOR_THE_SHOP).await;
        this.files.until_handed_over(1).await;
        this.until_looked_at_again().await;
        assert_eq!(this.asked().1, 1);
        // Another commit is read, and has nothing new for GitLab.
        this.commit_all(&[("README.md", Some("more\n"))]);
        until("it is read", || this.asked().1 == 2).await;
        this.until_looked_at_again().await;
        assert_eq!(this.asked().1, 2);
        this.files.until_handed_over(1).await;
        this.stop().await;
    });
}

#[test]
fn what_is_no_file_that_gitlab_reads_changes_nothing_and_is_told() {
    scenario(async {
        let this = FromGitaly::with(gitlab(), FOR_THE_SHOP).await;
        let files = &this.files;
        files.until_handed_over(1).await;
        files.commit(Some(&"# long\n".repeat(20_000)));
        files.until_one_is("wrong").await;
        assert!(
            logs().contains("longer than the 131072 bytes"),
            "{}",
            logs()
        );
        let inner = format!("{FILE}/config.yaml");
        this.commit_all(&[(FILE, None), (&inner, Some(NOBODY))]);
        until("it is told", || logs().contains("not a file")).await;
        assert!(files.lets_the_shop_in().await);
        this.commit_all(&[(&inner, None), (FILE, Some(NOBODY))]);
        files.until_handed_over(2).await;
        assert!(!files.lets_the_shop_in().await);
        this.stop().await;
    });
}

#[test]
fn repository_without_a_commit_has_no_file() {
    scenario(async {
        let this = FromGitaly::empty().await;
        this.files.until_one_is("absent").await;
        assert_eq!(this.asked().1, 0);
        this.files.commit(Some(FOR_THE_SHOP));
        this.files.until_handed_over(1).await;
        this.stop().await;
    });
}

#[test]
fn default_branch_that_is_not_there_is_main_or_else_master() {
    scenario(async {
        let this = FromGitaly::empty().await;
        let files = &this.files;
        // The default branch is `main`.
        let point_head_at = |branch: &str| {
            let mut world = files.gitlab.world();
            let project = world.project("group/sub/app");
            let folder = world.repository(project).folder().to_owned();
            let head = format!("ref: refs/heads/{branch}\n");
            std::fs::write(folder.join("HEAD"), head).unwrap();
        };
        point_head_at("gone");
        commit(&files.gitlab, "other", Some("ci_access: { projects: 1 }\n"));
        this.until_looked_at_again().await;
        commit(&files.gitlab, "master", Some(NOBODY));
        files.until_handed_over(1).await;
        commit(&files.gitlab, "main", Some(FOR_THE_SHOP));
        files.until_handed_over(2).await;
        assert!(files.lets_the_shop_in().await);
        point_head_at("master");
        files.until_handed_over(3).await;
        assert!(!files.lets_the_shop_in().await);
        this.stop().await;
    });
}

#[test]
fn gitaly_in_trouble_takes_nothing_away_and_is_told() {
    scenario(async {
        let this = FromGitaly::with(gitlab(), FOR_THE_SHOP).await;
        let files = &this.files;
        files.until_handed_over(1).await;
        let read = this.asked().1;
        let gitaly = files.gitlab.gitaly();
        gitaly.fail(Some(Status::unavailable("ordered")));
        files.until_so_many_are("unread", 2.0).await;
        assert!(logs().contains("Gitaly cannot be asked"), "{}", logs());
        assert!(logs().contains("ordered"), "{}", logs());
        let metrics = files.relay.metrics().await;
        let unreachable = r#"{last="unreachable"}"#;
        assert_eq!(metrics.value(&format!("{SERVERS}{unreachable}")), 1.0);
        let failed = r#"{outcome="unreachable"}"#;
        assert!(metrics.value(&format!("{CALLS}{failed}")) >= 1.0);
        let told = files.problem("gitaly").await.unwrap();
        assert!(told.contains("(unreachable: 1)"), "{told}");
        assert!(files.lets_the_shop_in().await);
        gitaly.fail(None);
        files.until_one_is("good").await;
        let answered = format!("{SERVERS}{{last=\"answered\"}}");
        assert_eq!(files.relay.metrics().await.value(&answered), 1.0);
        assert_eq!(files.problem("gitaly").await, None);
        // The commit is still the same.
        assert_eq!(this.asked().1, read);
        files.until_handed_over(1).await;
        this.stop().await;
    });
}

#[test]
fn clock_that_is_off_is_named() {
    scenario(async {
        let gitlab = prepared(gitlab()).await;
        gitlab.gitaly().be_ahead(60);
        commit(&gitlab, "main", Some(FOR_THE_SHOP));
        let files = Files::reading(gitlab, GITALY_ALONE, None).await;
        let this = FromGitaly::connect(files).await;
        until("the clock is named", || {
            logs().contains("clock within 30 s")
        })
        .await;
        assert_eq!(this.asked(), (0, 0));
        this.files.gitlab.gitaly().be_ahead(20);
        this.files.until_handed_over(1).await;
        this.stop().await;
    });
}

#[test]
fn gitaly_that_is_not_there_is_told_with_its_address() {
    scenario(async {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("tcp://{}", taken.local_addr().unwrap());
        drop(taken);
        let this = FromGitaly::with(gitlab().naming_gitaly(&address), FOR_THE_SHOP).await;
        until("it is told", || logs().contains(&address)).await;
        assert!(logs().contains("Connection refused"), "{}", logs());
        this.stop().await;
    });
}

#[test]
fn address_that_cannot_be_dialled_is_told() {
    scenario(async {
        let address = "dns://192.0.2.1/gitaly:8075";
        let this = FromGitaly::with(gitlab().naming_gitaly(address), FOR_THE_SHOP).await;
        until("it is told", || logs().contains("a DNS server of its own")).await;
        this.stop().await;
    });
}

#[test]
fn file_under_another_name_is_told() {
    scenario(async {
        let this = FromGitaly::empty().await;
        let misnamed = ".gitlab/agents/prod/config.yml";
        this.commit_all(&[(misnamed, Some(FOR_THE_SHOP))]);
        until("it is told", || logs().contains("is called `config.yml`")).await;
        this.files.until_one_is("absent").await;
        this.commit_all(&[(misnamed, None), (FILE, Some(FOR_THE_SHOP))]);
        this.files.until_handed_over(1).await;
        this.stop().await;
    });
}

#[test]
fn api_is_asked_where_gitaly_does_not_answer() {
    scenario(async {
        let gitlab = prepared(gitlab()).await;
        commit(&gitlab, "main", Some(FOR_THE_SHOP));
        gitlab.gitaly().fail(Some(Status::internal("ordered")));
        let files = Files::reading(gitlab, "every: 100ms", Some("read_repository")).await;
        let this = FromGitaly::connect(files).await;
        this.files.until_handed_over(1).await;
        until("it is told", || logs().contains("Gitaly cannot be asked")).await;
        this.files.gitlab.gitaly().fail(None);
        until("Gitaly is asked", || this.asked().1 == 1).await;
        let reads = this.files.gitlab.calls().to(Endpoint::RawFile);
        this.until_looked_at_again().await;
        // Of `staging` GitLab has not said where it is.
        assert!(this.files.gitlab.calls().to(Endpoint::RawFile) > reads);
        assert_eq!(this.asked().1, 1);
        this.files.until_handed_over(1).await;
        this.stop().await;
    });
}

#[test]
fn gitaly_is_left_alone_where_the_api_is_to_be_asked() {
    scenario(async {
        let files = Files::with("read_repository", Some(FOR_THE_SHOP)).await;
        let this = FromGitaly::connect(files).await;
        this.files.until_handed_over(1).await;
        let calls = || this.files.gitlab.calls().to(Endpoint::RawFile);
        let before = calls();
        until("it is read again", || calls() > before + 4).await;
        assert_eq!(this.asked(), (0, 0));
        this.stop().await;
    });
}
