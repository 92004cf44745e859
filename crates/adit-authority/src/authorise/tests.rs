use std::time::{Duration, UNIX_EPOCH};

use adit_identity::{
    Environment,
    mistakes::{Key, Mistakes},
};

use super::*;
use crate::{
    Authorities, RawAgent,
    examples::{ISSUER, environment, job, job_of},
};

/// An authoriser for one agent, 41, of `platform/agents`, with this `ci_access`.
fn rules(ci_access: &str) -> Authoriser {
    let agent = format!(
        "id: 41\nname: prod\nproject: platform/agents\nproject_id: 7\ntokens: [sha256:{:064}]\nci_access: {ci_access}",
        0
    );
    let raw: RawAgent = serde_saphyr::from_str(&agent).unwrap();
    let mut mistakes = Mistakes::new();
    let agents = Agents::check(
        vec![raw],
        Authorities {
            issuers: &[ISSUER.into()],
            has_gitlab: false,
            knows_agents: false,
        },
        &AccessAs::CiJob,
        &Key::root(),
        &mut mistakes,
    );
    Authoriser::new(mistakes.finish(agents).unwrap(), Arc::default())
}

fn caller(job: JobIdentity) -> Caller {
    Caller::new(job, UNIX_EPOCH + Duration::from_secs(1000), 5)
}

/// The default namespace of the entry that let the job in, or the reason why none did.
fn entry(rules: &Authoriser, job: JobIdentity) -> Result<String, &'static str> {
    match rules.permit(&caller(job), AgentId(41)) {
        Ok(permit) => Ok(permit
            .default_namespace()
            .map_or("none", |name| name.as_str())
            .to_owned()),
        Err(not_allowed) => Err(not_allowed.reason()),
    }
}

#[test]
fn a_permit_says_who_what_where_and_until_when() {
    let rules = rules("{projects: [{id: group/sub/app, default_namespace: app}]}");
    let permit = rules.permit(&caller(job()), AgentId(41)).unwrap();
    assert_eq!(permit.agent(), AgentId(41));
    assert_eq!(permit.context(), "platform/agents:prod");
    assert_eq!(permit.default_namespace().unwrap().as_str(), "app");
    let end = UNIX_EPOCH + Duration::from_secs(1000);
    assert_eq!(permit.expires_at(), Some(end));
    assert_eq!(permit.owner(), 5);
    assert_eq!(*permit.who(), Who::Job(job().into()));
    let expected = job()
        .impersonation(AgentId(41), Some(ProjectId(7)))
        .unwrap();
    assert_eq!(*permit.act_as(), ActAs::Impersonate(expected));
}

#[test]
fn the_nearest_entry_wins_and_entries_are_not_merged() {
    let all = "{projects: [{id: group/sub/app, default_namespace: project}], \
                groups: [{id: group, default_namespace: outer}, {id: group/sub, default_namespace: inner}], \
                instance: {default_namespace: instance}}";
    let cases = [
        (all, "group/sub/app", Ok("project")),
        (all, "GROUP/Sub/APP", Ok("project")),
        (all, "group/sub/other", Ok("inner")),
        (all, "group/sub/deep/other", Ok("inner")),
        (all, "group/other", Ok("outer")),
        (all, "group/subway/other", Ok("outer")),
        (all, "groups/other", Ok("instance")),
        (all, "someone/else", Ok("instance")),
        ("{groups: [{id: group}]}", "groups/other", Err("no_grant")),
        (
            "{groups: [{id: group}]}",
            "other/group/app",
            Err("no_grant"),
        ),
        (
            "{groups: [{id: group/sub/app}]}",
            "group/sub/app",
            Err("no_grant"),
        ),
        (
            "{projects: [{id: group/sub}]}",
            "group/sub/app",
            Err("no_grant"),
        ),
        ("{}", "group/sub/app", Err("no_grant")),
    ];
    for (ci_access, project, expected) in cases {
        assert_eq!(
            entry(&rules(ci_access), job_of(project)),
            expected.map(str::to_owned),
            "{project} in {ci_access}"
        );
    }
}

