//! Invented tokens, and more jobs than there is room for.

use super::*;

/// So many strangers, each at an address of its own, who show a token that they invented.
fn invented(world: &World, count: u32) -> JoinSet<GitLabError> {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let gitlab = Arc::clone(&world.gitlab);
        tasks.spawn(async move {
            let from = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
            let token = format!("invented-{number}");
            gitlab
                .job(Token::parse(&token).unwrap(), from)
                .await
                .unwrap_err()
        });
    }
    tasks
}

#[tokio::test(start_paused = true)]
async fn invented_tokens_cost_gitlab_little_and_hurt_no_job() {
    let world = World::new();
    let known = world.running("known", 9001).await;
    *world.script.latency.lock() = Duration::from_millis(50);
    world.script.start("young", said(9002));
    let elsewhere = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    let mut tasks = JoinSet::new();
    let before = world.script.calls();
    let mut bytes = 0;
    // 100,000 in a minute.
    for number in 0..100_000 {
        let gitlab = Arc::clone(&world.gitlab);
        tasks.spawn(async move {
            let token = format!("invented-{number}");
            gitlab
                .job(Token::parse(&token).unwrap(), HERE)
                .await
                .unwrap_err()
        });
        if number % 1000 == 999 {
            sleep(Duration::from_millis(600)).await;
            world.job("known").await.unwrap();
            bytes = bytes.max(world.stats().known_bytes);
        }
        if number == 50_000 {
            // One that is new, and real.
            let began = Instant::now();
            world.job_from("young", elsewhere).await.unwrap();
            assert!(began.elapsed() < SECOND);
        }
    }
    let refused = within(tasks.join_all()).await;
    let few = refused
        .iter()
        .filter(|error| **error == GitLabError::NotAccepted)
        .count();
    let calls = world.script.calls() - before;
    // A hundred at once from one address, and ten a second.
    assert!((600..=750).contains(&calls), "{calls}");
    assert!(few <= calls, "{few}");
    assert!(bytes < 100_000, "{bytes}");
    assert_eq!(known.ended(), None);
    assert!(world.stats().known <= 2);
}

