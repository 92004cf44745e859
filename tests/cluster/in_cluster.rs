//! Agent and relay where they belong: in the cluster, from the project's own kustomizations and an image of the binary. The relay
//! shows a certificate for the address that pods reach this machine at.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use adit_tests::{
    documents::commands_run_by,
    pki::{Made, Pki},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{
    balancer::Balancer,
    client::Client,
    harness::{Needs, trials},
    installation::{AGENT_TOKEN, Front, Relay, agents},
    job::Job,
    until::until,
    world::{AUDIENCE, ISSUER, World},
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::Pods;
        agent_runs_in_the_cluster_from_its_manifests,
        relay_and_namespaced_agent_are_applied_serve_and_leave_nothing,
    ]
}

fn agent_runs_in_the_cluster_from_its_manifests(world: &World) {
    let folder = world.new_folder("relay");
    // A real node's API server listens where pods reach this machine.
    let address = world.cluster.address().ip();
    let relay = Relay::behind(world, Front::own(address, RELAY_HOST, &folder), folder);

    let token = relay.folder().join("agent.token");
    fs::write(&token, AGENT_TOKEN).unwrap();
    world
        .admin("create secret generic adit-agent-token --namespace adit-agent")
        .arg(format!("--from-file=token={}", token.display()))
        .ok();
    world
        .admin("apply --kustomize")
        .arg(agent(
            world,
            "cluster-wide",
            &relay.url_at(RELAY_HOST),
            &relay.ca,
            &json!({}),
        ))
        .ok();
    world
        .admin("rollout status deployment/adit-agent --namespace adit-agent --timeout=60s")
        .ok();

    let job = Job::of_relay(world, &relay, &Client::ours(world));
    job.kubectl("get configmaps").ok();
    world.bench();
    assert_eq!(
        job.kubectl("exec -i bench -- cat")
            .input("through the pod")
            .ok(),
        "through the pod"
    );
    let me = job
        .kubectl("auth whoami --output=jsonpath={.status.userInfo.username}")
        .ok();
    assert_eq!(me, job.user());

    // As its owner looks after it.
    let test = "agent_runs_in_the_cluster_from_its_manifests";
    let said = |line: &str| world.admin(line.strip_prefix("kubectl ").unwrap()).ok();
    let install = commands_run_by("docs/install.md", test);
    let [logs, describe] = &install[..] else {
        panic!("{install:?}")
    };
    let logs = said(logs);
    let is_up = |line: &str| line.contains("tunnel is up") && line.contains("agent.name=");
    assert!(logs.lines().any(is_up), "{logs}");
    assert!(said(describe).contains("Ready"));
    let doctor = commands_run_by("docs/doctor.md", test);
    let found = said(&doctor.concat());
    for healthy in [
        "ok       relay      tunnel ",
        "ok       api-server api-server ",
        "ok       agent      impersonation ",
        "ok       agent      namespaces ",
    ] {
        assert!(found.contains(healthy), "{healthy}: {found}");
    }

    // It may act as others, and nothing by itself but what everybody may.
    let rights = |account: &str| {
        let list = world
            .admin("auth can-i --list --no-headers")
            .arg(format!("--as=system:serviceaccount:{account}"))
            .ok();
        let of_line = |line: &str| {
            let (what, verbs) = line.trim_end_matches(']').rsplit_once('[').unwrap();
            // Columns are as wide as what is in them.
            let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
            let verbs = verbs.split(' ').map(str::to_owned);
            verbs.map(|verb| (what.clone(), verb)).collect::<Vec<_>>()
        };
        list.lines().flat_map(of_line).collect::<Vec<_>>()
    };
    let everybodys = rights("default:default");
    let mut own = rights("adit-agent:adit-agent");
    own.retain(|right| !everybodys.contains(right));
    let acts = |(_, verb): &(String, String)| verb.starts_with("impersonate");
    assert!(own.iter().all(acts), "{own:#?}");
    for resource in ["users", "groups"] {
        assert!(
            own.iter().any(|(what, _)| what.starts_with(resource)),
            "{own:#?}"
        );
    }

    // A pod that goes is replaced, and nobody has to do anything.
    world.admin("delete pods --all --namespace adit-agent").ok();
    until("the agent is back", || {
        (job.kubectl("get configmaps").run().code == Some(0)).then_some(())
    });
    world
        .admin("delete deployment adit-agent --namespace adit-agent")
        .ok();
}

