//! What RBAC must allow before a command works: the table in `docs/install.md`, each line with the verbs it names and no
//! others.

use std::fmt::Write;

use libtest_mimic::Trial;

use crate::{
    client::{Carrier, Client},
    cluster::app_image,
    harness::{Needs, trials, trials_by_client},
    job::{Call, Job},
    world::World,
};

pub fn trials() -> Vec<Trial> {
    let mut all = trials![Needs::ControlPlane;
        deletion_waits_by_get_list_and_watch,
        apply_needs_get_and_create_or_patch,
        apply_at_the_server_needs_patch_and_for_a_new_object_create,
        what_is_only_tried_at_the_server_needs_create,
        waiting_needs_get_list_and_watch,
    ];
    all.extend(trials_by_client![Needs::Node;
        exec_needs_get_on_pods_and_create_below,
        port_forward_needs_get_on_pods_and_create_below,
    ]);
    all.extend(trials![Needs::Pods; logs_of_a_deployment_need_its_pods]);
    all
}

fn deletion_waits_by_get_list_and_watch(world: &World) {
    let narrow = Narrow::new(world, &[("", "secrets", "delete, get, list, watch")]);
    world
        .admin("create secret generic held --namespace")
        .arg(&narrow.namespace)
        .ok();
    let finalize = |value: &str| {
        let patch = format!(r#"--patch={{"metadata":{{"finalizers":{value}}}}}"#);
        world
            .admin("patch secret held --type=merge --namespace")
            .arg(&narrow.namespace)
            .arg(patch)
            .ok()
    };
    finalize(r#"["test.adit/held"]"#);
    let job = world.any_job();
    let mut deletion = narrow.kubectl(&job, "delete secret held").start();
    deletion.hears("deleted");
    assert!(deletion.is_running(), "it waits");
    finalize("null");
    deletion.ended().ok();
}

fn apply_needs_get_and_create_or_patch(world: &World) {
    let narrow = Narrow::new(world, &[("", "configmaps", "get, create, patch")]);
    let job = world.any_job();
    for value in ["1", "2"] {
        let manifest = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: applied }}\ndata: {{ key: '{value}' }}\n"
        );
        narrow.kubectl(&job, "apply -f -").input(manifest).ok();
    }
    let blind = Narrow::new(world, &[("", "configmaps", "create, patch")]);
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: applied }\n";
    let said = blind.kubectl(&job, "apply -f -").input(manifest).failure();
    assert!(
        said.contains("cannot get resource \"configmaps\""),
        "{said}"
    );
}

/// It reads nothing first, and is a PATCH, whether the object is there or not.
fn apply_at_the_server_needs_patch_and_for_a_new_object_create(world: &World) {
    let job = world.any_job();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: applied }\n";
    let apply = |verbs: &str, is_there: bool| {
        let narrow = Narrow::new(world, &[("", "configmaps", verbs)]);
        if is_there {
            world
                .admin("create configmap applied --namespace")
                .arg(&narrow.namespace)
                .ok();
        }
        let apply = narrow.kubectl(&job, "apply --server-side -f -");
        apply.input(manifest).run()
    };
    for (verbs, is_there, lacks) in [
        ("create, patch", false, None),
        ("patch", true, None),
        ("create", false, Some("patch")),
        ("create", true, Some("patch")),
        ("patch", false, Some("create")),
    ] {
        let ended = apply(verbs, is_there);
        let Some(lacks) = lacks else {
            assert_eq!(ended.code, Some(0), "{verbs}, {is_there}: {ended}");
            continue;
        };
        let why = format!("cannot {lacks} resource \"configmaps\"");
        let is_refused = ended.code != Some(0) && ended.stderr.contains(&why);
        assert!(is_refused, "{verbs}, {is_there}: {ended}");
    }
}

fn what_is_only_tried_at_the_server_needs_create(world: &World) {
    let job = world.any_job();
    let tried = |verbs: &str| {
        let narrow = Narrow::new(world, &[("", "configmaps", verbs)]);
        narrow.kubectl(&job, "create configmap tried --dry-run=server")
    };
    tried("create").ok();
    let said = tried("get, patch").failure();
    assert!(
        said.contains("cannot create resource \"configmaps\""),
        "{said}"
    );
}

fn waiting_needs_get_list_and_watch(world: &World) {
    let narrow = Narrow::new(world, &[("apps", "deployments", "get, list, watch")]);
    world
        .admin("create deployment none --image=none --replicas=0 --namespace")
        .arg(&narrow.namespace)
        .ok();
    let job = world.any_job();
    narrow
        .kubectl(&job, "rollout status deployment/none --timeout=30s")
        .ok();
    narrow
        .kubectl(
            &job,
            "wait deployment/none --for=condition=Available --timeout=30s",
        )
        .ok();

    let blind = Narrow::new(world, &[("apps", "deployments", "list, watch")]);
    let said = blind
        .kubectl(&job, "rollout status deployment/none")
        .failure();
    assert!(
        said.contains("cannot get resource \"deployments\""),
        "{said}"
    );
}

