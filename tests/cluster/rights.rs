//! What somebody can do who holds an agent's own credentials: for each form of `adit manifests agent`, whoever takes over relay
//! and agent tries to break out of it, at the API server itself. What is refused is refused by the agent's own roles: the
//! group that the thief acts for may do everything.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use adit_tests::Settings;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use xtask::workspace;

use crate::{
    client::Client,
    harness::{Needs, trials},
    installation::{Agent, Relay, Ways},
    job::{Call, Job},
    until::until,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::ControlPlane;
        what_is_not_listed_is_refused,
        nobody_is_a_machine_or_a_master,
        only_listed_users_and_groups_pass,
        reading_everywhere_excludes_secrets,
        what_is_listed_for_everywhere_and_of_identities_is_all_there_is,
        before_constrained_impersonation_only_groups_hold,
        before_constrained_impersonation_listed_users_hold_too,
        before_constrained_impersonation_roles_for_it_let_nobody_act,
        before_constrained_impersonation_the_agents_ceiling_holds_the_rest,
        flux_lets_it_make_secrets_and_look_at_none,
        documented_roles_allow_what_is_said_of_them,
    ]
}

fn what_is_not_listed_is_refused(world: &World) {
    let thief = Thief::new(world, |namespace| {
        format!("--namespace {namespace} --allow create,delete:secrets")
    });
    let (namespace, owner) = (&thief.name, thief.owner());
    thief.until_allowed(&format!(
        "{owner} create secret generic a --namespace {namespace}"
    ));
    thief.is_allowed(&format!(
        "{owner} delete secret a --namespace {namespace} --wait=false"
    ));
    for beyond in [
        format!("get secrets --namespace {namespace}"),
        format!("create configmap a --namespace {namespace}"),
        format!("create token default --namespace {namespace}"),
        format!(
            "create rolebinding a --clusterrole=cluster-admin --user=a --namespace {namespace}"
        ),
        format!("delete namespace {namespace}"),
        format!("exec pod --namespace {namespace} -- true"),
        "create secret generic a --namespace default".into(),
        "get secrets --namespace kube-system".into(),
        "get pods --all-namespaces".into(),
        "get nodes".into(),
        "create namespace more".into(),
        "create clusterrolebinding a --clusterrole=cluster-admin --user=a".into(),
        "get --raw /metrics".into(),
        "get --raw /api/v1/nodes/adit-node/proxy/metrics".into(),
    ] {
        thief.is_refused(
            &format!("{owner} {beyond}"),
            "cannot impersonate-on:user-info:",
        );
    }
}

fn nobody_is_a_machine_or_a_master(world: &World) {
    let thief = Thief::new(world, |namespace| format!("--namespace {namespace}"));
    let (namespace, owner) = (&thief.name, thief.owner());
    thief.until_allowed(&format!("{owner} get secrets --namespace {namespace}"));
    let others = [
        "--as=system:masters --as-group=system:masters".to_owned(),
        format!("{owner} --as-group=system:masters"),
        "--as=system:serviceaccount:kube-system:default".to_owned(),
        format!("--as=system:serviceaccount:kube-system:default --as-group={namespace}"),
        "--as=system:node:adit-node".to_owned(),
        "--as=system:node:adit-node --as-group=system:nodes".to_owned(),
        format!("{owner} --as-uid=1"),
        format!("{owner} --as-user-extra=example.com/a=b"),
    ];
    thief.can_be_nobody_else(&others, namespace);
    thief.is_refused("get namespaces", "cannot list");
}

fn only_listed_users_and_groups_pass(world: &World) {
    let thief = Thief::new(world, |namespace| {
        format!("--namespace {namespace} --group gitlab:ci_job --group {namespace} --user deployer")
    });
    let namespace = &thief.name;
    let listed = format!("--as=deployer --as-group=gitlab:ci_job --as-group={namespace}");
    thief.until_allowed(&format!("{listed} get secrets --namespace {namespace}"));
    for identity in [
        format!("--as=deployer --as-group={namespace} --as-group=others"),
        "--as=deployer --as-group=kubeadm:cluster-admins".to_owned(),
        format!("--as=somebody --as-group={namespace}"),
        "--as=system:kube-controller-manager".to_owned(),
    ] {
        thief.is_refused(
            &format!("{identity} get secrets --namespace {namespace}"),
            "cannot impersonate",
        );
    }
}

