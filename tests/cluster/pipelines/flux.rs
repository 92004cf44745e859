//! The real Flux: controllers of its own, processes beside the cluster, which act upon a repository of the double's.

use std::{net::Ipv4Addr, path::PathBuf, process::Command, sync::OnceLock, thread};

use adit_tests::pki;
use serde_json::json;
use xtask::{
    cluster::Daemon,
    command::last_lines,
    ports,
    tools::{Module, Tools},
};

use super::place::{self, PROJECT, Place};
use crate::{until::until, world::World};

/// What acts upon the project.
pub struct Flux {
    /// What its repository is called in the cluster, and what comes of it.
    pub app: String,
    /// The program.
    pub command: PathBuf,
}

/// For all tests; they end with the world.
pub struct Controllers {
    daemons: Vec<Daemon>,
    /// Where Receivers are called.
    pub receivers: String,
}

impl Flux {
    /// What lies in `clusters/testing` of the default branch is to be in the cluster. It looks by itself only once an hour.
    pub fn follow(world: &World, place: &Place) -> Self {
        controllers(world);
        let app = world.name("app");
        let objects = objects(place, &app);
        until("its kinds are served", || {
            let apply = world.admin("apply --filename -").input(objects.clone());
            (apply.run().code == Some(0)).then_some(())
        });
        Self {
            app,
            command: tools().program(Module::Flux, "flux"),
        }
    }
}

impl Drop for Flux {
    fn drop(&mut self) {
        let controllers = CONTROLLERS.get().filter(|_| thread::panicking());
        for controller in controllers.iter().flat_map(|all| &all.daemons) {
            let end = last_lines(&controller.log(), SHOWN);
            eprintln!("--- the end of a controller's log ---\n{end}");
        }
    }
}

/// They are started when somebody first asks.
pub fn controllers(world: &World) -> &'static Controllers {
    CONTROLLERS.get_or_init(|| start(world))
}

/// The repository, credentials that may read no more than it, and what comes of it.
fn objects(place: &Place, app: &str) -> String {
    let (url, token) = place.with(|gitlab| {
        let mut world = gitlab.world();
        let user = world.user("dev1");
        let token = world.personal_token(user, &["read_repository"]);
        (format!("{}/{PROJECT}.git", gitlab.url()), token)
    });
    let metadata = json!({ "name": app, "namespace": NAMESPACE });
    let objects = json!([
        {
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "stringData": { "username": "dev1", "password": token, "ca.crt": pki::shared().ca_pem() },
        },
        {
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": metadata,
            "spec": { "url": url, "interval": "1h", "ref": { "branch": "main" }, "secretRef": { "name": app } },
        },
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata,
            "spec": {
                "interval": "1h", "path": "./clusters/testing", "prune": true,
                "sourceRef": { "kind": "GitRepository", "name": app },
            },
        },
    ]);
    json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string()
}

fn start(world: &World) -> Controllers {
    let modules = [
        Module::SourceController,
        Module::KustomizeController,
        Module::NotificationController,
    ];
    let receivers = local();
    let tools = tools();
    // The demo's stand-in for its kinds comes first, whichever test does: after them it would take their place.
    place::own(world);
    for verb in [
        "apply --server-side --force-conflicts",
        // A controller that finds none of its kinds asks again after 10 s.
        "wait --for=condition=Established --timeout=30s",
    ] {
        for module in modules {
            let kinds = tools.folder(module).join("crds");
            world.admin(verb).arg("--filename").arg(kinds).ok();
        }
    }
    let start = |module: Module| {
        let mut controller = Command::new(tools.program(module, module.name()));
        controller
            .env("KUBECONFIG", &world.cluster.kubeconfig)
            .env("RUNTIME_NAMESPACE", NAMESPACE)
            .env("TMPDIR", world.new_folder("controller"))
            .arg("--watch-all-namespaces=false")
            .arg("--metrics-addr=0")
            .arg(format!("--health-addr={}", local()));
        if module == Module::SourceController {
            let served = local();
            controller
                .arg("--storage-path")
                .arg(world.new_folder("artifacts"))
                .arg(format!("--storage-addr={served}"))
                .arg(format!("--storage-adv-addr={served}"));
        }
        if module == Module::NotificationController {
            controller
                .arg(format!("--receiverAddr={receivers}"))
                .arg(format!("--events-addr={}", local()));
        }
        world.processes.start(module.name(), controller).unwrap()
    };
    Controllers {
        daemons: modules.map(start).into(),
        receivers: format!("http://{receivers}"),
    }
}

fn tools() -> Tools {
    Tools::ready(&Module::FLUX).unwrap()
}

fn local() -> String {
    let loopback = Ipv4Addr::LOCALHOST.into();
    format!("{loopback}:{}", ports::free(loopback).unwrap())
}

static CONTROLLERS: OnceLock<Controllers> = OnceLock::new();
const NAMESPACE: &str = "flux-system";
/// Lines of a log that a failure shows.
const SHOWN: usize = 40;