/// `get` below, too, for WebSockets: without it kubectl goes back to SPDY, and says nothing.
fn exec_needs_get_on_pods_and_create_below(world: &World, client: &Client) {
    let cases = [("create", Carrier::Spdy), ("create, get", client.carrier())];
    for (verbs, carrier) in cases {
        let job = world.job(client);
        let narrow = Narrow::with_pod(world, &[("", "pods", "get"), ("", "pods/exec", verbs)]);
        assert_eq!(
            narrow.kubectl(&job, "exec pod -- echo hello").ok(),
            "hello\n"
        );
        let upgrades = world.shared().relay.upgrades(&[job.identity.job]);
        assert_eq!(upgrades, [carrier.upgrade("exec")]);
        let said = narrow.kubectl(&job, "logs pod").failure();
        assert!(said.contains("cannot get resource \"pods/log\""), "{said}");
    }
    let job = world.job(client);
    let narrow = Narrow::with_pod(world, &[("", "pods", "get"), ("", "pods/exec", "get")]);
    let said = narrow.kubectl(&job, "exec pod -- echo hello").failure();
    assert!(
        said.contains(&job.user()) && said.contains("cannot create resource \"pods/exec\""),
        "{said}"
    );
}

fn port_forward_needs_get_on_pods_and_create_below(world: &World, client: &Client) {
    let job = world.job(client);
    let narrow = Narrow::with_pod(
        world,
        &[("", "pods", "get"), ("", "pods/portforward", "create")],
    );
    let mut forward = narrow.kubectl(&job, "port-forward pod/pod :8080").start();
    forward.hears("Forwarding from 127.0.0.1:");

    let narrow = Narrow::with_pod(
        world,
        &[("", "pods", "get"), ("", "pods/portforward", "get")],
    );
    let said = narrow.kubectl(&job, "port-forward pod/pod :8080").failure();
    assert!(
        said.contains("cannot create resource \"pods/portforward\""),
        "{said}"
    );
}

fn logs_of_a_deployment_need_its_pods(world: &World) {
    let rules = [
        ("apps", "deployments", "get"),
        ("", "pods", "list"),
        ("", "pods/log", "get"),
    ];
    let narrow = Narrow::new(world, &rules);
    let image = format!("--image={}", app_image(1));
    let call = world
        .admin("create deployment talker --dry-run=client --output=json")
        .arg(image);
    let manifest = call.args("-- sh -c").arg("echo talking; sleep 600").ok();
    let manifest = manifest.replace(r#""resources": {}"#, r#""imagePullPolicy": "Never""#);
    world
        .admin("apply -f - --namespace")
        .arg(&narrow.namespace)
        .input(manifest)
        .ok();
    world
        .admin("rollout status deployment/talker --timeout=60s --namespace")
        .arg(&narrow.namespace)
        .ok();
    assert_eq!(
        narrow
            .kubectl(&world.any_job(), "logs deployment/talker")
            .ok(),
        "talking\n"
    );
}

/// A namespace in which jobs may do exactly what these rules say: API group, resource, verbs.
struct Narrow {
    namespace: String,
}

impl Narrow {
    fn new(world: &World, rules: &[(&str, &str, &str)]) -> Self {
        let namespace = world.name("narrow");
        let mut manifest = NARROW.replace("NAME", &namespace);
        for (group, resource, verbs) in rules {
            writeln!(
                manifest,
                "  - {{ apiGroups: ['{group}'], resources: ['{resource}'], verbs: [{verbs}] }}"
            )
            .unwrap();
        }
        world.admin("apply -f -").input(manifest).ok();
        Self { namespace }
    }

    /// With a pod named `pod`.
    fn with_pod(world: &World, rules: &[(&str, &str, &str)]) -> Self {
        let narrow = Self::new(world, rules);
        let pod = POD.replace("IMAGE", &app_image(1));
        world
            .admin("apply -f - --namespace")
            .arg(&narrow.namespace)
            .input(pod)
            .ok();
        world
            .admin("wait pod/pod --for=condition=Ready --timeout=60s --namespace")
            .arg(&narrow.namespace)
            .ok();
        narrow
    }

    fn kubectl(&self, job: &Job, line: &str) -> Call {
        job.kubectl("--namespace").arg(&self.namespace).args(line)
    }
}

const NARROW: &str = "apiVersion: v1
kind: Namespace
metadata: { name: NAME }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: bench, namespace: NAME }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: adit-agent, namespace: NAME }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: adit-agent-in-namespace }
subjects:
  - { kind: ServiceAccount, name: adit-agent, namespace: adit-agent }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: narrow, namespace: NAME }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: narrow }
subjects:
  - { apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'gitlab:ci_job' }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: narrow, namespace: NAME }
rules:
";

const POD: &str = "apiVersion: v1
kind: Pod
metadata: { name: pod }
spec:
  serviceAccountName: bench
  terminationGracePeriodSeconds: 0
  containers: [{ name: pod, image: 'IMAGE', imagePullPolicy: Never }]
";
