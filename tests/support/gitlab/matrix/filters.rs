//! Environments and protected refs.

use super::{
    CaseRef::{Branch, Tag},
    GrantCase, case, job,
};

const PROD: &[(&str, &str)] = &[(
    "main",
    "ci_access: { projects: [{ id: top/app, environments: [production] }] }",
)];
const PROD_ENTRY: &[(&str, &str)] = &[("main", r#"{ "environments": ["production"] }"#)];
const REVIEW: &[(&str, &str)] = &[(
    "main",
    "ci_access: { groups: [{ id: top, environments: [staging, 'review/*'] }] }",
)];
const REVIEW_ENTRY: &[(&str, &str)] = &[("main", r#"{ "environments": ["staging", "review/*"] }"#)];
const PROTECTED: &[(&str, &str)] = &[(
    "main",
    "ci_access: { projects: [{ id: top/app, protected_branches_only: true }] }",
)];
const PROTECTED_ENTRY: &[(&str, &str)] = &[("main", r#"{ "protected_branches_only": true }"#)];
const BOTH: &[(&str, &str)] = &[(
    "main",
    "ci_access: { projects: [{ id: top/app, environments: [production], protected_branches_only: true }] }",
)];

pub(super) const CASES: &[GrantCase] = &[
    case(
        "the named environment passes",
        job("top/app").to("production"),
        PROD,
        PROD_ENTRY,
    ),
    case(
        "another environment does not",
        job("top/app").to("staging"),
        PROD,
        &[],
    ),
    case("no environment does not", job("top/app"), PROD, &[]),
    case(
        "an environment's name is compared with its case",
        job("top/app").to("Production"),
        PROD,
        &[],
    ),
    case(
        "a name without a wildcard is compared whole",
        job("top/app").to("production-2"),
        PROD,
        &[],
    ),
    case(
        "any environment passes an entry that names none",
        job("top/app").to("anything/at all"),
        &[("main", "ci_access: { projects: [{ id: top/app }] }")],
        &[("main", "{}")],
    ),
    case(
        "no environment passes an entry that names none",
        job("top/app"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, environments: [] }] }",
        )],
        &[("main", r#"{ "environments": [] }"#)],
    ),
    case(
        "an environment that is not stored yet is none",
        job("top/app").to("production").before_it_is_stored(),
        PROD,
        &[],
    ),
    case(
        "a wildcard passes a name below it",
        job("top/app").to("review/a"),
        REVIEW,
        REVIEW_ENTRY,
    ),
    case(
        "a wildcard passes slashes",
        job("top/app").to("review/a/b"),
        REVIEW,
        REVIEW_ENTRY,
    ),
    case(
        "a wildcard passes an empty rest",
        job("top/app").to("review/"),
        REVIEW,
        REVIEW_ENTRY,
    ),
    case(
        "a wildcard does not pass its prefix cut short",
        job("top/app").to("review"),
        REVIEW,
        &[],
    ),
    case(
        "any of several patterns is enough",
        job("top/app").to("staging"),
        REVIEW,
        REVIEW_ENTRY,
    ),
    case(
        "none of several patterns is not",
        job("top/app").to("production"),
        REVIEW,
        &[],
    ),
    case(
        "a lone wildcard passes every environment",
        job("top/app").to("x"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, environments: ['*'] }] }",
        )],
        &[("main", r#"{ "environments": ["*"] }"#)],
    ),
    case(
        "a lone wildcard does not pass none",
        job("top/app"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, environments: ['*'] }] }",
        )],
        &[],
    ),
    case(
        "GitLab's wildcards have no anchor in front",
        job("top/app").to("eu/review/a"),
        REVIEW,
        REVIEW_ENTRY,
    ),
    case(
        "GitLab's wildcards have no anchor behind",
        job("top/app").to("eu-prod-2"),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, environments: ['*-prod'] }] }",
        )],
        &[("main", r#"{ "environments": ["*-prod"] }"#)],
    ),
    case(
        "a protected branch passes",
        job("top/app"),
        PROTECTED,
        PROTECTED_ENTRY,
    ),
    case(
        "an unprotected branch does not",
        job("top/app").on(Branch("feature")),
        PROTECTED,
        &[],
    ),
    case(
        "a branch that a wildcard protects passes",
        job("top/app").on(Branch("release/1")),
        PROTECTED,
        PROTECTED_ENTRY,
    ),
    case(
        "a protected tag passes",
        job("top/app").on(Tag("v1.0")),
        PROTECTED,
        PROTECTED_ENTRY,
    ),
    case(
        "an unprotected tag does not",
        job("top/app").on(Tag("nightly")),
        PROTECTED,
        &[],
    ),
    case(
        "a tag is not protected by a branch's name",
        job("top/app").on(Tag("main")),
        PROTECTED,
        &[],
    ),
    case(
        "an unprotected branch passes an entry that does not mind",
        job("top/app").on(Branch("feature")),
        &[(
            "main",
            "ci_access: { projects: [{ id: top/app, protected_branches_only: false }] }",
        )],
        &[("main", r#"{ "protected_branches_only": false }"#)],
    ),
    case(
        "an unprotected branch uses its own project's agent",
        job("top/config").on(Branch("feature")),
        &[],
        &[("main", "{}")],
    ),
    case(
        "both filters pass",
        job("top/app").to("production"),
        BOTH,
        &[(
            "main",
            r#"{ "environments": ["production"], "protected_branches_only": true }"#,
        )],
    ),
    case(
        "the environment passes, the branch does not",
        job("top/app").to("production").on(Branch("feature")),
        BOTH,
        &[],
    ),
    case(
        "the branch passes, the environment does not",
        job("top/app").to("staging"),
        BOTH,
        &[],
    ),
    case(
        "a project entry for protected branches hides the group's for all",
        job("top/app").on(Branch("feature")),
        &[(
            "main",
            "ci_access: { groups: [{ id: top }], projects: [{ id: top/app, protected_branches_only: true }] }",
        )],
        &[],
    ),
];
