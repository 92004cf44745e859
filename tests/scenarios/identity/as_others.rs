//! Callers that have the agent's own rights may act as others, as `kubectl --as` does, up to the agent's ceiling.

use adit_tests::{World, caller::get, kube, relay, scenario};
use http::{HeaderName, HeaderValue};

use super::{OF_THE_AGENT, pairs};

const AS_THE_AGENT: &str =
    "ci_access:\n  projects:\n  - id: group/sub/app\n    access_as: { agent: {} }\n";

#[test]
fn caller_with_the_agents_rights_acts_as_whom_it_names() {
    scenario(async {
        let world = World::of(kube(), relay().with_agent("prod", AS_THE_AGENT)).await;
        let (user, uid) = (("impersonate-user", "jane"), ("impersonate-uid", "u-1"));
        let groups = [
            ("impersonate-group", "one"),
            ("impersonate-group", "two words"),
        ];
        let extra = ("impersonate-extra-example.com%2freason", "a, b");
        for named in [
            vec![user],
            vec![groups[0], groups[1], user],
            vec![uid, user],
            vec![extra, user],
            vec![extra, groups[0], groups[1], uid, user],
        ] {
            let (mut http1, http2) = (world.job.http1().await, world.job.http2().await);
            let request = || {
                let mut request = get("/api");
                for (name, value) in &named {
                    let name = HeaderName::from_static(name);
                    let value = HeaderValue::from_static(value);
                    request.headers_mut().append(name, value);
                }
                request
            };
            let expected = [&[OF_THE_AGENT][..], &named].concat();
            for answer in [http1.answer(request()).await, http2.answer(request()).await] {
                answer.echo();
                assert_eq!(world.kube.last().identity(), pairs(&expected));
            }
        }
        world.stop().await;
    });
}

#[test]
fn ceiling_holds_for_whom_a_caller_names() {
    scenario(async {
        let world = World::of(kube(), relay().with_agent("prod", AS_THE_AGENT)).await;
        for (name, value) in [
            ("impersonate-user", "system:admin"),
            ("impersonate-group", "system:masters"),
        ] {
            let mut request = get("/api");
            request
                .headers_mut()
                .insert("impersonate-user", HeaderValue::from_static("jane"));
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
            let answer = world.job.http2().await.answer(request).await;
            let refused = answer.refused();
            assert_eq!(refused.told(), (403, "beyond_ceiling", "agent", None));
            assert!(refused.message.contains(value), "{}", refused.message);
        }
        assert_eq!(world.kube.request_count(), 1);
        world.stop().await;
    });
}
