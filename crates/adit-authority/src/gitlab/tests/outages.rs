//! GitLab in trouble.

use super::*;

/// How a token is refused while GitLab is in trouble.
async fn trouble(world: &World, token: &str) -> (Trouble, Duration) {
    match world.job(token).await {
        Err(GitLabError::Unavailable { why, retry_after }) => (why, retry_after),
        other => panic!("{other:?}"),
    }
}

fn kinds() -> [(Instead, Trouble); 7] {
    let answers = |status| Instead::Answers(status, vec![], "<html>".into());
    [
        (Instead::Unreachable, Trouble::Unreachable),
        (Instead::Hangs, Trouble::TimedOut),
        (Instead::SendsTooMuch, Trouble::TooLong),
        (answers(500), Trouble::ServerError),
        (answers(503), Trouble::ServerError),
        (answers(302), Trouble::UnexpectedStatus),
        (answers(429), Trouble::RateLimited),
    ]
}

#[tokio::test(start_paused = true)]
async fn trouble_of_any_kind_is_not_a_no() {
    for (instead, why) in kinds() {
        let world = World::new();
        let caller = world.running("token", 9001).await;
        world.script.now(instead);
        sleep(5 * MINUTE).await;
        world.job("token").await.unwrap();
        assert_eq!((caller.ended(), world.cuts()), (None, vec![]), "{why:?}");
        let calls = counts(&world.stats().calls, Outcome::as_str);
        let names: Vec<_> = calls.keys().copied().collect();
        assert_eq!((calls["yes"], names.len()), (1, 2), "{names:?}");
        // A new one is told the truth.
        let world = World::new();
        world.script.now(
            kinds()
                .into_iter()
                .find(|(_, kind)| *kind == why)
                .unwrap()
                .0,
        );
        assert_eq!(trouble(&world, "new").await.0, why);
    }
}

