//! Projects: explicit entries, and the grant that each configuration project has without one.

use super::{GrantCase, case, job};

pub(super) const CASES: &[GrantCase] = &[
    case(
        "an agent is for its own project's jobs, with no file at all",
        job("top/config"),
        &[],
        &[("main", "{}")],
    ),
    case(
        "an agent without a file is for nobody else",
        job("top/app"),
        &[],
        &[],
    ),
    case(
        "an empty file changes nothing",
        job("top/config"),
        &[("main", "ci_access: {}")],
        &[("main", "{}")],
    ),
    case(
        "a project entry lets that project in",
        job("top/app"),
        &[("main", "ci_access: { projects: [{ id: top/app }] }")],
        &[("main", "{}")],
    ),
    case(
        "a project entry lets no other project in",
        job("top/mid/app"),
        &[("main", "ci_access: { projects: [{ id: top/app }] }")],
        &[],
    ),
    case(
        "a project entry is no entry for what its path begins",
        job("top/mid/low/app"),
        &[("main", "ci_access: { projects: [{ id: top/mid }] }")],
        &[],
    ),
    case(
        "a path is compared without regard to case",
        job("top/mid/app"),
        &[("main", "ci_access: { projects: [{ id: TOP/Mid/APP }] }")],
        &[("main", "{}")],
    ),
    case(
        "an unknown path is dropped, and its neighbours stay",
        job("top/app"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/gone }, { id: top/app }] }",
        )],
        &[("main", "{}")],
    ),
    case(
        "an explicit entry for the agent's own project comes before the implicit one",
        job("top/config"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/config, default_namespace: here }] }",
        )],
        &[("main", r#"{ "default_namespace": "here" }"#)],
    ),
    case(
        "an explicit entry can shut the agent's own project out",
        job("top/config"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/config, environments: [prod] }] }",
        )],
        &[],
    ),
    case(
        "the implicit grant comes before a group's",
        job("top/config"),
        &[(
            "main",
            "ci_access: { groups: [{ id: top, default_namespace: groups }] }",
        )],
        &[("main", "{}")],
    ),
    case(
        "a project entry comes before a group's",
        job("top/mid/app"),
        &[(
            "main",
            "ci_access: { groups: [{ id: top/mid, default_namespace: group }],
               projects: [{ id: top/mid/app, default_namespace: project }] }",
        )],
        &[("main", r#"{ "default_namespace": "project" }"#)],
    ),
    case(
        "entries are not merged: what the project's leaves out stays out",
        job("top/mid/app"),
        &[(
            "main",
            "ci_access: { groups: [{ id: top/mid, default_namespace: group }], projects: [{ id: top/mid/app }] }",
        )],
        &[("main", "{}")],
    ),
    case(
        "of two entries for one project the last counts",
        job("top/app"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, default_namespace: one }, { id: top/app, default_namespace: two }] }",
        )],
        &[("main", r#"{ "default_namespace": "two" }"#)],
    ),
    case(
        "of two entries that differ in case only the last counts",
        job("top/app"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, default_namespace: one }, { id: Top/App, environments: [prod] }] }",
        )],
        &[],
    ),
    case(
        "two agents can let one project in",
        job("top/app"),
        &[
            ("main", "ci_access: { projects: [{ id: top/app }] }"),
            (
                "second",
                "ci_access: { projects: [{ id: top/app, default_namespace: two }] }",
            ),
        ],
        &[
            ("main", "{}"),
            ("second", r#"{ "default_namespace": "two" }"#),
        ],
    ),
    case(
        "agents by a project entry are listed before agents by a group's",
        job("top/app"),
        &[
            ("main", "ci_access: { groups: [{ id: top }] }"),
            ("second", "ci_access: { projects: [{ id: top/app }] }"),
        ],
        &[("second", "{}"), ("main", "{}")],
    ),
    case(
        "a project of another top-level group cannot be let in",
        job("other/app"),
        &[("main", "ci_access: { projects: [{ id: other/app }] }")],
        &[],
    ),
    case(
        "a project of another top-level group can, where instance level authorization is on",
        job("other/app"),
        &[("main", "ci_access: { projects: [{ id: other/app }] }")],
        &[("main", "{}")],
    )
    .with_instance_authorization(),
    case(
        "an agent of a user's project lets in that user's other projects",
        job("alice/tool"),
        &[("own", "ci_access: { projects: [{ id: alice/tool }] }")],
        &[("own", "{}")],
    ),
    case(
        "an agent of a user's project lets in no other user's",
        job("bob/tool"),
        &[("own", "ci_access: { projects: [{ id: bob/tool }] }")],
        &[],
    ),
    case(
        "an agent of a user's project is for that project's own jobs",
        job("alice/config"),
        &[],
        &[("own", "{}")],
    ),
    case(
        "a group's agent lets in no user's project",
        job("alice/tool"),
        &[("main", "ci_access: { projects: [{ id: alice/tool }] }")],
        &[],
    ),
];