#[test]
fn jobs_of_the_config_project_need_no_entry() {
    let mut own = job_of("Platform/Agents");
    own.project.id = ProjectId(7);
    assert_eq!(entry(&rules("{}"), own.clone()), Ok("none".into()));
    // It stands before groups, and behind an entry for the very project.
    let group = "{groups: [{id: platform, default_namespace: group}]}";
    assert_eq!(entry(&rules(group), own.clone()), Ok("none".into()));
    let project = "{projects: [{id: platform/agents, environments: [staging]}]}";
    assert_eq!(entry(&rules(project), own), Err("no_environment"));
}

#[test]
fn another_project_at_the_config_projects_old_path_is_not_it() {
    assert_eq!(
        entry(&rules("{}"), job_of("platform/agents")),
        Err("no_grant")
    );
}

#[test]
fn filters_run_after_the_entry_was_chosen() {
    let rules =
        rules("{projects: [{id: group/sub/app, environments: [staging]}], groups: [{id: group}]}");
    let mut job = job();
    job.environment = environment("production");
    assert_eq!(entry(&rules, job), Err("environment_mismatch"));
}

#[test]
fn environments_filter_by_gitlabs_truth_table() {
    let filtered = "{projects: [{id: group/sub/app, environments: [staging, review/*]}]}";
    let cases = [
        ("{projects: [{id: group/sub/app}]}", None, Ok("none")),
        (
            "{projects: [{id: group/sub/app}]}",
            Some("anything"),
            Ok("none"),
        ),
        (filtered, None, Err("no_environment")),
        (filtered, Some("staging"), Ok("none")),
        (filtered, Some("review/a/b"), Ok("none")),
        (filtered, Some("review"), Err("environment_mismatch")),
        (filtered, Some("production"), Err("environment_mismatch")),
    ];
    for (ci_access, name, expected) in cases {
        let mut job = job();
        job.environment = name.and_then(environment);
        assert_eq!(
            entry(&rules(ci_access), job),
            expected.map(str::to_owned),
            "{name:?} in {ci_access}"
        );
    }
}

#[test]
fn a_ref_that_is_not_known_to_be_protected_is_not() {
    let rules = rules("{projects: [{id: group/sub/app, protected_branches_only: true}]}");
    assert_eq!(entry(&rules, job()), Ok("none".into()));
    let mut unprotected = job();
    unprotected.git_ref.as_mut().unwrap().protected = false;
    assert_eq!(entry(&rules, unprotected), Err("ref_not_protected"));
}

#[test]
fn what_is_not_stated_lets_nobody_in() {
    let mut silent = job();
    (silent.project.path, silent.git_ref) = (None, None);
    silent.environment = Some(Environment::with_slug(
        &"prod".parse().unwrap(),
        adit_identity::Tier::Production,
    ));
    let cases = [
        ("{projects: [{id: group/sub/app}]}", Err("no_grant")),
        ("{groups: [{id: group}]}", Err("no_grant")),
        ("{instance: {}}", Ok("none".to_owned())),
        (
            "{instance: {protected_branches_only: true}}",
            Err("ref_unknown"),
        ),
        // Not by a slug, which is not a name.
        (
            "{instance: {environments: ['*']}}",
            Err("environment_mismatch"),
        ),
        (
            "{instance: {environments: [prod]}}",
            Err("environment_mismatch"),
        ),
    ];
    for (ci_access, expected) in cases {
        assert_eq!(
            entry(&rules(ci_access), silent.clone()),
            expected,
            "{ci_access}"
        );
    }
}

#[test]
fn access_as_chooses_the_user() {
    let act_as = |access_as: &str| {
        let rules = rules(&format!(
            "{{projects: [{{id: group/sub/app, access_as: {access_as}}}]}}"
        ));
        rules
            .permit(&caller(job()), AgentId(41))
            .unwrap()
            .act_as()
            .clone()
    };
    assert_eq!(act_as("{agent: {}}"), ActAs::Agent);
    assert!(
        matches!(act_as("{ci_job: {}}"), ActAs::Impersonate(user) if user.user() == "gitlab:ci_job:9001")
    );
    let ActAs::Impersonate(user) = act_as(
        "{impersonate: {username: robot, uid: u1, groups: [g1, g2], extra: [{key: example.com/k, val: [v1, v2]}]}}",
    ) else {
        panic!("a fixed user is impersonated");
    };
    assert_eq!((user.user(), user.uid()), ("robot", Some("u1")));
    assert_eq!(user.groups(), ["g1", "g2"]);
    assert_eq!(user.extra()[0].key, "example.com/k");
    assert_eq!(user.extra()[0].values, ["v1", "v2"]);
}