#[tokio::test(start_paused = true)]
async fn fifteen_minutes_without_gitlab_refuse_no_request_of_a_known_job() {
    let world = World::new();
    let mut held = Vec::new();
    for id in 0..50 {
        held.push(world.running(&format!("token{id}"), id + 1).await);
    }
    // Half of them keep something running, the others come back now and then.
    held.truncate(25);
    sleep(20 * SECOND).await;
    world.script.now(Instead::Unreachable);
    let before = world.script.calls();
    for _ in 0..15 * 60 {
        for id in 0..50 {
            let began = Instant::now();
            world.job(&format!("token{id}")).await.unwrap();
            assert!(began.elapsed() <= SECOND);
        }
        sleep(SECOND).await;
    }
    assert_eq!(world.cuts(), []);
    // A few before the breaker opens, then one in 15 to 30 seconds.
    let during = world.script.calls() - before;
    assert!((20..=100).contains(&during), "{during}");
    // Whoever comes when the breaker's time is over is the one who asks.
    let (why, _) = trouble(&world, "new").await;
    assert!(
        matches!(why, Trouble::LeftAlone | Trouble::Unreachable),
        "{why:?}"
    );

    world.script.well();
    world.script.start("new", said(9001));
    sleep(31 * SECOND).await;
    world.job("new").await.unwrap();
    assert_eq!(world.gitlab.breaker(), BreakerState::Closed);
    world.job("token7").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_gitlab_that_hangs_delays_known_jobs_by_a_second_at_most() {
    let world = World::new();
    world.running("token", 9001).await;
    sleep(MINUTE).await;
    world.script.now(Instead::Hangs);
    let began = Instant::now();
    for _ in 0..3 {
        world.job("token").await.unwrap();
    }
    assert!(began.elapsed() <= 3 * SECOND, "{:?}", began.elapsed());
    // New ones are told after the timeout.
    let began = Instant::now();
    assert_eq!(trouble(&world, "new").await.0, Trouble::TimedOut);
    assert!(began.elapsed() <= 6 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn in_the_end_nobody_is_known_without_gitlab() {
    let world = World::new();
    let caller = world.running("token", 9001).await;
    world.script.now(Instead::Unreachable);
    sleep(19 * MINUTE).await;
    world.job("token").await.unwrap();
    assert_eq!(world.cuts(), []);
    sleep(2 * MINUTE).await;
    assert_eq!(world.cuts(), [(caller.owner(), None, Ended::Unproved)]);
    assert_eq!(caller.ended(), Some(Ended::Unproved));
    assert!(matches!(
        world.job("token").await,
        Err(GitLabError::Unavailable { .. })
    ));
    assert_eq!(world.stats().known, 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_quiet_for_long_before_an_outage_is_known_through_it() {
    for quiet in [7 * MINUTE, 19 * MINUTE, 3 * 60 * MINUTE + 13 * SECOND] {
        let world = World::new();
        drop(world.running("token", 9001).await);
        sleep(quiet).await;
        world.script.now(Instead::Hangs);
        sleep(15 * MINUTE).await;
        world.job("token").await.unwrap();
        // Nor is it trusted for ever.
        sleep(6 * MINUTE).await;
        assert!(world.job("token").await.is_err(), "{quiet:?}");
        assert_eq!(world.stats().known, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_in_the_middle_of_trouble_is_a_no() {
    let world = World::new();
    let caller = world.running("token", 9001).await;
    world
        .script
        .now(Instead::Answers(500, vec![], String::new()));
    sleep(5 * MINUTE).await;
    world.script.end("token");
    world.script.well();
    sleep(MINUTE).await;
    assert_eq!(world.cuts(), [(caller.owner(), None, Ended::Over)]);
}

#[tokio::test(start_paused = true)]
async fn nonsense_about_a_known_job_is_trouble() {
    let world = World::new();
    let caller = world.running("token", 9001).await;
    let half = said(9001).to_string();
    let half = half[..half.len() / 2].to_owned();
    for body in [String::new(), "<html>".into(), "[]".into(), half] {
        world.script.now(Instead::Answers(200, vec![], body));
        sleep(MINUTE).await;
        world.job("token").await.unwrap();
    }
    assert_eq!((caller.ended(), world.cuts()), (None, vec![]));
    assert!(matches!(
        world.job("new").await,
        Err(GitLabError::BadAnswer("body"))
    ));
}

#[tokio::test(start_paused = true)]
async fn gitlab_is_left_alone_for_as_long_as_it_asks() {
    for status in [429, 503] {
        let world = World::new();
        world.running("token", 9001).await;
        let asks = vec![("retry-after", "120".to_owned())];
        world
            .script
            .now(Instead::Answers(status, asks, String::new()));
        let (_, retry_after) = trouble(&world, "new").await;
        assert_eq!(retry_after.as_secs(), 120, "{status}");
        let calls = world.script.calls();
        world.script.well();
        world.script.start("new", said(9002));
        sleep(119 * SECOND).await;
        assert_eq!(trouble(&world, "new").await, (Trouble::LeftAlone, SECOND));
        world.job("token").await.unwrap();
        assert_eq!(world.script.calls(), calls, "{status}");
        sleep(SECOND).await;
        world.job("new").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_one_user_holds_up_no_other() {
    let world = World::new();
    let limit = vec![
        ("retry-after", "300".to_owned()),
        ("ratelimit-name", "throttle_authenticated_api".to_owned()),
    ];
    world
        .script
        .now(Instead::Answers(429, limit, String::new()));
    for _ in 0..20 {
        let (why, _) = trouble(&world, "greedy").await;
        assert_eq!(why, Trouble::RateLimited);
    }
    assert_eq!(world.script.calls(), 1);
    world.script.well();
    world.running("token", 9001).await;
    world.script.start("greedy", said(9002));
    sleep(299 * SECOND).await;
    assert_eq!(trouble(&world, "greedy").await.0, Trouble::RateLimited);
    sleep(2 * SECOND).await;
    world.job("greedy").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_of_a_limit_is_a_good_one() {
    let world = World::new();
    let reset = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        + 2 * MINUTE;
    let last = vec![
        ("ratelimit-remaining", "0".to_owned()),
        ("ratelimit-reset", reset.as_secs().to_string()),
    ];
    world
        .script
        .now(Instead::Answers(200, last, said(9001).to_string()));
    world.job("token").await.unwrap();
    let (why, retry_after) = trouble(&world, "new").await;
    assert_eq!(why, Trouble::LeftAlone);
    assert!(
        (90..=120).contains(&retry_after.as_secs()),
        "{retry_after:?}"
    );
}