fn reading_everywhere_excludes_secrets(world: &World) {
    let thief = Thief::new(world, |_| "--read-everywhere".to_owned());
    let owner = thief.owner();
    thief.until_allowed(&format!("{owner} get nodes"));
    thief.is_allowed(&format!(
        "{owner} get pods,deployments.apps --all-namespaces"
    ));
    for beyond in [
        "get secrets --all-namespaces",
        "create configmap a --namespace default",
        "create serviceaccount a --namespace default",
        "create token default --namespace kube-system",
        "create clusterrolebinding a --clusterrole=cluster-admin --user=a",
    ] {
        thief.is_refused(
            &format!("{owner} {beyond}"),
            "cannot impersonate-on:user-info:",
        );
    }
}

fn what_is_listed_for_everywhere_and_of_identities_is_all_there_is(world: &World) {
    let thief = Thief::new(world, |_| {
        "--allow-everywhere get:configmaps --extra example.com/a --uids".to_owned()
    });
    let owner = thief.owner();
    let whole = format!("{owner} --as-uid=1 --as-user-extra=example.com/a=b");
    let one = "get configmap kube-root-ca.crt --namespace";
    thief.until_allowed(&format!("{whole} {one} default"));
    thief.is_allowed(&format!("{owner} {one} kube-system"));
    for beyond in [
        "get configmaps --namespace default",
        "get secrets --namespace default",
        "create configmap a --namespace default",
        "get nodes",
    ] {
        thief.is_refused(
            &format!("{whole} {beyond}"),
            "cannot impersonate-on:user-info:",
        );
    }
    let others = [
        format!("{owner} --as-user-extra=example.com/c=d"),
        format!("{owner} --as-group=system:masters --as-uid=1"),
        "--as=system:serviceaccount:kube-system:default --as-uid=1".to_owned(),
        "--as=system:node:adit-node --as-uid=1".to_owned(),
    ];
    for other in others {
        thief.is_refused(&format!("{other} {one} default"), "cannot impersonate");
    }
    thief.is_refused(&format!("{one} default"), "cannot get");
}

/// `docs/rbac.md` says so: the API server holds as whom, not what, and of users it holds only service accounts. A newer one as well, whose
/// agents have these rights.
fn before_constrained_impersonation_only_groups_hold(world: &World) {
    for admin in [world.cluster.unconstrained(), &world.cluster.kubeconfig] {
        let thief = Thief::at(world, admin, |namespace| {
            format!("--kubernetes 1.35 --group gitlab:ci_job --group {namespace}")
        });
        let (namespace, owner) = (&thief.name, thief.owner());
        thief.until_allowed(&format!("{owner} get secrets --namespace {namespace}"));
        thief.is_allowed(&format!("{owner} get nodes"));
        thief.is_allowed("--as=system:kube-controller-manager get secrets --namespace kube-system");
        let others = [
            "--as=a --as-group=system:masters".to_owned(),
            "--as=a --as-group=kubeadm:cluster-admins".to_owned(),
            "--as=system:serviceaccount:kube-system:default".to_owned(),
            "--as=system:node:adit-node --as-group=system:nodes".to_owned(),
            format!("{owner} --as-uid=1"),
            format!("{owner} --as-user-extra=example.com/a=b"),
        ];
        thief.can_be_nobody_else(&others, namespace);
    }
}

fn before_constrained_impersonation_listed_users_hold_too(world: &World) {
    let thief = Thief::at(world, world.cluster.unconstrained(), |namespace| {
        format!("--kubernetes 1.35 --user deployer --group gitlab:ci_job --group {namespace}")
    });
    let namespace = &thief.name;
    let listed = format!("--as=deployer --as-group=gitlab:ci_job --as-group={namespace}");
    thief.until_allowed(&format!("{listed} get secrets --namespace {namespace}"));
    let others = [
        thief.owner(),
        format!("--as=gitlab:ci_job:9001 --as-group={namespace}"),
        "--as=system:kube-controller-manager".to_owned(),
        "--as=system:node:adit-node".to_owned(),
        format!("{listed} --as-group=system:nodes"),
        format!("{listed} --as-group=system:masters"),
        format!("{listed} --as-group=others"),
        format!("--as=system:serviceaccount:kube-system:default --as-group={namespace}"),
        format!("{listed} --as-uid=1"),
        format!("{listed} --as-user-extra=example.com/a=b"),
    ];
    thief.can_be_nobody_else(&others, namespace);
}

