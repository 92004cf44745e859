//! A Deployment that changes its image: what a deploy job does and waits for.

use libtest_mimic::Trial;

use crate::{
    cluster::app_image,
    harness::{Needs, trials},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    let mut all = trials![Needs::Node; rollout_is_waited_for_and_undone];
    all.extend(trials![Needs::Pods; condition_is_waited_for]);
    all
}

fn rollout_is_waited_for_and_undone(world: &World) {
    let (job, name) = (world.any_job(), world.name("web"));
    job.kubectl("apply -f -")
        .input(deployment(&name, &app_image(1)))
        .ok();
    let target = format!("deployment/{name}");
    let tag = || job.tag(world, &target);

    let said = job
        .kubectl("rollout status --timeout=60s")
        .arg(&target)
        .ok();
    assert!(said.contains("successfully rolled out"), "{said}");
    assert_eq!(tag(), "1");
    job.kubectl("set image")
        .arg(&target)
        .arg(format!("web={}", app_image(2)))
        .ok();
    job.kubectl("rollout status --timeout=60s")
        .arg(&target)
        .ok();
    assert_eq!(tag(), "2");
    let history = job.kubectl("rollout history").arg(&target).ok();
    assert!(history.contains("\n2 "), "{history}");
    job.kubectl("rollout undo").arg(&target).ok();
    job.kubectl("rollout status --timeout=60s")
        .arg(&target)
        .ok();
    assert_eq!(tag(), "1");
    if world.cluster.has_real_pods().is_ok() {
        let said = job.kubectl("logs").arg(&target).ok();
        assert!(said.contains("web is up"), "{said}");
    }
    job.kubectl("scale --replicas=0").arg(&target).ok();
    job.kubectl("wait --for=delete pod --timeout=60s --selector")
        .arg(format!("app={name}"))
        .ok();
    job.kubectl("delete").arg(&target).ok();
}

fn condition_is_waited_for(world: &World) {
    let (job, name) = (world.any_job(), world.name("task"));
    let task = format!("job/{name}");
    job.kubectl("apply -f -")
        .input(task_manifest(&name, &app_image(1)))
        .ok();
    job.kubectl("wait --for=condition=complete --timeout=60s")
        .arg(&task)
        .ok();
    assert_eq!(job.kubectl("logs").arg(&task).ok(), "done\n");
    let late = job
        .kubectl("wait --for=condition=failed --timeout=1s")
        .arg(&task)
        .failure();
    assert!(
        late.contains("timed out waiting for the condition"),
        "{late}"
    );
}

fn deployment(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: shop }}
spec:
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      serviceAccountName: bench
      terminationGracePeriodSeconds: 0
      containers:
        - name: web
          image: {image}
          imagePullPolicy: Never
          command: [sh, -c, 'echo web is up; exec httpd -f -p 8080 -h /var/www']
          readinessProbe: {{ tcpSocket: {{ port: 8080 }}, periodSeconds: 1 }}
"
    )
}

fn task_manifest(name: &str, image: &str) -> String {
    format!(
        "apiVersion: batch/v1
kind: Job
metadata: {{ name: {name}, namespace: shop }}
spec:
  template:
    spec:
      serviceAccountName: bench
      restartPolicy: Never
      containers:
        - {{ name: task, image: '{image}', imagePullPolicy: Never, command: [echo, done] }}
"
    )
}
