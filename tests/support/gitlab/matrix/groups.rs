//! Groups, groups in groups, and the whole instance.

use super::{GrantCase, case, job};

pub(super) const CASES: &[GrantCase] = &[
    case(
        "a group entry lets the group's projects in",
        job("top/app"),
        &[("main", "ci_access: { groups: [{ id: top }] }")],
        &[("main", "{}")],
    ),
    case(
        "a group entry lets projects of its subgroups in, at any depth",
        job("top/mid/low/app"),
        &[("main", "ci_access: { groups: [{ id: top }] }")],
        &[("main", "{}")],
    ),
    case(
        "a subgroup's entry lets its own projects in",
        job("top/mid/app"),
        &[("main", "ci_access: { groups: [{ id: top/mid }] }")],
        &[("main", "{}")],
    ),
    case(
        "a subgroup's entry lets none of its parent's projects in",
        job("top/app"),
        &[("main", "ci_access: { groups: [{ id: top/mid }] }")],
        &[],
    ),
    case(
        "a subgroup's entry lets none of its siblings' projects in",
        job("top/side/app"),
        &[("main", "ci_access: { groups: [{ id: top/mid }] }")],
        &[],
    ),
    case(
        "a group's path is compared without regard to case",
        job("top/mid/app"),
        &[("main", "ci_access: { groups: [{ id: Top/MID }] }")],
        &[("main", "{}")],
    ),
    case(
        "a group entry does not name a project",
        job("top/app"),
        &[("main", "ci_access: { groups: [{ id: top/app }] }")],
        &[],
    ),
    case(
        "an unknown group is dropped, and its neighbours stay",
        job("top/app"),
        &[("main", "ci_access: { groups: [{ id: nowhere }, { id: top }] }")],
        &[("main", "{}")],
    ),
    case(
        "the nearest group decides",
        job("top/mid/low/app"),
        &[(
            "main",
            "ci_access: { groups: [{ id: top, default_namespace: far }, { id: top/mid/low, default_namespace: near },
               { id: top/mid, default_namespace: between }] }",
        )],
        &[("main", r#"{ "default_namespace": "near" }"#)],
    ),
    case(
        "the middle one decides where there is no nearer",
        job("top/mid/low/app"),
        &[(
            "main",
            "ci_access: { groups: [{ id: top, default_namespace: far }, { id: top/mid, default_namespace: between }] }",
        )],
        &[("main", r#"{ "default_namespace": "between" }"#)],
    ),
    case(
        "a nearer group that is filtered out hides the farther",
        job("top/mid/app").to("production"),
        &[(
            "main",
            "ci_access: { groups: [{ id: top }, { id: top/mid, environments: [staging] }] }",
        )],
        &[],
    ),
    case(
        "a project entry that is filtered out hides the group's",
        job("top/mid/app").to("production"),
        &[(
            "main",
            "ci_access: { groups: [{ id: top/mid }], projects: [{ id: top/mid/app, environments: [staging] }] }",
        )],
        &[],
    ),
    case(
        "of two entries for one group the last counts",
        job("top/app"),
        &[(
            "main",
            "ci_access: { groups: [{ id: top, default_namespace: one }, { id: TOP, default_namespace: two }] }",
        )],
        &[("main", r#"{ "default_namespace": "two" }"#)],
    ),
    case(
        "an agent of a subgroup lets its whole top-level group in",
        job("top/side/app"),
        &[("second", "ci_access: { groups: [{ id: top }] }")],
        &[("second", "{}")],
    ),
    case(
        "another top-level group cannot be let in",
        job("other/app"),
        &[("main", "ci_access: { groups: [{ id: other }] }")],
        &[],
    ),
    case(
        "another top-level group can, where instance level authorization is on",
        job("other/app"),
        &[("main", "ci_access: { groups: [{ id: other }] }")],
        &[("main", "{}")],
    )
    .with_instance_authorization(),
    case(
        "an agent of a user's project lets no group in",
        job("top/app"),
        &[("own", "ci_access: { groups: [{ id: top }] }")],
        &[],
    ),
    case(
        "a user's name is no group",
        job("alice/tool"),
        &[("own", "ci_access: { groups: [{ id: alice }] }")],
        &[],
    ),
    case(
        "each agent has its own nearest entry",
        job("top/mid/app"),
        &[
            ("main", "ci_access: { groups: [{ id: top, default_namespace: a }] }"),
            ("second", "ci_access: { groups: [{ id: top/mid, default_namespace: b }] }"),
        ],
        &[
            ("main", r#"{ "default_namespace": "a" }"#),
            ("second", r#"{ "default_namespace": "b" }"#),
        ],
    ),
    case(
        "an instance entry means nothing where instance level authorization is off",
        job("other/app"),
        &[("main", "ci_access: { instance: {} }")],
        &[],
    ),
    case(
        "an instance entry lets everybody in where it is on",
        job("other/app"),
        &[("main", "ci_access: { instance: { default_namespace: all } }")],
        &[("main", r#"{ "default_namespace": "all" }"#)],
    )
    .with_instance_authorization(),
    case(
        "an instance entry lets users' projects in",
        job("bob/tool"),
        &[("foreign", "ci_access: { instance: {} }")],
        &[("foreign", "{}")],
    )
    .with_instance_authorization(),
    case(
        "a group entry comes before the instance's",
        job("top/app"),
        &[(
            "main",
            "ci_access: { instance: { default_namespace: all }, groups: [{ id: top, default_namespace: group }] }",
        )],
        &[("main", r#"{ "default_namespace": "group" }"#)],
    )
    .with_instance_authorization(),
    case(
        "a group entry that is filtered out hides the instance's",
        job("top/app"),
        &[(
            "main",
            "ci_access: { instance: {}, groups: [{ id: top, environments: [prod] }] }",
        )],
        &[],
    )
    .with_instance_authorization(),
];