/// `docs/rbac.md` has what is said then, by which it is known.
fn before_constrained_impersonation_roles_for_it_let_nobody_act(world: &World) {
    let thief = Thief::at(world, world.cluster.unconstrained(), |namespace| {
        format!("--namespace {namespace} --group {namespace}")
    });
    let (namespace, owner) = (&thief.name, thief.owner());
    // By then the roles are known.
    let agent = format!("--as=system:serviceaccount:{}:{namespace}", thief.home);
    until("it has the roles of later", || {
        let may = format!("auth can-i {agent} --namespace {namespace}");
        let asked = world.admin_by(&thief.admin, &may);
        let asked = asked.args("impersonate-on:user-info:list secrets").run();
        (asked.code == Some(0)).then_some(())
    });
    // First by itself, so that kubectl knows which kinds there are: for others it may not even ask that.
    let secrets = format!("get secrets --namespace {namespace}");
    thief.is_refused(&secrets, "cannot list");
    let because = "cannot impersonate resource \"users\"";
    thief.is_refused(&format!("{owner} {secrets}"), because);
}

/// As far as the API server is concerned, this agent lets its job do everything, and so do the job's own roles.
fn before_constrained_impersonation_the_agents_ceiling_holds_the_rest(world: &World) {
    let thief = Thief::new(world, |_| {
        let groups = [
            "gitlab:ci_job",
            "gitlab:project:150",
            "gitlab:group:23",
            "gitlab:group:25",
        ];
        format!("--kubernetes 1.35 --group {}", groups.join(" --group "))
    });
    let namespace = world.name("limited");
    world.admin("create namespace").arg(&namespace).ok();
    let relay = Relay::start(world);
    let mut settings = Settings::default();
    settings.set("ceiling", "namespaces", format!("[{namespace}]"));
    settings.set("ceiling", "verbs", "[get, list, watch, create]");
    settings.set("ceiling", "subresources", "[log]");
    let ways = Ways {
        kubeconfig: Some(thief.kubeconfig.clone()),
        ..Ways::default()
    };
    let mut agent = Agent::set(world, &relay, &ways, settings);
    agent.until_connected();
    let job = Job::of_relay(world, &relay, &Client::ours(world));
    let user = job.user();
    world
        .admin("create clusterrolebinding --clusterrole=cluster-admin")
        .args(&format!("{namespace} --user={user}"))
        .ok();
    let kubectl = |line: &str| job.kubectl(&format!("--namespace {namespace} {line}"));
    // Nobody runs it.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "app" },
        "spec": { "schedulerName": "nobody", "containers": [{ "name": "app", "image": "app" }] },
    });
    until("the job may make a pod", || {
        let made = kubectl("create --filename -").input(pod.to_string()).run();
        (made.code == Some(0)).then_some(())
    });
    for allowed in [
        "get pod app",
        "get pods",
        "create configmap a",
        "auth can-i get nodes",
    ] {
        kubectl(allowed).ok();
    }
    thief.is_allowed(&format!("--as={user} get secrets --namespace kube-system"));
    let of_pod = format!("/api/v1/namespaces/{namespace}/pods/app");
    for (beyond, key) in [
        ("exec app -- true", "subresources"),
        ("attach app", "subresources"),
        (
            &format!("get --raw {of_pod}/portforward?ports=80"),
            "subresources",
        ),
        ("create token default", "subresources"),
        (&format!("get --raw {of_pod}/proxy/"), "subresources"),
        ("delete pod app", "verbs"),
        ("label pod app a=b", "verbs"),
        ("get secrets --namespace kube-system", "namespaces"),
        (
            "get --raw /api/v1/watch/namespaces/default/pods",
            "namespaces",
        ),
        ("get pods --all-namespaces", "cluster_scope"),
        ("get nodes", "cluster_scope"),
        ("create namespace more", "cluster_scope"),
        ("get --raw /metrics", "cluster_scope"),
    ] {
        let said = kubectl(beyond).failure();
        assert!(
            said.contains(&format!("`ceiling.{key}")),
            "{beyond}: {said}"
        );
    }
}

