use std::{future::Future, time::UNIX_EPOCH};

use adit_identity::{JobIdentity, ProjectId, Tier};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokio::{
    task::JoinSet,
    time::{advance, timeout},
};

use super::*;
use crate::{
    examples::{ISSUER, environment, job, job_of},
    issuer::{Issuer, KeyKind},
};

mod bad_tokens;
mod rotation;
mod successors;

const AUDIENCE: &str = "https://adit.example.com";
const HOUR: Duration = Duration::from_hours(1);

/// An issuer whose published document tests can change or take away.
#[derive(Debug, Default)]
struct Website {
    // None: the issuer is down.
    document: Mutex<Option<String>>,
    /// How long it takes to answer.
    takes: Mutex<Duration>,
    fetches: AtomicU64,
}

impl FetchKeys for Website {
    fn fetch<'a>(&'a self, url: &'a str) -> FetchedKeys<'a> {
        Box::pin(async move {
            assert_eq!(url, "https://gitlab.example.com/oauth/discovery/keys");
            self.fetches.fetch_add(1, Ordering::Relaxed);
            let takes = *self.takes.lock();
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            self.document
                .lock()
                .clone()
                .map(Bytes::from)
                .ok_or(FetchError::Status(502))
        })
    }
}

/// The authority under test, with its refresh tasks running.
struct World {
    issuer: Issuer,
    website: Arc<Website>,
    oidc: Oidc,
    now: SystemTime,
    _tasks: JoinSet<()>,
}

impl World {
    fn new(kind: KeyKind) -> Self {
        Self::with(kind, |_| ())
    }

    fn with(kind: KeyKind, change: impl FnOnce(&mut OidcIssuer)) -> Self {
        let issuer = Issuer::new(ISSUER, kind).unwrap();
        let website = Arc::new(Website {
            document: Mutex::new(Some(issuer.jwks())),
            ..Website::default()
        });
        let source = KeySource::Url(format!("{ISSUER}/oauth/discovery/keys").into());
        let mut trusted = OidcIssuer::new(ISSUER, &["other", AUDIENCE], source);
        change(&mut trusted);
        let config = OidcConfig {
            issuers: vec![trusted],
            max_cached_tokens: 100,
        };
        let fetch: Arc<dyn FetchKeys> = Arc::<Website>::clone(&website);
        let (oidc, refreshes) = Oidc::new(config, &fetch);
        let mut tasks = JoinSet::new();
        for refresh in refreshes {
            tasks.spawn(refresh.run());
        }
        Self {
            issuer,
            website,
            oidc,
            now: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            _tasks: tasks,
        }
    }

    fn claims(&self) -> Map<String, Value> {
        self.issuer.claims(&job(), AUDIENCE, self.now, HOUR)
    }

    fn token(&self) -> String {
        self.issuer.sign(&self.claims()).unwrap()
    }

    /// A token with some claims set, or with `null` removed.
    fn token_with(&self, changes: Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.clone(), value.clone());
            }
        }
        self.issuer.sign(&claims).unwrap()
    }

    async fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        self.verify_at(token, self.now).await
    }

    async fn verify_at(&self, token: &str, now: SystemTime) -> Result<Caller, TokenError> {
        within(self.oidc.verify(Token::parse(token).unwrap(), now)).await
    }

    async fn job_of(&self, changes: Value) -> Result<JobIdentity, TokenError> {
        Ok((**self.verify(&self.token_with(changes)).await?.job().unwrap()).clone())
    }

    fn fetches(&self) -> u64 {
        self.website.fetches.load(Ordering::Relaxed)
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(3600), future)
        .await
        .expect("done in an hour of paused time")
}