#[test]
fn a_job_of_another_issuer_has_no_access_by_the_same_path() {
    let rules = rules("{instance: {}}");
    let mut job = job();
    job.issuer = "https://gitlab.other.example".into();
    assert_eq!(entry(&rules, job.clone()), Err("other_issuer"));
    assert_eq!(rules.reachable(&caller(job)), []);
}

#[test]
fn an_agent_that_does_not_exist_looks_like_one_that_is_not_for_you() {
    let rules = rules("{}");
    let told = |id| {
        rules
            .permit(&caller(job()), AgentId(id))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(told(41).replace("41", "42"), told(42));
    assert_eq!(
        rules
            .permit(&caller(job()), AgentId(42))
            .unwrap_err()
            .reason(),
        "unknown_agent"
    );
}

#[test]
fn a_login_that_cannot_be_sent_gets_no_permit() {
    let mut job = job();
    job.user.login = "a\nb".into();
    assert_eq!(entry(&rules("{instance: {}}"), job), Err("bad_identity"));
}

#[test]
fn reachable_lists_what_a_permit_would_allow() {
    let rules =
        rules("{projects: [{id: group/sub/app, default_namespace: app, environments: [prod]}]}");
    let mut job = job();
    assert_eq!(rules.reachable(&caller(job.clone())), []);
    job.environment = environment("prod");
    let reachable = rules.reachable(&caller(job));
    let context = "platform/agents:prod".to_owned();
    assert_eq!(
        reachable,
        [Reachable {
            agent: AgentId(41),
            context,
            default_namespace: "app".parse().ok()
        }]
    );
}

#[test]
fn a_permit_is_remembered_until_the_rules_change() {
    let (before, after) = (rules("{instance: {}}"), rules("{}"));
    let caller = caller(job());
    let permit = before.permit(&caller, AgentId(41)).unwrap();
    assert!(Arc::ptr_eq(
        &permit,
        &before.permit(&caller, AgentId(41)).unwrap()
    ));
    assert_eq!(
        after.permit(&caller, AgentId(41)).unwrap_err().reason(),
        "no_grant"
    );
    assert_eq!(
        before.permit(&caller, AgentId(42)).unwrap_err().reason(),
        "unknown_agent"
    );
}

#[test]
fn a_permit_is_upheld_only_by_rules_that_would_give_it_again() {
    let granted = rules("{instance: {}}");
    let permit = granted.permit(&caller(job()), AgentId(41)).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(999);
    assert!(granted.upholds(&permit, now));
    assert!(rules("{projects: [{id: group/sub/app}]}").upholds(&permit, now));
    assert!(!granted.upholds(&permit, UNIX_EPOCH + Duration::from_secs(1000)));
    assert!(!rules("{}").upholds(&permit, now));
    assert!(!rules("{instance: {access_as: {agent: {}}}}").upholds(&permit, now));
    assert!(!Authoriser::new(Agents::default(), Arc::default()).upholds(&permit, now));
}

#[test]
fn permits_that_other_rules_do_not_uphold_are_withdrawn_once() {
    let granted = rules("{instance: {}}");
    let (one, two) = (caller(job()), caller(job_of("group/other")));
    let permit = granted.permit(&one, AgentId(41)).unwrap();
    let other = granted.permit(&two, AgentId(41)).unwrap();
    assert_eq!(
        (permit.issuer(), other.issuer()),
        (Some(ISSUER), Some(ISSUER))
    );
    let now = UNIX_EPOCH + Duration::from_secs(999);
    let successor = |ci_access: &str| granted.successor(rules(ci_access).agents().clone());

    let wider = successor("{instance: {}, groups: [{id: group}]}");
    assert!(
        wider
            .withdraw(|permit| wider.upholds(permit, now))
            .is_empty()
    );
    let narrower = successor("{projects: [{id: group/sub/app}]}");
    let withdrawn = narrower.withdraw(|permit| narrower.upholds(permit, now));
    assert_eq!(withdrawn.len(), 1);
    assert!(Arc::ptr_eq(&withdrawn[0], &other));
    // What runs under a later permit of the same caller must not be cut for it.
    assert!(
        narrower
            .withdraw(|permit| narrower.upholds(permit, now))
            .is_empty()
    );
    assert_eq!(
        narrower.permit(&two, AgentId(41)).unwrap_err().reason(),
        "no_grant"
    );
}
