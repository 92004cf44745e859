//! The commands of `README.md`, `docs/` and `deploy/`, as they are written there. A block that is marked `sh` is run, those of a document one after
//! the other in a folder of its own, unless the line above says otherwise ([`Mark`]); and so is the script of a pipeline's job. What is written
//! for Kubernetes is shown to its API server.
//!
//! Installed is in a second cluster, so that the names in the documents are free. Its pods are simulated.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use adit_tests::documents::{Block, Mark, blocks, documents};
use libtest_mimic::Trial;
use serde_json::Value;
use xtask::{
    cluster::{Cluster, Node, Options},
    tools::Prometheus,
    workspace,
};

use crate::{
    client::Client,
    harness::{Needs, trials},
    installation::{CONTEXT, Installation},
    job::{Call, Job},
    running::Ended,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials![Needs::Simulated; commands_of_the_documents_do_what_they_are_for]
}

fn commands_of_the_documents_do_what_they_are_for(world: &World) {
    let desk = Desk::new(world);
    let mut read = Vec::new();
    for path in &documents() {
        let acts = acts(path);
        if acts.iter().any(|act| act.what != What::Read) {
            desk.try_out(path, &acts);
            read.push(path.file_name().unwrap().to_owned());
        }
    }
    for name in ["README.md", "commands.md", "install.md", "upgrade.md"] {
        assert!(read.iter().any(|read| *read == name), "{name}: {read:?}");
    }
}

/// A block, and what a reader does with it.
struct Act {
    /// Where it stands, for messages.
    place: String,
    what: What,
    mark: Mark,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Read,
    /// Commands.
    Type,
    /// A job's script, with its variables.
    HaveRun,
    /// What Kubernetes would read.
    Apply,
}

/// That no command hides in a block of another kind, `documents/fences.rs` of the scenarios sees.
fn acts(document: &Path) -> Vec<Act> {
    let text = fs::read_to_string(document).unwrap();
    let act = |block: Block| {
        let place = format!("{}:{}", document.display(), block.line);
        let script = script(&block);
        let (what, text) = match (block.kind.as_str(), script) {
            ("sh", _) => (What::Type, block.text.clone()),
            (_, Some(script)) => (What::HaveRun, script),
            ("yaml", None) if is_for_kubernetes(&block.text) => (What::Apply, block.text.clone()),
            (_, None) => (What::Read, block.text.clone()),
        };
        let mark = block.mark();
        Act {
            mark: mark.unwrap_or_else(|why| panic!("{place}: {why}")),
            place,
            what,
            text,
        }
    };
    blocks(&text).into_iter().map(act).collect()
}

/// As a runner would run it, if the block is a job of a pipeline.
fn script(block: &Block) -> Option<String> {
    let is_yaml = block.kind == "yaml";
    let jobs = is_yaml.then(|| serde_saphyr::from_str::<Value>(&block.text).ok())??;
    let job = jobs
        .as_object()?
        .values()
        .find(|job| job["script"].is_array())?;
    let variables = job["variables"].as_object();
    let variables = variables
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("export {name}=\"{}\"", value.as_str().expect("a text")));
    let lines = job["script"].as_array()?.iter();
    let lines = lines.map(|line| line.as_str().expect("a text").to_owned());
    Some(variables.chain(lines).collect::<Vec<_>>().join("\n"))
}

/// And of a kind that it has by itself.
fn is_for_kubernetes(text: &str) -> bool {
    text.starts_with("apiVersion: ")
        && text.contains("\nkind: ")
        && !text.contains("cert-manager.io")
}

/// Who a document is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A job's script, and who looks after the relay that it uses.
    Job,
    /// Who installs something into a cluster.
    Owner,
}

impl Reader {
    fn of(document: &str) -> Self {
        match document {
            "README" | "doctor" | "gitlab" | "status" => Self::Job,
            _ => Self::Owner,
        }
    }
}

/// Who tries the documents: has a relay with an agent, a job's kubeconfig, and a cluster to install into.
struct Desk<'a> {
    world: &'a World,
    /// Not the shared one: `adit doctor agent` opens a tunnel that soon ends.
    running: Installation,
    job: Job,
    cluster: Cluster,
    programs: PathBuf,
}

impl<'a> Desk<'a> {
    fn new(world: &'a World) -> Self {
        let cluster = Cluster::start(Options {
            node: Node::Kwok,
            ..Options::default()
        });
        let running = Installation::start(world);
        let programs = world.new_folder("programs");
        let prometheus = Prometheus::ready().unwrap();
        let promtool = prometheus.promtool().to_owned();
        for (name, program) in [
            ("adit", &world.adit),
            ("helm", &world.cluster.helm),
            ("kubectl", &world.cluster.kubectl),
            ("promtool", &promtool),
        ] {
            symlink(program, programs.join(name)).unwrap();
        }
        let desk = Self {
            job: Job::of(world, &running, &Client::ours(world)),
            running,
            cluster: cluster.unwrap(),
            programs,
            world,
        };
        desk.succeeds(&desk.programs, NAMESPACES);
        desk
    }

