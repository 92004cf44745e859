//! What a token gives, and how often GitLab is asked.

use super::*;

#[tokio::test(start_paused = true)]
async fn gitlab_is_asked_with_the_jobs_token_and_nothing_else() {
    let world = World::new();
    let caller = world.running("glcbt-64_abc", 9001).await;
    let request = world.script.last.lock().take().unwrap();
    assert_eq!(request.method(), "GET");
    assert_eq!(request.uri(), "/api/v4/job/allowed_agents");
    let fields: Vec<_> = request
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    assert_eq!(fields, ["accept", "job-token"]);
    let token = &request.headers()["job-token"];
    assert_eq!(token, "glcbt-64_abc");
    assert!(token.is_sensitive());

    let job = caller.job().unwrap();
    assert_eq!(&*job.issuer, URL);
    assert_eq!(
        (job.job.0, job.pipeline.0, job.project.id.0),
        (9001, 880, 150)
    );
    assert_eq!(
        job.groups.iter().map(|group| group.0).collect::<Vec<_>>(),
        [23, 25]
    );
    assert_eq!((job.user.id.0, &*job.user.login), (12, "dev1"));
    let environment = job.environment.as_ref().unwrap();
    assert_eq!(
        (environment.slug(), environment.tier().as_str()),
        ("prod", "production")
    );
    assert_eq!(
        (&job.project.path, &job.git_ref, &job.namespace),
        (&None, &None, &None)
    );
    assert_eq!(caller.expires_at(), None);
}

#[tokio::test(start_paused = true)]
async fn every_form_of_token_works() {
    let world = World::new();
    let forms = [
        "64_abcDEF",
        "glcbt-1a_abc",
        "glcbt-eyJh.eyJz.c2ln",
        "acme-glcbt-eyJh.eyJz.c2ln",
        "eyJh.eyJz.c2ln",
    ];
    for (token, id) in forms.into_iter().zip(1..) {
        assert_eq!(world.running(token, id).await.job().unwrap().job, JobId(id));
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_show_a_token_at_once_wait_for_one_call() {
    let world = World::new();
    world.script.start("token", said(9001));
    *world.script.latency.lock() = SECOND;
    let mut tasks = JoinSet::new();
    for _ in 0..500 {
        let gitlab = Arc::clone(&world.gitlab);
        tasks.spawn(async move { gitlab.job(Token::parse("token").unwrap(), HERE).await });
    }
    // The first of them leaves: the others are not hurt by it.
    let first = world.gitlab.job(Token::parse("token").unwrap(), HERE);
    assert!(timeout(SECOND / 2, first).await.is_err());
    let callers = within(tasks.join_all()).await;
    let owners: std::collections::BTreeSet<_> = callers
        .iter()
        .map(|caller| caller.as_ref().unwrap().owner())
        .collect();
    assert_eq!(
        (owners.len(), callers.len(), world.script.calls()),
        (1, 500, 1)
    );
    let lookups = counts(&world.stats().lookups, Lookup::as_str);
    assert_eq!(lookups, [("asked", 1), ("joined", 500)].into());
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_for_those_who_stay() {
    let world = World::new();
    world.script.start("token", said(9001));
    *world.script.latency.lock() = SECOND;
    let token = Token::parse("token").unwrap();
    // Whoever caused the call leaves at once.
    assert!(
        timeout(Duration::from_millis(1), world.gitlab.job(token, HERE))
            .await
            .is_err()
    );
    world.job("token").await.unwrap();
    assert_eq!(world.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_known_token_is_asked_about_every_half_minute_at_most() {
    let world = World::new();
    world.running("token", 9001).await;
    for _ in 0..600 {
        world.job("token").await.unwrap();
        sleep(SECOND).await;
    }
    // 24 to 30 seconds between two calls.
    assert!(
        (20..=26).contains(&world.script.calls()),
        "{}",
        world.script.calls()
    );
}

#[tokio::test(start_paused = true)]
async fn who_shows_a_token_twice_is_the_same_caller() {
    let world = World::new();
    let first = world.running("token", 9001).await;
    sleep(MINUTE).await;
    let second = world.job("token").await.unwrap();
    assert!(Arc::ptr_eq(first.job().unwrap(), second.job().unwrap()));
    assert_eq!(first.ended(), None);
    let other = world.running("other", 9002).await;
    assert_ne!(first.owner(), other.owner());
}

#[tokio::test(start_paused = true)]
async fn what_gitlab_refuses_is_refused_for_a_while_without_asking() {
    let cases = [
        (401, GitLabError::NotAccepted),
        (403, GitLabError::Forbidden),
        (404, GitLabError::OtherKind),
    ];
    for (status, error) in cases {
        let world = World::new();
        world
            .script
            .now(Instead::Answers(status, vec![], "{}".into()));
        for _ in 0..5 {
            assert_eq!(world.job("token").await.unwrap_err(), error);
            sleep(SECOND).await;
        }
        assert_eq!(world.script.calls(), 1);
        sleep(6 * SECOND).await;
        world.script.well();
        world.running("token", 9001).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_believed_lets_nobody_in() {
    let world = World::new();
    let mut answer = said(9001);
    answer["job"] = json!(null);
    world.script.start("token", answer);
    let refused = world.job("token").await.unwrap_err();
    assert_eq!(refused, GitLabError::BadAnswer("job"));
    assert_eq!(world.job("token").await.unwrap_err(), refused);
    assert_eq!(world.script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agents_token_of_adits_is_shown_to_nobody() {
    use secrecy::ExposeSecret as _;
    let world = World::new();
    let token = crate::token::new();
    let refused = world.job(token.expose_secret()).await.unwrap_err();
    assert_eq!(refused, GitLabError::AgentToken);
    assert_eq!(world.script.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_printed_holds_a_token() {
    let world = World::new();
    let caller = world.running("s3cret-token", 9001).await;
    let refused = world.job("an0ther-token").await.unwrap_err();
    let printed = format!(
        "{:?} {caller:?} {refused:?} {refused} {:?}",
        world.gitlab,
        world.stats()
    );
    assert!(
        !printed.contains("s3cret") && !printed.contains("an0ther"),
        "{printed}"
    );
}
