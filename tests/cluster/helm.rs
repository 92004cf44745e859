//! helm, with a chart of the repository's: it keeps its history in Secrets, which jobs may write here.

use libtest_mimic::Trial;
use serde_json::Value;
use xtask::workspace;

use crate::{
    cluster::app_image,
    harness::{Needs, trials},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::Node; chart_is_installed_upgraded_rolled_back_and_uninstalled]
}

fn chart_is_installed_upgraded_rolled_back_and_uninstalled(world: &World) {
    let (job, release) = (world.any_job(), world.name("release"));
    let helm = |line: &str| job.helm(world, line).arg(&release);
    let with_chart = |line: &str, tag: u32| {
        let image = app_image(tag);
        let call = helm(line).arg(workspace::root().join("tests/fixtures/chart"));
        call.args("--wait --timeout=60s --set serviceAccount=bench")
            .arg(format!("--set=image={image}"))
    };
    let tag = || job.tag(world, &format!("deployment/{release}"));

    with_chart("install", 1).ok();
    assert_eq!(tag(), "1");
    with_chart("upgrade", 2).ok();
    assert_eq!(tag(), "2");
    let history: Value = serde_json::from_str(&helm("history --output=json").ok()).unwrap();
    assert_eq!(history.as_array().map(Vec::len), Some(2), "{history}");
    helm("rollback --wait --timeout=60s").arg("1").ok();
    assert_eq!(tag(), "1");
    let listed = job.helm(world, "list --short").ok();
    assert!(listed.lines().any(|line| line == release), "{listed}");
    helm("uninstall --wait --timeout=60s").ok();
    let selector = format!("--selector=app.kubernetes.io/instance={release}");
    assert_eq!(
        job.kubectl("get deployments,services --output=name")
            .arg(selector)
            .ok(),
        ""
    );
}
