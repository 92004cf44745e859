//! A job that GitLab does not let in is told why, by the agent's file that the relay has read: its own entry, and nobody else's.

use adit_tests::{Caller, Endpoint, Fault, gitlab, gitlab::JobBuilder, logs, scenario};

use super::{Files, commit, prepared};

const FILTERED: &str = "
ci_access:
  projects:
  - {id: group/shop, environments: [production, review/*], protected_branches_only: true}
  groups:
  - {id: group, environments: [staging]}
";

/// What a job is told in front of an agent, and what the relay's log calls the cause.
struct Told {
    text: String,
    detail: String,
}

impl Files {
    /// A new job of a project, in front of an agent.
    fn caller(&self, agent: u64, of: &str, run: impl FnOnce(JobBuilder<'_>) -> String) -> Caller {
        let token = run(self.gitlab.world().job(of));
        self.relay.showing(&format!("Bearer ci:{agent}:{token}"))
    }

    /// The same to a new job of the shop.
    async fn told_to_the_shop(&self, run: impl FnOnce(JobBuilder<'_>) -> String) -> Told {
        told(&self.caller(1, "group/shop", run)).await
    }
}

async fn told(caller: &Caller) -> Told {
    let refused = caller.get("/api").await.refused();
    assert_eq!(refused.reason, "not_permitted", "{}", refused.message);
    let logs = logs();
    let line = logs.lines().rev().find(|line| line.contains("detail="));
    let (_, detail) = line.unwrap().split_once("detail=").unwrap();
    let detail = detail.split_whitespace().next().unwrap().trim_matches('"');
    Told {
        // Which is another one each time.
        text: refused.message.replace(&refused.request_id, "ID"),
        detail: detail.to_owned(),
    }
}

#[test]
fn filter_that_keeps_a_job_out_is_named_to_the_job() {
    scenario(async {
        let files = Files::with("read_repository", Some(FILTERED)).await;
        files.until_handed_over(1).await;
        files.gitlab.world().project("group/docs");
        let entry = "ci_access.projects[0] covers it (project group/shop";
        let told_so = files.told_to_the_shop(|job| job.run_for_token()).await;
        assert_eq!(told_so.detail, "no_environment");
        let text = told_so.text;
        assert!(text.contains("agent group/sub/app:prod"), "{text}");
        assert!(text.contains(entry), "{text}");
        assert!(text.contains("has no `environment:`"), "{text}");

        let unstored = files
            .told_to_the_shop(|job| job.environment("production").unpersisted().run_for_token())
            .await;
        assert_eq!(unstored.detail, "no_environment");

        let other = files
            .told_to_the_shop(|job| job.environment("staging").run_for_token())
            .await;
        assert_eq!(other.detail, "environment_mismatch");
        let text = other.text;
        assert!(text.contains("`staging`, is none of them"), "{text}");

        let unprotected = files
            .told_to_the_shop(|job| {
                let job = job.environment("production").on_branch("feature");
                job.run_for_token()
            })
            .await;
        assert_eq!(unprotected.detail, "ref_not_protected");
        let text = unprotected.text;
        assert!(text.contains("`feature` is not protected"), "{text}");

        let either = files
            .told_to_the_shop(|job| {
                let job = job.environment("review/a").on_branch("feature");
                job.run_for_token()
            })
            .await;
        assert_eq!(either.detail, "environment_or_ref");

        // Of the group's entry a job of another project in it is told.
        let docs = files.caller(1, "group/docs", |job| {
            job.environment("production").run_for_token()
        });
        let of_the_group = told(&docs).await;
        assert_eq!(of_the_group.detail, "environment_mismatch");
        let text = of_the_group.text;
        assert!(text.contains("ci_access.groups[0]"), "{text}");
        assert!(!text.contains("review"), "{text}");
        files.stop().await;
    });
}

#[test]
fn job_without_a_grant_learns_nothing_of_the_agent_or_of_others() {
    scenario(async {
        let file = "{ci_access: {projects: [{id: group/shop, environments: [secret]}]}}";
        let files = Files::with("read_repository", Some(file)).await;
        files.until_handed_over(1).await;
        files.gitlab.world().project("group/docs");
        let granted_to_others =
            told(&files.caller(1, "group/docs", |job| job.run_for_token())).await;
        assert_eq!(granted_to_others.detail, "no_grant");
        let text = &granted_to_others.text;
        assert!(text.contains("covers the project group/docs"), "{text}");
        let nobodys = told(&files.caller(4711, "group/docs", |job| job.run_for_token())).await;
        assert_eq!(nobodys.detail, "not_listed");
        let of_any_agent = nobodys.text.replace("id 4711,", "id 1,");
        assert_eq!(granted_to_others.text, of_any_agent);
        files.stop().await;
    });
}

#[test]
fn gitlab_is_asked_once_where_a_job_is_and_not_about_one_that_gets_in() {
    scenario(async {
        let gitlab = prepared(gitlab()).await;
        let file = "{ci_access: {projects: [{id: group/shop, environments: [production]}]}}";
        commit(&gitlab, "main", Some(file));
        let keys = "source: api, every: 100ms";
        let files = Files::asking_every("10m", gitlab, keys, Some("read_repository")).await;
        files.until_handed_over(1).await;
        let asked = || files.gitlab.calls().to(Endpoint::Job);
        let lets_in = files.caller(1, "group/shop", |job| {
            job.environment("production").run_for_token()
        });
        let refused = lets_in.get("/api").await.refused();
        assert_eq!(refused.reason, "agent_never_connected");
        assert_eq!(asked(), 0);
        let kept_out = files.caller(1, "group/shop", |job| job.run_for_token());
        for _ in 0..3 {
            let told = kept_out.get("/api").await.refused();
            assert!(
                told.message.contains("has no `environment:`"),
                "{}",
                told.message
            );
        }
        assert_eq!(asked(), 1);
        let sample = "adit_relay_gitlab_calls_total{question=\"place\",outcome=\"yes\"}";
        assert_eq!(files.relay.metrics().await.value(sample), 1.0);
        files.stop().await;
    });
}

#[test]
fn cause_is_not_guessed_where_gitlab_does_not_say_where_the_job_is() {
    scenario(async {
        let files = Files::with("read_repository", Some(FILTERED)).await;
        files.until_handed_over(1).await;
        let faults = files.gitlab.faults();
        faults.set(Endpoint::Job, Fault::Status(500));
        let told = files.told_to_the_shop(|job| job.run_for_token()).await;
        assert_eq!(told.detail, "not_listed");
        let text = told.text;
        let plain = "ask for an entry in its ci_access, or look whether";
        assert!(
            text.contains(plain) && !text.contains("group/shop"),
            "{text}"
        );
        files.stop().await;
    });
}
