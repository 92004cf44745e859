//! What most tests begin with: one project, and an agent that its jobs may use.

use super::{GitLab, Role};

/// The group `group` (23) with `sub` (25), the project (150), its agents, a developer.
///
/// # Panics
///
/// When there is something of that already.
pub fn arrange(gitlab: &GitLab) {
    let mut world = gitlab.world();
    world.number(23).group("group");
    world.number(25).group("group/sub");
    world.number(150).project("group/sub/app");
    world.number(12).user("dev1");
    world.member("dev1", "group", Role::Developer);
    for (id, name) in [(1, "prod"), (2, "staging")] {
        world.number(id).agent("group/sub/app", name);
    }
    let granted =
        r#"{"ci_access":{"projects":[{"id":"group/sub/app","access_as":{"ci_job":{}}}]}}"#;
    world.configure_yaml(1, granted).unwrap();
}