    fn try_out(&self, document: &Path, acts: &[Act]) {
        let name = document.file_stem().unwrap().to_str().unwrap();
        let place = document.strip_prefix(workspace::root()).unwrap();
        let folder = self
            .world
            .new_folder(&place.display().to_string().replace('/', "-"));
        self.furnish(&folder);
        for act in acts {
            if let Mark::File(path) = &act.mark {
                let path = folder.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &act.text).unwrap();
            }
        }
        let reader = Reader::of(name);
        if reader == Reader::Owner {
            self.is_cleared(&folder);
        }
        if name == "upgrade" {
            self.succeeds(&folder, INSTALLED);
        }
        let mut run = 0;
        for act in acts {
            let reader = match (&act.what, &act.mark) {
                (What::Read, _) | (_, Mark::NotRun(_) | Mark::RunBy(_) | Mark::File(_)) => continue,
                (What::Apply, _) => Reader::Owner,
                (What::HaveRun, _) | (What::Type, Mark::InAJob) => Reader::Job,
                (What::Type, _) => reader,
            };
            if act.mark == Mark::AnotherCluster {
                self.is_cleared(&folder);
            }
            let ended = if act.what == What::Apply {
                let file = folder.join("objects.yaml");
                fs::write(&file, &act.text).unwrap();
                self.run(
                    &folder,
                    reader,
                    "kubectl apply --dry-run=server --filename objects.yaml",
                )
            } else {
                self.run(&folder, reader, &self.here(&act.text))
            };
            let place = &act.place;
            if let Mark::Fails(saying) = &act.mark {
                let has_said = ended.code != Some(0) && ended.stderr.contains(saying.as_str());
                assert!(has_said, "{place}: {ended}");
            } else {
                assert_eq!(ended.code, Some(0), "{place}: {ended}");
            }
            run += 1;
        }
        assert!(run > 0, "nothing of {} is run", document.display());
    }

    /// What a reader has before the first line: a checkout, and copies of what documents say to copy.
    fn furnish(&self, folder: &Path) {
        let deploy = workspace::root().join("deploy");
        symlink(&deploy, folder.join("deploy")).unwrap();
        fs::copy(self.job.kubeconfig(), folder.join("job.kubeconfig")).unwrap();
        let values = deploy.join("charts/adit-relay/ci/least.yaml");
        fs::copy(values, folder.join("values.yaml")).unwrap();
        for (kind, file) in [
            ("relay", deploy.join("manifests/relay/relay.yaml")),
            ("agent", deploy.join("manifests/agent/workload/agent.yaml")),
        ] {
            let own = folder.join(format!("my-{kind}"));
            fs::create_dir(&own).unwrap();
            fs::copy(file, own.join(format!("{kind}.yaml"))).unwrap();
        }
        let relay = self.running.relay.folder().join("relay.yaml");
        fs::copy(relay, folder.join("relay.yaml")).unwrap();
        let agent = self.running.agents[0].process.folder().join("agent.yaml");
        fs::copy(agent, folder.join("agent.yaml")).unwrap();
        // What GitLab shares with its agent server.
        fs::write(folder.join("gitlab"), "of nobody").unwrap();
    }

    /// With what is here in place of the documents' examples.
    fn here(&self, text: &str) -> String {
        let relay = &self.running.relay;
        text.replace("https://relay.example.com", &relay.url())
            .replace("127.0.0.1:8151", &relay.admin.to_string())
            .replace("group/agents:prod", CONTEXT)
            .replace("group/app:demo", CONTEXT)
    }

    /// Nothing of the documents' names is in the second cluster, but namespaces that exist.
    fn is_cleared(&self, folder: &Path) {
        self.succeeds(folder, CLEAR);
    }

    /// Something of our own, in the second cluster.
    fn succeeds(&self, folder: &Path, text: &str) {
        let ended = self.run(folder, Reader::Owner, text);
        assert_eq!(ended.code, Some(0), "{ended}");
    }

    fn run(&self, folder: &Path, reader: Reader, text: &str) -> Ended {
        let mut shell = Command::new("bash");
        shell
            .args(["-eo", "pipefail", "-c", text])
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .env("PATH", format!("{}:/usr/bin:/bin", self.programs.display()))
            .env("ADIT_RELAY_ADMIN", self.running.relay.admin.to_string());
        match reader {
            Reader::Job => shell
                .env("KUBECONFIG", folder.join("job.kubeconfig"))
                .env("ADIT_RELAY_URL", self.running.relay.url())
                .env("ADIT_RELAY_CA", &self.running.relay.ca)
                .env("ADIT_ID_TOKEN", &self.job.token)
                .env("KUBE_CONTEXT", CONTEXT)
                .env("CI_PROJECT_DIR", folder)
                .env("CI_PROJECT_PATH", "group/agents"),
            Reader::Owner => shell.env("KUBECONFIG", self.cluster.kubeconfig("admin").unwrap()),
        };
        Call::new(shell, "").run()
    }
}

/// What is upgraded: another version, installed as `install.md` has it.
const INSTALLED: &str = r"
    cp deploy/relay.example.yaml relay.yaml
    adit token new --token-file agent.token
    helm install adit-relay deploy/charts/adit-relay --namespace adit-relay --set image.tag=0.0.9 --values values.yaml
    helm install adit-agent deploy/charts/adit-agent --namespace adit-agent --set image.tag=0.0.9 \
        --set relay.url=https://relay.example.com
";

/// They exist before anything is installed, and stay.
const NAMESPACES: &str = r"
    for name in adit-agent adit-relay flux-system shop; do kubectl create namespace $name; done
";

const CLEAR: &str = r"
    own=metadata.name!=default,metadata.name!=kube-root-ca.crt
    for of_kubernetes in default kube-node-lease kube-public kube-system; do own=$own,metadata.namespace!=$of_kubernetes; done
    kubectl delete --all-namespaces --field-selector=$own --wait=false --grace-period=0 --force \
        deployments,replicasets,pods,services,serviceaccounts,configmaps,secrets,networkpolicies,poddisruptionbudgets,roles,rolebindings
    kubectl delete --selector=app.kubernetes.io/name=adit-agent --wait=false clusterroles,clusterrolebindings
";
