//! Which job may use which agent, end to end; what is not allowed is refused.

use adit_identity::{Environment, JobIdentity, Namespace, Project, ProjectId, Tier};
use adit_tests::{World, job, kube, relay, scenario};
use serde_json::json;

/// Of everything here.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const ACCESS: &str = "ci_access:
  projects:
  - id: group/sub/app
    environments: [prod, review/*]
    protected_branches_only: true
  - id: other/tool
    default_namespace: tools
  groups:
  - id: group/allowed
";

fn of(path: &str, id: u64) -> JobIdentity {
    let namespace = path.rsplit_once('/').unwrap().0;
    JobIdentity {
        project: Project {
            id: ProjectId(id),
            path: Some(path.parse().unwrap()),
        },
        namespace: job(1).namespace.map(|group| Namespace {
            path: namespace.parse().unwrap(),
            ..group
        }),
        ..job(1)
    }
}

fn on(environment: Option<&str>, is_protected: bool) -> JobIdentity {
    let mut job = job(1);
    job.environment =
        environment.map(|name| Environment::named(name, Tier::Production, false).unwrap());
    job.git_ref.as_mut().unwrap().protected = is_protected;
    job
}

#[test]
fn only_jobs_that_a_grant_covers_get_in() {
    scenario(async {
        let world = World::of(kube(), relay().with_agent("prod", ACCESS)).await;
        let cases = [
            (on(Some("prod"), true), true),
            (on(Some("review/1"), true), true),
            (on(Some("review"), true), false),
            (on(Some("production"), true), false),
            (on(Some("prod"), false), false),
            (on(None, true), false),
            (of("other/tool", 7), true),
            (of("Other/Tool", 7), true),
            (of("other/tool2", 8), false),
            (of("other/tool/deep", 8), false),
            (of("group/allowed/x", 9), true),
            (of("group/allowed/deep/er/x", 9), true),
            (of("group/allowed2/x", 9), false),
            (of("group/x", 9), false),
            (of("x/group/allowed/x", 9), false),
        ];
        for (job, may) in cases {
            let before = world.kube.request_count();
            let answer = world.relay.caller(&job, "prod").get("/api").await;
            let what = format!("{:?} {:?}", job.project.path, job.environment);
            if may {
                assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            } else {
                assert_eq!(answer.refused().reason, "not_permitted", "{what}");
                assert_eq!(world.kube.request_count(), before);
            }
        }
        world.stop().await;
    });
}

#[test]
fn job_is_told_what_it_may_reach_and_nothing_else() {
    scenario(async {
        let world = World::of(kube(), relay().with_agent("prod", ACCESS)).await;
        let list = async |job: &JobIdentity| {
            let token = world.relay.issuer().token(job);
            let answer = world
                .relay
                .showing(&format!("Bearer {token}"))
                .under("")
                .get("/adit/v1/agents")
                .await;
            assert_eq!(answer.status, 200);
            answer.json()
        };
        assert_eq!(
            list(&of("other/tool", 7)).await,
            json!({ "version": VERSION, "agents": [
                { "context": "group/sub/app:prod", "default_namespace": "tools", "id": 1, "versions": [VERSION] },
            ] })
        );
        let none = json!({ "version": VERSION, "agents": [] });
        assert_eq!(list(&of("stranger/x", 8)).await, none);
        let own = list(&on(Some("prod"), true)).await.to_string();
        assert!(
            own.contains("group/sub/app:prod")
                && own.contains("group/sub/app:staging")
                && !own.contains("other/project"),
            "{own}"
        );
        world.stop().await;
    });
}
