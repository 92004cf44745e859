use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A Gitaly that answers, or does as it is told.
#[derive(Debug, Default)]
struct Script {
    calls: AtomicUsize,
    instead: Mutex<Option<Instead>>,
    paths: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug)]
enum Instead {
    Unreachable,
    Denies,
    Hangs,
}

impl Script {
    fn answer<T: Send + 'static>(&self, answer: T) -> GitalyAnswer<'_, T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let instead = *self.instead.lock();
        Box::pin(async move {
            match instead {
                Some(Instead::Unreachable) => Err(GitalyError::Unreachable("gone".into())),
                Some(Instead::Denies) => Err(GitalyError::Denied("permission denied".into())),
                Some(Instead::Hangs) => std::future::pending().await,
                None => Ok(answer),
            }
        })
    }
}

impl AskGitaly for Script {
    fn head<'a>(&'a self, _: &'a Repository, _: HeaderMap) -> GitalyAnswer<'a, Option<CommitId>> {
        self.answer(None)
    }

    fn file<'a>(
        &'a self,
        _: &'a Repository,
        _: HeaderMap,
        _: &'a CommitId,
        _: &'a str,
    ) -> GitalyAnswer<'a, Option<Bytes>> {
        self.answer(None)
    }

    fn files_below<'a>(
        &'a self,
        _: &'a Repository,
        _: HeaderMap,
        _: &'a str,
        folder: &'a str,
    ) -> GitalyAnswer<'a, Vec<Box<str>>> {
        assert_eq!(folder, ".gitlab/agents");
        self.answer(self.paths.iter().copied().map(Into::into).collect())
    }
}

fn start(script: Script) -> (Gitaly, Arc<Script>) {
    let script = Arc::new(script);
    let transport: Arc<dyn AskGitaly> = Arc::clone(&script) as _;
    (Gitaly::new(GitalyConfig::default(), transport), script)
}

fn repository(server: &str) -> Repository {
    Repository {
        storage_name: "default".to_owned(),
        relative_path: "@hashed/a.git".to_owned(),
        git_object_directory: String::new(),
        git_alternate_object_directories: Vec::new(),
        gl_repository: "project-7".to_owned(),
        gl_project_path: "group/app".to_owned(),
        server: Arc::new(Server::new(server, &"secret".into(), []).unwrap()),
    }
}

fn count(counted: &[(GitalyOutcome, u64)], outcome: GitalyOutcome) -> u64 {
    let counted: HashMap<_, _> = counted
        .iter()
        .map(|(outcome, count)| (outcome.as_str(), *count))
        .collect();
    counted[outcome.as_str()]
}

#[tokio::test(start_paused = true)]
async fn one_server_is_asked_no_more_often_than_it_may_and_all_no_more_than_all_may() {
    let (gitaly, script) = start(Script::default());
    let [one, two, three] = ["tcp://one:1", "tcp://two:2", "tcp://three:3"].map(repository);
    let begun = Instant::now();
    for _ in 0..40 {
        gitaly.head(&one).await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // The forty-first waits for a fifteenth of a second; the other server has thirty left of the seventy.
    for _ in 0..29 {
        gitaly.head(&two).await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    for _ in 0..15 {
        gitaly.head(&one).await.unwrap();
    }
    assert!(begun.elapsed().abs_diff(SECOND) < SECOND / 20);
    // 30 in a second have come back since, of which 15 are gone.
    let begun = Instant::now();
    for _ in 0..31 {
        gitaly.head(&three).await.unwrap();
    }
    assert!(begun.elapsed() > SECOND / 3, "{:?}", begun.elapsed());
    assert_eq!(script.calls.load(Ordering::Relaxed), 40 + 29 + 15 + 31);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_left_alone_and_the_others_are_not() {
    let (gitaly, script) = start(Script::default());
    let [sick, well] = ["tcp://sick:1", "unix:/well"].map(repository);
    *script.instead.lock() = Some(Instead::Unreachable);
    while !matches!(gitaly.head(&sick).await, Err(GitalyError::LeftAlone)) {}
    let calls = script.calls.load(Ordering::Relaxed);
    assert_eq!(calls, 5);
    *script.instead.lock() = None;
    gitaly.head(&well).await.unwrap();
    let answer = gitaly.head(&sick).await;
    assert!(matches!(answer, Err(GitalyError::LeftAlone)), "{answer:?}");
    assert_eq!(script.calls.load(Ordering::Relaxed), calls + 1);
    let ended = gitaly.calls();
    assert_eq!(count(&ended, GitalyOutcome::Unreachable), 5);
    assert_eq!(count(&ended, GitalyOutcome::LeftAlone), 2);
    assert_eq!(count(&ended, GitalyOutcome::Answered), 1);
    let last = gitaly.servers();
    assert!(last.contains(&(GitalyOutcome::Unreachable, 1)), "{last:?}");
    assert!(last.contains(&(GitalyOutcome::Answered, 1)), "{last:?}");

    sleep(3 * SECOND).await;
    gitaly.head(&sick).await.unwrap();
    let last = gitaly.servers();
    assert!(last.contains(&(GitalyOutcome::Answered, 2)), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_is_given_up_in_time() {
    let (gitaly, script) = start(Script::default());
    *script.instead.lock() = Some(Instead::Hangs);
    let begun = Instant::now();
    let answer = gitaly.head(&repository("tcp://sick:1")).await;
    assert!(matches!(answer, Err(GitalyError::TimedOut)), "{answer:?}");
    assert_eq!(begun.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_trust_us_is_asked_again_and_the_clock_is_named() {
    let (gitaly, script) = start(Script::default());
    *script.instead.lock() = Some(Instead::Denies);
    let repository = repository("tcp://one:1");
    for _ in 0..10 {
        let error = gitaly.head(&repository).await.unwrap_err();
        assert!(matches!(error, GitalyError::Denied(_)), "{error:?}");
        assert!(error.to_string().contains("clock within 30 s"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn agents_files_are_those_that_gitlab_would_read() {
    let (gitaly, _) = start(Script {
        paths: vec![
            ".gitlab/agents/README.md",
            ".gitlab/agents/prod/config.yaml",
            ".gitlab/agents/prod/config.yml",
            ".gitlab/agents/prod/more/config.yaml",
            ".gitlab/agents/Prod/config.yaml",
            ".gitlab/agents/-/config.yaml",
            ".gitlab/agents/staging/config.yaml",
            ".gitlab/agents-of-old/prod/config.yaml",
        ],
        ..Script::default()
    });
    let found = gitaly
        .agents_files(&repository("tcp://one:1"), "HEAD")
        .await;
    let found: Vec<_> = found
        .unwrap()
        .into_iter()
        .map(|file| (file.path.into_string(), file.agent.to_string()))
        .collect();
    let expected = ["prod", "staging"].map(|agent| {
        (
            format!(".gitlab/agents/{agent}/config.yaml"),
            agent.to_owned(),
        )
    });
    assert_eq!(found, expected);
}