/// The relay with all of its components, and an agent with all of its own that acts in named namespaces; of another name than the
/// one above.
fn relay_and_namespaced_agent_are_applied_serve_and_leave_nothing(world: &World) {
    let (own, gate) = (world.name("kustomized"), world.name("relay"));
    let folder = world.new_folder("front");
    let mark = json!([{ "pairs": { (MARK): own } }]);
    let address = world.cluster.address().ip();
    let front = Front::own(address, &own, &folder);
    let agents = Pki::new("agents' CA");
    let more = json!({ "namespace": gate, "labels": mark });
    let relay = relay(world, &front, &agents, &more);
    world.admin("apply --kustomize").arg(&relay).ok();
    let balancer = Balancer::start(world, address, &gate, "adit-relay");
    balancer.until_ready();
    Balancer::start(world, address, &gate, "adit-relay-gitlab").until_ready();

    let url = format!("https://{}", balancer.address);
    let more = json!({
        "namespace": own, "nameSuffix": format!("-{own}"), "labels": mark,
        "components": ["../manifests/agent/client-certificate", "../manifests/agent/flux"],
        "secretGenerator": [
            { "name": "adit-agent-token", "namespace": "adit-agent", "files": ["token"] },
            {
                "name": "adit-agent-client", "namespace": "adit-agent", "type": "kubernetes.io/tls",
                "files": ["tls.crt=client.pem", "tls.key=client.key"],
            },
        ],
    });
    let agent = agent(world, "namespaced", &url, &front.ca, &more);
    let _ = agents.write_client(&agent, Made::default());
    let config = agent.join("agent.yaml");
    let text = fs::read_to_string(&config).unwrap();
    let key = "\n  ca_file: ";
    let shows =
        "\n  client_certificate: /etc/adit/client/tls.crt\n  client_key: /etc/adit/client/tls.key";
    assert!(text.contains(key), "{text}");
    fs::write(&config, text.replace(key, &format!("{shows}{key}"))).unwrap();
    world.admin("apply --kustomize").arg(&agent).ok();
    let binding = binding_of(&own);
    world
        .admin("apply --namespace shop -f -")
        .input(binding.to_string())
        .ok();
    world
        .admin("rollout status --timeout=55s --namespace")
        .arg(&own)
        .arg(format!("deployment/adit-agent-{own}"))
        .ok();

    let job = Job::at_url(world, &url, &front.ca, &Client::ours(world));
    job.kubectl("get configmaps").ok();
    // Jobs may there, and this agent may not for them.
    let elsewhere = job.kubectl("create secret generic kustomized --namespace vault");
    let said = elsewhere.failure();
    assert!(said.contains("orbidden"), "{said}");

    world
        .admin("delete --namespace shop -f -")
        .input(binding.to_string())
        .ok();
    for part in [agent, relay] {
        world
            .admin("delete --timeout=55s --kustomize")
            .arg(part)
            .ok();
    }
    assert_eq!(world.marked(&format!("{MARK}={own}")), Vec::<String>::new());
}

/// The relay's kustomization with what an operator changes in it, and its Secrets; agents show certificates of this CA.
fn relay(world: &World, front: &Front, agents_ca: &Pki, more: &Value) -> PathBuf {
    let own = beside_manifests(world);
    let given = World::manifests().join("relay/relay.yaml");
    let mut config: Value = serde_saphyr::from_str(&fs::read_to_string(given).unwrap()).unwrap();
    config["agents"] = agents();
    for agent in config["agents"].as_array_mut().unwrap() {
        agent["authorities"] = json!(["oidc"]);
    }
    config["authorities"] = json!({
        "oidc": { "issuers": [{
            "url": ISSUER, "audiences": [AUDIENCE], "jwks_file": "/etc/adit/config/keys.json",
            "group_ids": { "group": 23, "group/sub": 25 },
        }] },
        // It is not there, and nobody's word is asked for.
        "gitlab": { "url": "https://gitlab.invalid", "api_secret_file": "/etc/adit/secrets/gitlab" },
    });
    config["gitlab_api"] = json!({
        "address": "0.0.0.0:8153", "certificate": "/etc/adit/tls/tls.crt", "key": "/etc/adit/tls/tls.key",
    });
    config["admin"]["certificate"] = "/etc/adit/tls/tls.crt".into();
    config["admin"]["key"] = "/etc/adit/tls/tls.key".into();
    config["tunnel"]["client_ca_file"] = "/etc/adit/client-ca/ca.crt".into();
    fs::write(own.join("relay.yaml"), config.to_string()).unwrap();
    fs::write(own.join("ca.crt"), agents_ca.ca_pem()).unwrap();
    fs::write(own.join("keys.json"), world.jwks()).unwrap();
    fs::write(own.join("gitlab"), SECRET).unwrap();
    fs::copy(&front.certificate, own.join("tls.crt")).unwrap();
    fs::copy(&front.key, own.join("tls.key")).unwrap();
    let components = ["secrets", "gitlab-api", "admin-tls", "client-ca"];
    let components = components.map(|name| format!("../manifests/relay/{name}"));
    let mut kustomization = json!({
        "resources": ["../manifests/relay"],
        "components": components,
        "images": [{ "name": "adit", "newName": world.cluster.image() }],
        "configMapGenerator": [
            { "name": "adit-relay", "namespace": "adit-relay", "behavior": "replace", "files": ["relay.yaml", "keys.json"] },
            { "name": "adit-relay-client-ca", "namespace": "adit-relay", "files": ["ca.crt"] },
        ],
        "secretGenerator": [
            { "name": "adit-relay-tls", "namespace": "adit-relay", "type": "kubernetes.io/tls", "files": ["tls.crt", "tls.key"] },
            { "name": "adit-relay-secrets", "namespace": "adit-relay", "files": ["gitlab"] },
        ],
    });
    let keys = kustomization.as_object_mut().unwrap();
    keys.extend(more.as_object().unwrap().clone());
    fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    own
}

