//! The commands of `README.md`, `docs/` and `deploy/`, as they are written there. A block that is marked `sh` is run, those of a document one after
//! the other in a folder of its own, unless the line above says otherwise, in a comment that readers do not see:
//!
//! - `<!-- not run: why -->`: it cannot be run here.
//! - `<!-- fails: text -->`: it fails, and says this.
//! - `<!-- another cluster -->`: nothing of what was installed before is there.
//! - `<!-- file: path -->`, above a block of any kind: the reader has a file with this content.
//!
//! Installed is in a second cluster, so that the names in the documents are free. Its pods are simulated.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use adit_tests::documents;
use libtest_mimic::Trial;
use xtask::{
    cluster::{Cluster, Node, Options},
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
        let blocks = blocks(path);
        if blocks.iter().any(|block| block.is_commands) {
            desk.try_out(path, &blocks);
            read.push(path.file_name().unwrap().to_owned());
        }
    }
    for name in ["README.md", "install.md", "upgrade.md"] {
        assert!(read.iter().any(|read| *read == name), "{name}: {read:?}");
    }
}

/// A text between fences.
struct Block {
    /// Where it stands, for messages.
    place: String,
    is_commands: bool,
    mark: Mark,
    text: String,
}

/// What is said of a block above it.
enum Mark {
    None,
    NotRun,
    Fails { saying: String },
    AnotherCluster,
    File(PathBuf),
}

impl Mark {
    fn of(line: &str, place: &str) -> Self {
        let comment = line
            .trim()
            .strip_prefix("<!-- ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        let Some(comment) = comment else {
            return Self::None;
        };
        let (word, rest) = comment.split_once(':').unwrap_or((comment, ""));
        let rest = rest.trim();
        match (word, rest) {
            ("another cluster", "") => Self::AnotherCluster,
            (_, "") => panic!("{place}: `{comment}` is no mark, or lacks its reason"),
            ("not run", _) => Self::NotRun,
            ("fails", _) => Self::Fails {
                saying: rest.to_owned(),
            },
            ("file", _) => Self::File(rest.into()),
            _ => panic!("{place}: there is no mark `{word}`"),
        }
    }
}

fn blocks(document: &Path) -> Vec<Block> {
    let text = fs::read_to_string(document).unwrap();
    let mut lines = text.lines().enumerate();
    let (mut blocks, mut above) = (Vec::new(), "");
    while let Some((number, line)) = lines.next() {
        let Some((indent, kind)) = line.split_once("```") else {
            above = line;
            continue;
        };
        let place = format!("{}:{}", document.display(), number + 1);
        assert_eq!(indent.trim(), "", "{place}: a fence begins its line");
        // That none hides in a block of another kind, `documents/fences.rs` of the scenarios sees.
        let is_commands = kind == "sh";
        let within = lines.by_ref().take_while(|(_, line)| line.trim() != "```");
        let within = within.map(|(_, line)| line.strip_prefix(indent).unwrap_or(line));
        blocks.push(Block {
            is_commands,
            mark: Mark::of(above, &place),
            text: within.map(|line| format!("{line}\n")).collect(),
            place,
        });
        above = "";
    }
    blocks
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
        for (name, program) in [
            ("adit", &world.adit),
            ("helm", &world.cluster.helm),
            ("kubectl", &world.cluster.kubectl),
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

    fn try_out(&self, document: &Path, blocks: &[Block]) {
        let name = document.file_stem().unwrap().to_str().unwrap();
        let place = document.strip_prefix(workspace::root()).unwrap();
        let folder = self
            .world
            .new_folder(&place.display().to_string().replace('/', "-"));
        self.furnish(&folder);
        for block in blocks {
            if let Mark::File(path) = &block.mark {
                let path = folder.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &block.text).unwrap();
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
        for block in blocks.iter().filter(|block| block.is_commands) {
            match &block.mark {
                Mark::NotRun | Mark::File(_) => continue,
                Mark::AnotherCluster => self.is_cleared(&folder),
                Mark::None | Mark::Fails { .. } => {}
            }
            let ended = self.run(&folder, reader, &self.here(&block.text));
            let place = &block.place;
            if let Mark::Fails { saying } = &block.mark {
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
    }

    /// With what is here in place of the documents' examples.
    fn here(&self, text: &str) -> String {
        let relay = &self.running.relay;
        text.replace("https://relay.example.com", &relay.url())
            .replace("127.0.0.1:8151", &relay.admin.to_string())
            .replace("group/agents:prod", CONTEXT)
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
                .env("KUBE_CONTEXT", CONTEXT),
            Reader::Owner => shell.env("KUBECONFIG", self.cluster.kubeconfig("admin").unwrap()),
        };
        Call::new(shell, "").run()
    }
}

/// What is upgraded: another version, installed as `install.md` has it.
const INSTALLED: &str = r"
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
