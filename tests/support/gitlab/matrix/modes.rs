//! `access_as`, and which of its modes a licence has.

use super::{GrantCase, case, job};
use crate::gitlab::Licence::{Free, Premium, Ultimate};

const CI_JOB: &[(&str, &str)] = &[(
    "main",
    "ci_access: { projects: [{ id: top/app, access_as: { ci_job: {} } }] }",
)];
const CI_JOB_ENTRY: &[(&str, &str)] = &[("main", r#"{ "access_as": { "ci_job": {} } }"#)];
const STATIC: &[(&str, &str)] = &[(
    "main",
    "ci_access: { projects: [{ id: top/app, access_as: { impersonate:
       { username: deployer, uid: u-1, groups: [a, b], extra: [{ key: team, val: [x, z] }] } } }] }",
)];
const STATIC_ENTRY: &[(&str, &str)] = &[(
    "main",
    r#"{ "access_as": { "impersonate":
       { "username": "deployer", "uid": "u-1", "groups": ["a", "b"], "extra": [{ "key": "team", "val": ["x", "z"] }] } } }"#,
)];
const AGENT: &[(&str, &str)] = &[(
    "main",
    "ci_access: { projects: [{ id: top/app, access_as: { agent: {} } }] }",
)];
const AGENT_ENTRY: &[(&str, &str)] = &[("main", r#"{ "access_as": { "agent": {} } }"#)];
const NEAR_AND_FAR: &[(&str, &str)] = &[(
    "main",
    "ci_access: { groups: [{ id: top, default_namespace: far }, { id: top/mid, access_as: { ci_job: {} } }] }",
)];

pub(super) const CASES: &[GrantCase] = &[
    case(
        "an entry without a mode is free",
        job("top/app").licensed(Free),
        &[("main", "ci_access: { projects: [{ id: top/app }] }")],
        &[("main", "{}")],
    ),
    case(
        "the agent's own identity is free",
        job("top/app").licensed(Free),
        AGENT,
        AGENT_ENTRY,
    ),
    case(
        "the job's identity is Premium",
        job("top/app").licensed(Premium),
        CI_JOB,
        CI_JOB_ENTRY,
    ),
    case(
        "and Ultimate",
        job("top/app").licensed(Ultimate),
        CI_JOB,
        CI_JOB_ENTRY,
    ),
    case(
        "the job's identity is not free: there is no entry then",
        job("top/app").licensed(Free),
        CI_JOB,
        &[],
    ),
    case(
        "a fixed identity is passed on whole",
        job("top/app"),
        STATIC,
        STATIC_ENTRY,
    ),
    case(
        "a fixed identity is not free",
        job("top/app").licensed(Free),
        STATIC,
        &[],
    ),
    case(
        "the user's identity is Premium",
        job("top/app"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, access_as: { ci_user: {} } }] }",
        )],
        &[("main", r#"{ "access_as": { "ci_user": {} } }"#)],
    ),
    case(
        "the user's identity is not free",
        job("top/app").licensed(Free),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, access_as: { ci_user: {} } }] }",
        )],
        &[],
    ),
    case(
        "an unknown mode is no licence's",
        job("top/app").licensed(Ultimate),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, access_as: { root: {} } }] }",
        )],
        &[],
    ),
    case(
        "an empty mode is passed on as it is",
        job("top/app").licensed(Free),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, access_as: {} }] }",
        )],
        &[("main", r#"{ "access_as": {} }"#)],
    ),
    case(
        "an unlicensed entry hides nothing: a farther one decides",
        job("top/mid/app").licensed(Free),
        NEAR_AND_FAR,
        &[("main", r#"{ "default_namespace": "far" }"#)],
    ),
    case(
        "a licensed one does",
        job("top/mid/app"),
        NEAR_AND_FAR,
        &[("main", r#"{ "access_as": { "ci_job": {} } }"#)],
    ),
    case(
        "an unlicensed entry for the agent's own project leaves the implicit grant",
        job("top/config").licensed(Free),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/config, access_as: { ci_job: {} } }] }",
        )],
        &[("main", "{}")],
    ),
    case(
        "a namespace and a mode stand side by side",
        job("top/app"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, default_namespace: apps, access_as: { ci_job: {} } }] }",
        )],
        &[(
            "main",
            r#"{ "default_namespace": "apps", "access_as": { "ci_job": {} } }"#,
        )],
    ),
    case(
        "managed resources are passed on",
        job("top/app"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, resource_management: { enabled: true } }] }",
        )],
        &[("main", r#"{ "resource_management": { "enabled": true } }"#)],
    ),
    case(
        "the instance's entry has a mode, too",
        job("other/app"),
        &[(
            "main",
            "ci_access: { instance: { access_as: { ci_job: {} } } }",
        )],
        &[("main", r#"{ "access_as": { "ci_job": {} } }"#)],
    )
    .with_instance_authorization(),
    case(
        "the instance's mode needs the licence of the job's project",
        job("other/app").licensed(Free),
        &[(
            "main",
            "ci_access: { instance: { access_as: { ci_job: {} } } }",
        )],
        &[],
    )
    .with_instance_authorization(),
];
