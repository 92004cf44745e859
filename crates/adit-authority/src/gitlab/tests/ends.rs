//! How a job's access ends: GitLab says no when it is asked again, says by itself that a job is over, or says something else.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_end_of_a_job_ends_what_runs_within_the_interval() {
    let world = World::new();
    // Held, as by a stream.
    let caller = world.running("token", 9001).await;
    sleep(10 * MINUTE).await;
    assert_eq!(world.cuts(), []);
    world.script.end("token");
    sleep(31 * SECOND).await;
    assert_eq!(world.cuts(), [(caller.owner(), None, Ended::Over)]);
    assert_eq!(caller.ended(), Some(Ended::Over));
    assert_eq!(
        world.job("token").await.unwrap_err(),
        GitLabError::NotAccepted
    );
    assert_eq!(
        counts(&world.stats().ended, Ended::as_str),
        [("over", 1)].into()
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_that_came_together_are_asked_about_apart() {
    let world = World::new();
    let mut held = Vec::new();
    for id in 1..=100 {
        held.push(world.running(&format!("token{id}"), id).await);
    }
    let began = world.script.calls();
    sleep(23 * SECOND).await;
    assert_eq!(world.script.calls(), began);
    let mut most = 0;
    for _ in 0..8 {
        let before = world.script.calls();
        sleep(SECOND).await;
        most = most.max(world.script.calls() - before);
    }
    assert_eq!(world.script.calls(), began + 100);
    assert!(most < 50, "{most} in one second");
}

#[tokio::test(start_paused = true)]
async fn a_token_in_use_costs_one_call_in_each_interval() {
    let world = World::new();
    let held = world.running("token", 9001).await;
    sleep(60 * MINUTE).await;
    // Its first, and two a minute.
    let calls = world.script.calls();
    assert!((120..=121).contains(&calls), "{calls}");
    // In trouble, too, as long as somebody asks at all.
    let nonsense = Instead::Answers(200, vec![], String::new());
    world.script.now(nonsense);
    sleep(10 * MINUTE).await;
    let calls = world.script.calls() - calls;
    assert!((19..=20).contains(&calls), "{calls}");
    assert_eq!(held.ended(), None);
}

#[tokio::test(start_paused = true)]
async fn tokens_stay_apart_however_long_they_are_used() {
    let world = World::new();
    let mut held = Vec::new();
    for id in 1..=100 {
        held.push(world.running(&format!("token{id}"), id).await);
    }
    sleep(60 * MINUTE).await;
    for _ in 0..30 {
        let before = world.script.calls();
        sleep(SECOND).await;
        let now = world.script.calls() - before;
        assert!(now < 50, "{now} in one second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_quiet_is_asked_about_seldom_and_forgotten_when_it_has_ended() {
    let world = World::new();
    drop(world.running("token", 9001).await);
    sleep(41 * MINUTE).await;
    // Its first, and one in four minutes.
    assert_eq!((world.script.calls(), world.stats().known), (11, 1));
    world.script.end("token");
    sleep(4 * MINUTE).await;
    let stats = world.stats();
    assert_eq!((stats.known, stats.known_bytes), (0, 0));
    sleep(20 * MINUTE).await;
    assert_eq!(world.script.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_are_quiet_do_not_hold_up_what_is_in_use() {
    let world = World::with(|config| {
        config.calls_per_second = 1;
        config.calls_at_once = 10;
    });
    for id in 1..=100 {
        drop(world.running(&format!("quiet{id}"), id).await);
    }
    let caller = world.running("token", 9001).await;
    world.script.now(Instead::Unreachable);
    sleep(10 * MINUTE).await;
    // All of them are due now, and one call is made in a second.
    world.script.well();
    sleep(MINUTE).await;
    world.script.end("token");
    sleep(31 * SECOND).await;
    assert_eq!(world.cuts(), [(caller.owner(), None, Ended::Over)]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_quiet_and_is_in_use_again_is_held_up_by_none_that_are_quiet() {
    let world = World::with(|config| {
        config.calls_per_second = 1;
        config.calls_at_once = 10;
    });
    for id in 1..=100 {
        drop(world.running(&format!("quiet{id}"), id).await);
    }
    world.script.now(Instead::Unreachable);
    sleep(10 * MINUTE).await;
    // One call is made in a second, and others wait for their turn.
    world.script.well();
    sleep(35 * SECOND).await;
    let mut held = Vec::new();
    for id in 41..=60 {
        let token = format!("quiet{id}");
        held.push(world.job(&token).await.unwrap());
        world.script.end(&token);
    }
    sleep(45 * SECOND).await;
    assert_eq!(world.cuts().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_gitlab_calls_over_is_over_at_once() {
    let world = World::new();
    let caller = world.running("token", 9001).await;
    let other = world.running("other", 9002).await;
    world.gitlab.job_is_over(JobId(9001));
    assert_eq!(world.cuts(), [(caller.owner(), None, Ended::Over)]);
    assert_eq!(caller.ended(), Some(Ended::Over));
    assert_eq!(other.ended(), None);
    // An answer from before its end is not believed.
    assert_eq!(world.job("token").await.unwrap_err(), GitLabError::Ended);
    assert_eq!(
        world.job("other").await.unwrap().job().unwrap().job,
        JobId(9002)
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_while_gitlab_is_asked_stays_ended() {
    let world = World::new();
    world.script.start("token", said(9001));
    *world.script.latency.lock() = SECOND;
    let asked = world.gitlab.job(Token::parse("token").unwrap(), HERE);
    let ends = async {
        sleep(SECOND / 2).await;
        world.gitlab.job_is_over(JobId(9001));
    };
    let (asked, ()) = within(async { tokio::join!(asked, ends) }).await;
    assert_eq!(asked.unwrap_err(), GitLabError::Ended);
    assert_eq!(world.stats().known, 0);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_taken_away_is_cut_and_others_go_on() {
    let world = World::new();
    let caller = world.running("token", 9001).await;
    let mut answer = said(9001);
    answer["allowed_agents"].as_array_mut().unwrap().remove(0);
    world.script.start("token", answer);
    sleep(32 * SECOND).await;
    assert_eq!(
        world.cuts(),
        [(caller.owner(), Some(vec![41]), Ended::Changed)]
    );
    assert_eq!(caller.ended(), Some(Ended::Changed));
    let now = world.job("token").await.unwrap();
    assert_eq!((now.owner(), now.ended()), (caller.owner(), None));
    let agents: Vec<_> = now.granted().unwrap().iter().map(|(id, _)| id).collect();
    assert_eq!(agents, [AgentId(42)]);
}

#[tokio::test(start_paused = true)]
async fn who_may_act_only_as_somebody_else_is_cut() {
    let world = World::new();
    let caller = world.running("token", 9001).await;
    let mut answer = said(9001);
    answer["allowed_agents"][1]["configuration"] = json!({ "access_as": { "ci_job": {} } });
    world.script.start("token", answer);
    sleep(32 * SECOND).await;
    assert_eq!(
        world.cuts(),
        [(caller.owner(), Some(vec![42]), Ended::Changed)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_agent_cuts_nobody() {
    let world = World::new();
    let caller = world.running("token", 9001).await;
    let mut answer = said(9001);
    let agents = answer["allowed_agents"].as_array_mut().unwrap();
    agents.push(json!({ "id": 43, "config_project": { "id": 8 } }));
    world.script.start("token", answer);
    sleep(32 * SECOND).await;
    assert_eq!(world.cuts(), []);
    assert_eq!(caller.ended(), Some(Ended::Changed));
    let now = world.job("token").await.unwrap();
    assert!(now.granted().unwrap().agent(AgentId(43)).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_environment_that_is_stored_late_cuts_nobody_and_one_that_is_gone_does() {
    let world = World::new();
    let mut without = said(9001);
    without.as_object_mut().unwrap().remove("environment");
    world.script.start("token", without.clone());
    let first = world.job("token").await.unwrap();
    world.script.start("token", said(9001));
    sleep(32 * SECOND).await;
    assert_eq!(world.cuts(), []);
    let second = world.job("token").await.unwrap();
    assert!(second.job().unwrap().environment.is_some());
    world.script.start("token", without);
    sleep(32 * SECOND).await;
    // Agent 42 is used as the agent itself.
    let cut = (first.owner(), Some(vec![41]), Ended::Changed);
    assert_eq!(world.cuts(), [cut]);
}

#[tokio::test(start_paused = true)]
async fn what_runs_by_an_old_answer_is_still_asked_about() {
    let world = World::new();
    // Only this one is held: the caller of the old answer.
    let caller = world.running("token", 9001).await;
    let mut answer = said(9001);
    answer["allowed_agents"].as_array_mut().unwrap().remove(0);
    world.script.start("token", answer);
    sleep(MINUTE).await;
    world.script.end("token");
    sleep(MINUTE).await;
    assert_eq!(
        world.cuts().last(),
        Some(&(caller.owner(), None, Ended::Over))
    );
}
