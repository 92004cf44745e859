//! The file that a relay runs by: read again when it changes and when somebody asks for it, and refused when it is wrong.

use std::{fs, time::Duration};

use adit_tests::pass;

use super::*;

const REPLACED: &str = "adit_relay_config_reloads_total{outcome=\"replaced\"}";
const FAILED: &str = "adit_relay_config_reloads_total{outcome=\"failed\"}";

#[test]
fn file_that_is_wrong_changes_nothing_and_is_told_until_it_is_mended() {
    scenario(async {
        let mut world = world().await;
        let file = world.relay.run_by_file();
        let right = fs::read_to_string(&file).unwrap();
        let http2 = world.job.http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();

        let wrong = [
            ("limits: { streams_per_job: 0 }\n", "limits.streams_per_job"),
            ("no_such_section: {}\n", "no_such_section"),
            ("agents: [\n", "line"),
        ];
        for (failures, (text, expected)) in (1..).zip(wrong) {
            fs::write(&file, text).unwrap();
            world.relay.reread();
            let is_so = |count: f64| count >= f64::from(failures);
            world.relay.until_metric(FAILED, is_so).await;
            let problems = problems(&world.relay).await.join("\n");
            assert!(problems.contains(expected), "{problems}");
            http2.get("/api").await.echo();
        }
        assert!(logs().contains("configuration not replaced, the old one stays"));
        fs::remove_file(&file).unwrap();
        world.relay.reread();
        let failures = world.relay.metrics().await.value(FAILED);
        world
            .relay
            .until_metric(FAILED, |count| count > failures)
            .await;
        world.kube.event("still here");
        assert_eq!(next_piece(&mut watch).await, "still here\n");

        // As it was: there is nothing to take, and nothing is wrong any more.
        fs::write(&file, &right).unwrap();
        world.relay.reread();
        until_no_problem(&world.relay).await;
        assert!(logs().contains("configuration can be used again, and is as it was"));
        assert_eq!(world.relay.metrics().await.value(REPLACED), 0.0);
        drop((watch, http2));
        world.stop().await;
    });
}

async fn until_no_problem(relay: &TestRelay) {
    within("nothing to be wrong", async {
        while !problems(relay).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[test]
fn file_that_changes_is_taken_by_itself() {
    scenario(async {
        let mut world = world().await;
        let file = world.relay.run_by_file();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}limits: {{ streams_per_job: 1 }}\n")).unwrap();
        pass(Duration::from_secs(20)).await;
        world
            .relay
            .until_metric(REPLACED, |count| count == 1.0)
            .await;
        assert!(logs().contains("configuration replaced"));
        let http2 = world.job.http2().await;
        let watch = http2.send(get("/watch")).await.unwrap();
        let refused = http2.get("/api").await.refused();
        assert_eq!(refused.reason, "job_streams");
        drop((watch, http2));
        world.stop().await;
    });
}

#[test]
fn certificate_is_read_again_with_the_rest_when_asked() {
    scenario(async {
        let world = world().await;
        world.relay.renew_certificate();
        world.relay.reread();
        let replaced = "adit_tls_certificate_reloads_total{port=\"public\",outcome=\"replaced\"}";
        world
            .relay
            .until_metric(replaced, |count| count == 1.0)
            .await;
        world.job.get("/api").await.echo();
        world.stop().await;
    });
}

#[test]
fn file_of_an_agent_is_taken_if_it_is_right() {
    scenario(async {
        let mut world = world().await;
        let file = world.agent.run_by_file();
        let right = fs::read_to_string(&file).unwrap();
        for (text, outcome) in [
            ("ceiling: { users: ['*:x'] }\n".to_owned(), "failed"),
            (format!("{right}ceiling: {{ users: [] }}\n"), "replaced"),
        ] {
            fs::write(&file, text).unwrap();
            world.agent.reread();
            let reloads = "adit_agent_config_reloads_total{outcome=\"";
            let reloads = format!("{reloads}{outcome}\"}}");
            world
                .agent
                .until_metric(&reloads, |count| count >= 1.0)
                .await;
            let is_covered = world.job.get("/api").await.status == StatusCode::OK;
            assert_eq!(is_covered, outcome == "failed");
        }
        assert!(logs().contains("ceiling.users[0]"));
        world.stop().await;
    });
}
