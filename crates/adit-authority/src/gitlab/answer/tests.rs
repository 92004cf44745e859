use adit_identity::{ActAs, AgentId};
use serde_json::{Value, json};

use super::*;

fn answer() -> Value {
    json!({
        "allowed_agents": [],
        "job": { "id": 9001 },
        "pipeline": { "id": 880 },
        "project": { "id": 150, "groups": [{ "id": 23 }, { "id": 25 }] },
        "user": { "id": 12, "username": "dev1", "roles_in_project": ["guest", "developer"] },
        "environment": { "slug": "prod", "tier": "production" },
    })
}

/// The answer with one part set, or taken out by null.
fn with(pointer: &str, value: Value) -> Value {
    let mut answer = answer();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = answer.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name);
    } else {
        parent.insert(name.to_owned(), value);
    }
    answer
}

fn read_value(answer: &Value) -> Result<(JobIdentity, Granted), GitLabError> {
    read(
        answer.to_string().as_bytes(),
        "https://gitlab.example.com",
        CiUser::Refused,
    )
}

fn refused(answer: &Value) -> Option<GitLabError> {
    read_value(answer).err()
}

#[test]
fn a_whole_answer_is_taken() {
    assert_eq!(refused(&answer()), None);
    // What GitLab leaves out, or adds.
    for (pointer, value) in [
        ("/environment", json!(null)),
        ("/project/groups", json!([])),
        ("/project/groups", json!(null)),
        ("/user/roles_in_project", json!(null)),
        ("/user/roles_in_project", json!([])),
        ("/user/email", json!("dev1@example.com")),
        ("/policy", json!({ "new": 1 })),
    ] {
        assert_eq!(
            refused(&with(pointer, value.clone())),
            None,
            "{pointer} {value}"
        );
    }
    let null = r#"{"allowed_agents":[],"job":{"id":1},"pipeline":{"id":1},"project":{"id":1,"groups":[]},"user":{"id":1,"username":"a"},"environment":null}"#;
    assert!(read(null.as_bytes(), "", CiUser::Refused).is_ok());
}

#[test]
fn what_is_missing_is_refused_and_named() {
    let parts = [
        ("/allowed_agents", "allowed_agents"),
        ("/job", "job"),
        ("/job/id", "job"),
        ("/pipeline", "pipeline"),
        ("/pipeline/id", "pipeline"),
        ("/project", "project"),
        ("/project/id", "project"),
        ("/user", "user"),
        ("/user/id", "user"),
        ("/user/username", "user"),
        ("/environment/slug", "environment"),
        ("/environment/tier", "environment"),
    ];
    for (pointer, part) in parts {
        let refused = refused(&with(pointer, json!(null)));
        assert_eq!(refused, Some(GitLabError::BadAnswer(part)), "{pointer}");
    }
}