#[tokio::test(start_paused = true)]
async fn a_token_of_each_kind_of_key_gives_the_job() {
    for kind in [KeyKind::Rsa, KeyKind::EcP256, KeyKind::Ed25519] {
        let world = World::new(kind);
        let caller = world.verify(&world.token()).await.unwrap();
        assert_eq!(**caller.job().unwrap(), job(), "{kind:?}");
        assert_eq!(
            caller.expires_at(),
            Some(world.now + HOUR + Duration::from_secs(10))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_seen_before_is_not_verified_again() {
    let world = World::new(KeyKind::EcP256);
    let (token, other) = (world.token(), world.token_with(json!({ "jti": "other" })));
    let first = world.verify(&token).await.unwrap();
    let second = world.verify(&token).await.unwrap();
    assert!(Arc::ptr_eq(first.job().unwrap(), second.job().unwrap()));
    assert_ne!(first.owner(), world.verify(&other).await.unwrap().owner());
    let stats = world.oidc.stats();
    assert_eq!(
        (stats.cache_hits, stats.cache_misses, stats.cached_tokens),
        (1, 2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn the_environment_and_its_tier_come_from_the_token() {
    let world = World::new(KeyKind::EcP256);
    let mut job = job();
    job.environment = environment("review/1");
    let token = world.issuer.token(&job, AUDIENCE, world.now, HOUR).unwrap();
    let caller = world.verify(&token).await.unwrap();
    let environment = caller.job().unwrap().environment.as_ref().unwrap();
    assert_eq!(
        (environment.name(), environment.tier()),
        (Some("review/1"), Tier::Production)
    );
    assert!(environment.is_protected());
}

#[tokio::test(start_paused = true)]
async fn ids_may_be_numbers_and_flags_booleans() {
    let world = World::new(KeyKind::EcP256);
    let job = world
        .job_of(json!({ "job_id": 7, "ref_protected": false, "user_id": 8 }))
        .await
        .unwrap();
    assert_eq!(
        (job.job.0, job.user.id.0, job.git_ref.unwrap().protected),
        (7, 8, false)
    );
}

#[tokio::test(start_paused = true)]
async fn the_project_that_runs_the_job_counts() {
    let world = World::new(KeyKind::EcP256);
    let fork = json!({ "project_id": "99", "project_path": "fork/app", "namespace_id": "98", "namespace_path": "fork" });
    assert_eq!(world.job_of(fork).await.unwrap().project.id, ProjectId(150));
    let old = json!({
        "job_project_id": null, "job_project_path": null, "job_namespace_id": null, "job_namespace_path": null,
        "project_id": "99", "project_path": "fork/app", "namespace_id": "98", "namespace_path": "fork",
    });
    assert_eq!(world.job_of(old).await.unwrap().project.id, ProjectId(99));
    let half = world.job_of(json!({ "job_namespace_path": null })).await;
    assert_eq!(half, Err(TokenError::MissingClaim("job_namespace_path")));
    let torn = world
        .job_of(json!({ "job_project_path": "other/app" }))
        .await;
    assert_eq!(torn, Err(TokenError::BadClaim("job_namespace_path")));
}

#[tokio::test(start_paused = true)]
async fn ids_of_outer_groups_come_from_the_config_root_first() {
    let ids = [("group", 23), ("GROUP/sub/deep", 27), ("unrelated", 1)];
    let ids = ids.map(|(path, id)| (path.parse().unwrap(), adit_identity::GroupId(id)));
    let world = World::with(KeyKind::EcP256, |issuer| {
        issuer.group_ids = Arc::new(ids.into())
    });
    let mut job = job_of("group/sub/deep/app");
    job.namespace.as_mut().unwrap().id = adit_identity::GroupId(30);
    let token = world.issuer.token(&job, AUDIENCE, world.now, HOUR).unwrap();
    let caller = world.verify(&token).await.unwrap();
    let groups: Vec<_> = caller
        .job()
        .unwrap()
        .groups
        .iter()
        .map(|group| group.0)
        .collect();
    // group/sub is not in the config; the direct group is as the token says, whatever the config thinks.
    assert_eq!(groups, [23, 30]);
}

#[test]
fn a_token_tells_people_what_it_says_of_itself() {
    let issuer = Issuer::new(ISSUER, KeyKind::EcP256).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_795_392_000);
    let token = issuer.token(&job(), AUDIENCE, now, HOUR).unwrap();
    let claimed = Claimed::by(&token).unwrap();
    assert_eq!(claimed.issuer.as_deref(), Some(ISSUER));
    assert_eq!(claimed.audiences, [AUDIENCE]);
    assert_eq!(claimed.expires_at, Some(now + HOUR));
    assert!(claimed.not_before.unwrap() <= now);
    for text in ["", "a.b.c", "glcbt-64_abc", "adit-agent-x"] {
        assert_eq!(Claimed::by(text), None, "{text}");
    }
}

#[test]
fn a_token_tells_by_its_issuer_for_whom_it_is_meant() {
    let issuer = Issuer::new(ISSUER, KeyKind::Ed25519).unwrap();
    let config = OidcConfig {
        issuers: vec![OidcIssuer::new(
            ISSUER,
            &[AUDIENCE],
            KeySource::File("/dev/null".into()),
        )],
        max_cached_tokens: 10,
    };
    let website: Arc<dyn FetchKeys> = Arc::<Website>::default();
    let (oidc, _) = Oidc::new(config, &website);
    let is_meant = |token: &str| oidc.is_meant(Token::parse(token).unwrap());
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut claims = issuer.claims(&job(), AUDIENCE, now, HOUR);
    let token = issuer.sign(&claims).unwrap();
    assert!(is_meant(&token));
    // Whatever it is worth: it is no business of GitLab's.
    let (message, _) = token.rsplit_once('.').unwrap();
    assert!(is_meant(&format!("{message}.AAAA")));
    assert!(is_meant(&format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"),
        message.split_once('.').unwrap().1
    )));
    // Job tokens of all forms.
    for prefix in ["glcbt-", "acme-glcbt-"] {
        assert!(!is_meant(&format!("{prefix}{token}")), "{prefix}");
    }
    for opaque in [
        "glcbt-64_abcdefghij",
        "64_abc",
        "a.b.c",
        "...",
        "eyJh.eyJz.c2ln",
    ] {
        assert!(!is_meant(opaque), "{opaque}");
    }
    claims.insert("iss".to_owned(), json!("https://elsewhere.example"));
    assert!(!is_meant(&issuer.sign(&claims).unwrap()));
    claims.remove("iss");
    assert!(!is_meant(&issuer.sign(&claims).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn nothing_printed_holds_a_token() {
    let world = World::new(KeyKind::EcP256);
    let token = world.token();
    let caller = world.verify(&token).await.unwrap();
    let signature = token.rsplit('.').next().unwrap();
    let printed = format!("{:?} {caller:?} {:?}", world.oidc, Token::parse(&token));
    assert!(!printed.contains(signature));
    assert!(!printed.contains(&token[..40]));
}