/// What it has for Flux is its own: whoever takes it over acts for nobody by it, and sees nothing.
fn flux_lets_it_make_secrets_and_look_at_none(world: &World) {
    let thief = Thief::new(world, |name| {
        let sources = format!("{name}-sources");
        world.admin("create namespace").arg(&sources).ok();
        format!("--namespace {name} --flux https://gitlab.test --flux-namespace {sources}")
    });
    let Thief { name, home, .. } = &thief;
    let sources = format!("{name}-sources");
    thief.until_allowed(&format!(
        "create secret generic gitlab-receiver-a --namespace {sources}"
    ));
    thief.until_allowed(&format!(
        "create secret generic {name}-flux --namespace {home}"
    ));
    thief.is_allowed(&format!("get secret {name}-flux --namespace {home}"));
    let lease = |name: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": home }, "spec": { "holderIdentity": "a" },
        })
    };
    let own = lease(&format!("{name}-flux")).to_string();
    for verb in ["create", "replace"] {
        let line = format!("{verb} --filename -");
        thief.kubectl(&line).input(own.clone()).ok();
    }
    // Asked of the API server itself: kubectl first looks whether there is such a kind, which is Flux's to bring.
    let may = |verb: &str, group: &str, resource: &str, namespace: &str| {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "namespace": namespace,
            }},
        });
        let create = thief.kubectl("create --validate=false --output json --filename -");
        let said = create.input(review.to_string()).ok();
        serde_json::from_str::<Value>(&said).unwrap()["status"]["allowed"] == true
    };
    for (verb, group, resource) in [
        ("list", "source.toolkit.fluxcd.io", "gitrepositories"),
        ("watch", "source.toolkit.fluxcd.io", "gitrepositories"),
        ("create", "notification.toolkit.fluxcd.io", "receivers"),
        ("patch", "notification.toolkit.fluxcd.io", "receivers"),
    ] {
        assert!(may(verb, group, resource, &sources), "{verb} {resource}");
        assert!(!may(verb, group, resource, "default"), "{verb} {resource}");
    }
    for (beyond, because) in [
        (format!("get secrets --namespace {sources}"), "cannot list"),
        (
            format!("get secret gitlab-receiver-a --namespace {sources}"),
            "cannot get",
        ),
        (
            format!("delete secret gitlab-receiver-a --namespace {sources}"),
            "cannot delete",
        ),
        (
            format!("get secret {name}-token --namespace {home}"),
            "cannot get",
        ),
        (format!("get leases --namespace {home}"), "cannot list"),
        (
            "create secret generic a --namespace default".into(),
            "cannot create",
        ),
    ] {
        thief.is_refused(&beyond, because);
    }
}

/// The examples of `docs/rbac.md`, one after the other.
fn documented_roles_allow_what_is_said_of_them(world: &World) {
    let docs = fs::read_to_string(workspace::root().join("docs/rbac.md")).unwrap();
    let examples: Vec<_> = docs
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0)
        // The others are parts of kustomizations.
        .filter(|example| example.starts_with("apiVersion: "))
        .collect();
    // For each: a group of a job, what it may do then, and what not.
    let said: [&[(&str, &str, &str)]; 4] = [
        &[("gitlab:ci_job", "create deployments", "create rolebindings")],
        &[
            ("gitlab:project:150", "delete pods", "create roles"),
            ("gitlab:group:23", "list pods", "get secrets"),
        ],
        &[
            (
                "gitlab:project_env:150:production",
                "patch services",
                "create roles",
            ),
            (
                "gitlab:group_env_tier:23:production",
                "patch services",
                "create roles",
            ),
        ],
        &[("gitlab:ci_job", "create secrets", "get secrets")],
    ];
    assert_eq!(examples.len(), said.len());
    for (example, said) in examples.into_iter().zip(said) {
        let namespace = world.name("documented");
        let may = |group: &str, what: &str| {
            world
                .admin("auth can-i --as=somebody")
                .args(&format!(
                    "--as-group={group} --namespace {namespace} {what}"
                ))
                .run()
                .code
                == Some(0)
        };
        world.admin("create namespace").arg(&namespace).ok();
        assert!(example.contains("namespace: shop"));
        let own = example.replace("namespace: shop", &format!("namespace: {namespace}"));
        world.admin("apply -f -").input(own).ok();
        for (group, allowed, refused) in said {
            until(&format!("{group} may {allowed}"), || {
                may(group, allowed).then_some(())
            });
            assert!(!may(group, refused), "{group} may {refused}");
        }
    }
}