#[tokio::test(start_paused = true)]
async fn from_many_addresses_they_cost_no_more_than_the_pace() {
    let world = World::with(|config| {
        config.calls_per_second = 10;
        config.calls_at_once = 20;
    });
    let known = world.running("known", 9001).await;
    let tasks = invented(&world, 10_000);
    let began = Instant::now();
    within(tasks.join_all()).await;
    let took = began.elapsed();
    assert!(took <= 11 * SECOND, "{took:?}");
    sleep(MINUTE).await;
    let calls = world.script.calls();
    assert!(calls <= 20 + 10 * 12, "{calls}");
    // The known job was asked about in time all the same.
    assert_eq!((known.ended(), world.stats().overdue), (None, 0));
    world.job("known").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_brings_bad_tokens_keeps_no_new_job_from_elsewhere_waiting() {
    let world = World::new();
    // So long that hundreds of tokens wait before anybody is doubted.
    *world.script.latency.lock() = SECOND / 2;
    let elsewhere = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    let mut tasks = JoinSet::new();
    let (mut invented, before) = (0_u32, world.script.calls());
    for tenth in 1..=200 {
        // Each of 200 addresses stays below what one may bring.
        for _ in 0..160 {
            let gitlab = Arc::clone(&world.gitlab);
            let from = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + invented % 200));
            let token = format!("invented-{invented}");
            tasks.spawn(async move {
                let refused = gitlab.job(Token::parse(&token).unwrap(), from).await;
                refused.unwrap_err()
            });
            invented += 1;
        }
        if tenth % 50 == 0 {
            let (token, began) = (format!("young{tenth}"), Instant::now());
            world.script.start(&token, said(tenth));
            world.job_from(&token, elsewhere).await.unwrap();
            assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
        }
        sleep(SECOND / 10).await;
    }
    within(tasks.join_all()).await;
    // All that may go out at once, and 50 a second.
    let calls = world.script.calls() - before;
    assert!(calls <= 250 + 35 * 50, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn callers_who_have_left_cost_no_turn() {
    let world = World::with(|config| {
        config.calls_per_second = 10;
        config.calls_at_once = 1;
    });
    let mut tasks = JoinSet::new();
    for number in 0..500_u32 {
        let gitlab = Arc::clone(&world.gitlab);
        tasks.spawn(async move {
            let from = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number));
            let token = format!("invented-{number}");
            gitlab.job(Token::parse(&token).unwrap(), from).await
        });
    }
    sleep(SECOND).await;
    tasks.shutdown().await;
    let began = Instant::now();
    world.running("token", 9001).await;
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn room_is_made_by_those_that_nobody_uses() {
    let world = World::with(|config| config.max_tokens = 10);
    let held = world.running("held", 9001).await;
    for id in 1..=50 {
        world.running(&format!("token{id}"), id).await;
    }
    assert_eq!(world.stats().known, 10);
    let calls = world.script.calls();
    assert_eq!(world.job("held").await.unwrap().owner(), held.owner());
    assert_eq!(world.script.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_is_not_dropped_for_more() {
    let world = World::with(|config| config.max_tokens = 3);
    let mut held = Vec::new();
    for id in 1..=3 {
        held.push(world.running(&format!("token{id}"), id).await);
    }
    world.script.start("more", said(9001));
    assert_eq!(world.job("more").await.unwrap_err(), GitLabError::Busy);
    held.pop();
    world.job("more").await.unwrap();
    assert!(held.iter().all(|caller| caller.ended().is_none()));
}

#[tokio::test(start_paused = true)]
async fn strangers_push_no_job_out_that_gitlab_has_vouched_for() {
    let world = World::with(|config| config.max_tokens = 10);
    for id in 1..=10 {
        world.running(&format!("quiet{id}"), id).await;
    }
    // All of them wait for GitLab at once.
    *world.script.latency.lock() = SECOND;
    let tasks = invented(&world, 1000);
    within(tasks.join_all()).await;
    world.script.now(Instead::Unreachable);
    sleep(15 * MINUTE).await;
    for id in 1..=10 {
        world.job(&format!("quiet{id}")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_too() {
    let world = World::with(|config| config.max_memory = 100_000);
    for number in 0..50 {
        let token = format!("token{number}");
        world.script.start(&token, large(9001, 20_000));
        world.job(&token).await.unwrap();
        assert!(world.stats().known_bytes <= 100_000);
    }
    assert_eq!(world.stats().known, 4);
    world.script.start("larger", large(9001, 100_000));
    assert_eq!(world.job("larger").await.unwrap_err(), GitLabError::Busy);
    // What there is no room for pushes nobody out.
    assert_eq!(world.stats().known, 4);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_gitlab_cannot_read_hold_up_nobody_else() {
    let world = World::new();
    for status in [400, 413, 431] {
        let refusing = Instead::Answers(status, Vec::new(), String::new());
        world.script.now(refusing);
        for count in 0..10 {
            let refused = world.job(&format!("odd-{status}-{count}")).await;
            let Err(GitLabError::Unavailable { why, .. }) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(why, Trouble::NotUnderstood);
        }
        assert_eq!(world.gitlab.breaker(), BreakerState::Closed);
        let asked = world.script.calls();
        world.job(&format!("odd-{status}-0")).await.unwrap_err();
        assert_eq!(world.script.calls(), asked, "it is remembered");
    }
    world.script.well();
    world.running("token", 9001).await;
}

/// What GitLab says of a job, in so many bytes and more.
fn large(id: u64, bytes: usize) -> Value {
    let mut large = said(id);
    large["padding"] = json!("x".repeat(bytes));
    large
}

/// A relay with room for four answers of 20,000 bytes, and four jobs that run.
async fn full() -> (World, Vec<Caller>) {
    let world = World::with(|config| config.max_memory = 90_000);
    let mut held = Vec::new();
    for id in 1..=4 {
        let token = format!("token{id}");
        world.script.start(&token, large(id, 20_000));
        held.push(world.job(&token).await.unwrap());
    }
    (world, held)
}

#[tokio::test(start_paused = true)]
async fn what_gitlab_says_again_needs_no_room_again() {
    let (world, held) = full().await;
    sleep(5 * MINUTE).await;
    let stats = world.stats();
    assert_eq!((stats.known, stats.overdue), (4, 0));
    assert!(stats.known_bytes <= 90_000);
    world.script.end("token1");
    sleep(31 * SECOND).await;
    assert_eq!(world.cuts(), [(held[0].owner(), None, Ended::Over)]);
}

#[tokio::test(start_paused = true)]
async fn a_job_about_which_there_is_more_to_say_than_room_is_cut() {
    let (world, held) = full().await;
    let mut more = large(1, 40_000);
    more["allowed_agents"][1]["id"] = json!(43);
    world.script.start("token1", more);
    sleep(31 * SECOND).await;
    // Else nobody would ask about what it runs any more.
    assert_eq!(world.cuts(), [(held[0].owner(), None, Ended::Changed)]);
    assert_eq!(world.stats().known, 3);
    assert!(world.stats().known_bytes <= 90_000);
    assert_eq!(world.job("token1").await.unwrap_err(), GitLabError::Busy);
    // Until there is.
    drop(held);
    world.job("token1").await.unwrap();
}