/// An agent's kustomization with what an operator changes in it, and where this cluster differs: it has no service
/// addresses, so the pod is told where the API server is.
fn agent(world: &World, whole: &str, url: &str, ca: &Path, more: &Value) -> PathBuf {
    let own = beside_manifests(world);
    let server = world.cluster.address();
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let change = |name: &str, value: &str| json!({ "op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": { "name": name, "value": value } });
    let patch = json!([
        change("KUBERNETES_SERVICE_HOST", &host),
        change("KUBERNETES_SERVICE_PORT", &port),
        // And no DNS: the pod finds the relay's name in its hosts file.
        {
            "op": "add", "path": "/spec/template/spec/hostAliases",
            "value": [{ "ip": host, "hostnames": [RELAY_HOST] }],
        },
    ]);
    let mut kustomization = json!({
        "resources": [format!("../manifests/agent/{whole}")],
        "images": [{ "name": "adit", "newName": world.cluster.image() }],
        "configMapGenerator": [{
            "name": "adit-agent", "namespace": "adit-agent", "behavior": "replace", "files": ["agent.yaml", "ca.pem"],
        }],
        "patches": [{ "target": { "kind": "Deployment" }, "patch": patch.to_string() }],
    });
    let keys = kustomization.as_object_mut().unwrap();
    keys.extend(more.as_object().unwrap().clone());
    let config = fs::read_to_string(World::manifests().join("agent/workload/agent.yaml")).unwrap();
    let changed = config.replace(
        "  url: https://relay.example.com",
        &format!("  url: {url}\n  ca_file: /etc/adit/config/ca.pem"),
    );
    assert_ne!(config, changed);
    fs::write(own.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    fs::write(own.join("agent.yaml"), changed).unwrap();
    fs::write(own.join("token"), AGENT_TOKEN).unwrap();
    fs::copy(ca, own.join("ca.pem")).unwrap();
    own
}

/// What lets the agent of this namespace act in another one.
fn binding_of(own: &str) -> Value {
    let given = World::manifests().join("agent/namespaced/role-binding.yaml");
    let mut binding: Value = serde_saphyr::from_str(&fs::read_to_string(given).unwrap()).unwrap();
    for name in ["/metadata/name", "/roleRef/name", "/subjects/0/name"] {
        let name = binding.pointer_mut(name).unwrap();
        *name = format!("{}-{own}", name.as_str().unwrap()).into();
    }
    binding["subjects"][0]["namespace"] = own.into();
    binding
}

/// An operator's folder, from which the manifests are `../manifests`.
fn beside_manifests(world: &World) -> PathBuf {
    let folder = world.new_folder("kustomization");
    symlink(World::manifests(), folder.join("manifests")).unwrap();
    let own = folder.join("own");
    fs::create_dir(&own).unwrap();
    own
}

/// The relay's name in the pod; nothing else knows it.
const RELAY_HOST: &str = "relay.test";
/// What everything of a kustomization bears.
const MARK: &str = "adit.local/test";
/// As GitLab and its agent server share one: 32 bytes in base64.
const SECRET: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