/// Whoever has an agent's service account.
pub struct Thief<'a> {
    world: &'a World,
    /// Of the cluster's administrator.
    admin: PathBuf,
    /// Of the agent, a namespace, and a group that may do everything.
    pub name: String,
    /// The agent's own namespace.
    home: String,
    pub kubeconfig: PathBuf,
}

impl<'a> Thief<'a> {
    /// Of an agent with manifests of its own, for which `rights` gives the flags.
    pub fn new(world: &'a World, rights: impl Fn(&str) -> String) -> Self {
        Self::at(world, &world.cluster.kubeconfig, rights)
    }

    /// At the API server that this file of an administrator's is for.
    fn at(world: &'a World, admin: &Path, rights: impl Fn(&str) -> String) -> Self {
        let name = world.name("thief");
        let home = format!("{name}-home");
        let mut adit = Command::new(&world.adit);
        adit.env_clear();
        let manifests = Call::new(adit, "manifests agent --relay https://relay.example.com")
            .args(&format!(
                "--replicas 0 --name {name} --install-namespace {home}"
            ))
            .args(&rights(&name))
            .ok();
        let by_admin = |line: &str| world.admin_by(admin, line);
        by_admin("create namespace").arg(&name).ok();
        by_admin("apply -f -").input(manifests).ok();
        by_admin("create clusterrolebinding --clusterrole=cluster-admin")
            .args(&format!("{name} --group={name}"))
            .ok();
        let kubeconfig = kubeconfig(world, by_admin, &name, &home);
        Self {
            world,
            admin: admin.to_owned(),
            name,
            home,
            kubeconfig,
        }
    }

    /// Flags by which it acts for the group that may do everything.
    pub fn owner(&self) -> String {
        format!("--as=somebody --as-group={}", self.name)
    }

    fn kubectl(&self, line: &str) -> Call {
        let mut command = Client::ours(self.world).command();
        command
            .env("HOME", self.kubeconfig.parent().unwrap())
            .env("KUBECONFIG", &self.kubeconfig);
        Call::new(command, line)
    }

    /// Roles are known to the API server a moment after they were made.
    pub fn until_allowed(&self, line: &str) {
        until(line, || {
            (self.kubectl(line).run().code == Some(0)).then_some(())
        });
    }

    fn is_allowed(&self, line: &str) {
        self.kubectl(line).ok();
    }

    /// Neither one of these, nor anything by itself.
    fn can_be_nobody_else(&self, identities: &[String], namespace: &str) {
        let secrets = format!("get secrets --namespace {namespace}");
        for identity in identities {
            self.is_refused(&format!("{identity} {secrets}"), "cannot impersonate");
        }
        self.is_refused(&secrets, "cannot list");
    }

    fn is_refused(&self, line: &str, because: &str) {
        let said = self.kubectl(line).failure();
        assert!(
            said.contains("orbidden") && said.contains(because),
            "{line}: {said}"
        );
    }
}

fn kubeconfig(world: &World, by_admin: impl Fn(&str) -> Call, name: &str, home: &str) -> PathBuf {
    let token = by_admin("create token --duration 1h")
        .args(&format!("{name} --namespace {home}"))
        .ok();
    let admins = by_admin("config view --raw --minify --flatten --output json").ok();
    let admins: Value = serde_json::from_str(&admins).unwrap();
    let own = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "thief",
        "clusters": [{ "name": "cluster", "cluster": admins["clusters"][0]["cluster"] }],
        "users": [{ "name": "thief", "user": { "token": token.trim() } }],
        "contexts": [{ "name": "thief", "context": { "cluster": "cluster", "user": "thief" } }],
    });
    let path = world.new_folder("thief").join("kubeconfig");
    fs::write(&path, own.to_string()).unwrap();
    path
}