#[test]
fn what_is_malformed_is_refused_and_named() {
    let odd_ids = [
        json!("9001"),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(true),
        json!([1]),
        json!(1e30),
    ];
    for (pointer, part) in [
        ("/job/id", "job"),
        ("/pipeline/id", "pipeline"),
        ("/project/id", "project"),
        ("/user/id", "user"),
    ] {
        for odd in &odd_ids {
            let refused = refused(&with(pointer, odd.clone()));
            assert_eq!(
                refused,
                Some(GitLabError::BadAnswer(part)),
                "{pointer} {odd}"
            );
        }
    }
    let cases = [
        ("/allowed_agents", json!({}), "allowed_agents"),
        ("/allowed_agents", json!("none"), "allowed_agents"),
        ("/allowed_agents", json!([{ "id": 1 }]), "allowed_agents"),
        (
            "/allowed_agents",
            json!([{ "config_project": { "id": 1 } }]),
            "allowed_agents",
        ),
        (
            "/allowed_agents",
            json!([{ "id": "1", "config_project": { "id": 1 } }]),
            "allowed_agents",
        ),
        (
            "/allowed_agents",
            json!([{ "id": 1, "config_project": { "id": 0 } }]),
            "allowed_agents",
        ),
        ("/allowed_agents", json!([null]), "allowed_agents"),
        ("/project/groups", json!([23]), "project"),
        ("/project/groups", json!({ "id": 23 }), "project"),
        ("/project/groups", json!([{ "id": 0 }]), "project"),
        ("/user/username", json!(""), "user"),
        ("/user/username", json!(7), "user"),
        (
            "/user/username",
            json!("dev1\r\nimpersonate-group: system:masters"),
            "user",
        ),
        ("/user/username", json!(" dev1"), "user"),
        ("/user/roles_in_project", json!(["owner:x"]), "user"),
        ("/user/roles_in_project", json!("owner"), "user"),
        ("/environment", json!([]), "environment"),
        ("/environment", json!("prod"), "environment"),
        ("/environment/slug", json!(""), "environment"),
        ("/environment/slug", json!("Prod"), "environment"),
        ("/environment/slug", json!("prod:admin"), "environment"),
        ("/environment/slug", json!("prod\n"), "environment"),
        ("/environment/tier", json!("prod"), "environment"),
        ("/environment/tier", json!(1), "environment"),
    ];
    for (pointer, value, part) in cases {
        let refused = refused(&with(pointer, value.clone()));
        assert_eq!(
            refused,
            Some(GitLabError::BadAnswer(part)),
            "{pointer} {value}"
        );
    }
    let whole = answer().to_string();
    for body in [
        "",
        "null",
        "[]",
        "401",
        "<html>",
        &whole[..whole.len() - 1],
        &whole.repeat(2),
    ] {
        let refused = read(body.as_bytes(), "", CiUser::Refused).unwrap_err();
        assert_eq!(refused, GitLabError::BadAnswer("body"), "{body}");
    }
    let twice = whole.replace(r#""job":{"#, r#""job":{"id":1},"job":{"#);
    assert_eq!(
        read(twice.as_bytes(), "", CiUser::Refused).unwrap_err(),
        GitLabError::BadAnswer("body")
    );
}

/// As whom the job acts at agent 41 under this configuration.
fn act_as(configuration: &Value, ci_user: CiUser) -> Result<ActAs, super::super::Unusable> {
    let entry = json!({ "id": 41, "config_project": { "id": 7 }, "configuration": configuration });
    let answer = with("/allowed_agents", json!([entry]));
    let (job, granted) = read(answer.to_string().as_bytes(), "", ci_user).unwrap();
    granted.act_as(AgentId(41), granted.agent(AgentId(41)).unwrap(), &job)
}

fn groups(configuration: &Value, ci_user: CiUser) -> (String, Vec<String>) {
    match act_as(configuration, ci_user).unwrap() {
        ActAs::Impersonate(user) => (user.user().to_owned(), user.groups().to_vec()),
        ActAs::Agent => panic!("nobody is impersonated"),
    }
}

#[test]
fn access_as_is_gitlabs() {
    let plain = |value: Value| act_as(&value, CiUser::Refused);
    for nothing in [
        json!({}),
        json!(null),
        json!({ "access_as": null }),
        json!({ "access_as": { "agent": {} } }),
        json!({ "environments": ["x"], "protected_branches_only": true, "resource_management": { "enabled": true } }),
    ] {
        assert_eq!(plain(nothing.clone()), Ok(ActAs::Agent), "{nothing}");
    }
    let (user, names) = groups(&json!({ "access_as": { "ci_job": {} } }), CiUser::Refused);
    assert_eq!(user, "gitlab:ci_job:9001");
    let expected = [
        "gitlab:ci_job",
        "gitlab:group:23",
        "gitlab:group_env_tier:23:production",
        "gitlab:group:25",
        "gitlab:group_env_tier:25:production",
        "gitlab:project:150",
        "gitlab:project_env:150:prod",
        "gitlab:project_env_tier:150:production",
    ];
    assert_eq!(names, expected);
    let fixed = json!({ "access_as": { "impersonate": { "username": "deployer", "uid": "u1", "groups": ["g1", "g2"], "extra": [{ "key": "k", "val": ["v1", "v2"] }] } } });
    let ActAs::Impersonate(user) = plain(fixed).unwrap() else {
        panic!("nobody is impersonated");
    };
    assert_eq!((user.user(), user.uid()), ("deployer", Some("u1")));
    assert_eq!(user.groups(), ["g1", "g2"]);
    assert_eq!(user.extra()[0].values, ["v1", "v2"]);
}

#[test]
fn ci_user_is_behind_a_switch_and_needs_roles() {
    let as_user = json!({ "access_as": { "ci_user": {} } });
    assert_eq!(
        act_as(&as_user, CiUser::Refused),
        Err(super::super::Unusable::CiUserOff)
    );
    let (user, names) = groups(&as_user, CiUser::Accepted);
    assert_eq!(user, "gitlab:user:dev1");
    assert_eq!(
        names,
        [
            "gitlab:user",
            "gitlab:project_role:150:guest",
            "gitlab:project_role:150:developer"
        ]
    );
    let entry = json!({ "id": 41, "config_project": { "id": 7 }, "configuration": as_user });
    let mut answer = with("/user/roles_in_project", json!(null));
    answer["allowed_agents"] = json!([entry]);
    let (job, granted) = read(answer.to_string().as_bytes(), "", CiUser::Accepted).unwrap();
    let refused = granted.act_as(AgentId(41), granted.agent(AgentId(41)).unwrap(), &job);
    assert_eq!(refused, Err(super::super::Unusable::NoRoles));
}

#[test]
fn an_access_as_that_is_not_understood_lets_nobody_in() {
    use super::super::Unusable::{Form, Impersonate, UnknownMode};
    let cases = [
        (json!({}), Form),
        (json!([]), Form),
        (json!("ci_job"), Form),
        (json!({ "agent": {}, "ci_job": {} }), Form),
        (json!({ "ci_job": { "narrower": true } }), Form),
        (json!({ "ci_job": null }), Form),
        (json!({ "agent": [] }), Form),
        (json!({ "ci_robot": {} }), UnknownMode),
        (json!({ "impersonate": {} }), Impersonate),
        (json!({ "impersonate": { "username": 7 } }), Impersonate),
        (
            json!({ "impersonate": { "username": "u", "unless": "x" } }),
            Impersonate,
        ),
        (
            json!({ "impersonate": { "username": "u", "extra": [{ "key": "k" }] } }),
            Impersonate,
        ),
    ];
    for (access_as, why) in cases {
        let refused = act_as(&json!({ "access_as": access_as }), CiUser::Refused);
        assert_eq!(refused, Err(why), "{access_as}");
    }
    for odd in [
        json!({ "username": "" }),
        json!({ "username": "u", "groups": ["a\nb"] }),
        json!({ "username": "u", "extra": [{ "key": "k", "val": [] }] }),
    ] {
        let refused = act_as(
            &json!({ "access_as": { "impersonate": odd } }),
            CiUser::Refused,
        );
        assert!(
            matches!(refused, Err(super::super::Unusable::Identity(_))),
            "{odd}"
        );
    }
}

#[test]
fn an_agent_that_is_listed_twice_is_nobodys() {
    let entry = |access_as| json!({ "id": 41, "config_project": { "id": 7 }, "configuration": { "access_as": access_as } });
    let answer = with(
        "/allowed_agents",
        json!([
            entry(json!({ "ci_job": {} })),
            entry(json!({ "agent": {} }))
        ]),
    );
    let (job, granted) = read_value(&answer).unwrap();
    let refused = granted.act_as(AgentId(41), granted.agent(AgentId(41)).unwrap(), &job);
    assert_eq!(refused, Err(super::super::Unusable::Twice));
}

#[test]
fn a_default_namespace_that_is_none_keeps_nobody_out() {
    let entry = |namespace: &str| json!({ "id": 41, "config_project": { "id": 7, "path_with_namespace": "platform/agents" }, "configuration": { "default_namespace": namespace } });
    for (namespace, expected) in [("shop", Some("shop")), ("Not A Namespace", None)] {
        let (_, granted) = read_value(&with("/allowed_agents", json!([entry(namespace)]))).unwrap();
        let allowed = granted.agent(AgentId(41)).unwrap();
        assert_eq!(
            allowed.default_namespace.as_ref().map(Label::as_str),
            expected
        );
        assert_eq!(
            allowed.config_path.as_ref().unwrap().as_str(),
            "platform/agents"
        );
    }
}
