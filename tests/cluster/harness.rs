//! How a function becomes a test: named after itself, given the world, skipped where the machine lacks what it needs, and once
//! for each client where the client matters. Called by each file of tests.

use std::sync::PoisonError;

use libtest_mimic::{Completion, Failed, Trial};
use xtask::{
    cluster::Node,
    tools::{self, CiLocal, Module},
};

use crate::{
    client::{self, Client},
    world::{self, Absent, World},
};

/// What a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// An API server.
    ControlPlane,
    /// A node too, on which pods become ready; nothing needs to run in them.
    Node,
    /// Containers.
    Pods,
    /// A control plane to itself: no other test runs meanwhile.
    Solitude,
    /// A second cluster, with a node on which nothing really runs.
    Simulated,
    /// A node, and what runs a `.gitlab-ci.yml`.
    Pipelines,
    /// The same, and Flux.
    Flux,
}

/// The tests of a file: `trials!(Needs::Node; name, ...)` of functions that take the world.
macro_rules! trials {
    ($needs:expr; $($test:ident),+ $(,)?) => {
        vec![$(crate::harness::for_world(concat!(module_path!(), "::", stringify!($test)), $needs, $test)),+]
    };
}

/// The same for functions that take a client too: a test for each kubectl, by WebSocket and by SPDY.
macro_rules! trials_by_client {
    ($needs:expr; $($test:ident),+ $(,)?) => {
        [$(crate::harness::for_clients(concat!(module_path!(), "::", stringify!($test)), $needs, $test)),+]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
}

/// As `trials_by_client`, for tests in which each client has a connection upgraded: it must be by its own carrier.
macro_rules! trials_by_carrier {
    ($needs:expr; $($test:ident),+ $(,)?) => {
        [$(crate::harness::for_carriers(concat!(module_path!(), "::", stringify!($test)), $needs, $test)),+]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
}

pub(crate) use {trials, trials_by_carrier, trials_by_client};

pub fn for_world(name: &'static str, needs: Needs, test: fn(&World)) -> Trial {
    made(name, needs, move |world| {
        test(world);
        Ok(Completion::Completed)
    })
}

pub fn for_carriers(name: &'static str, needs: Needs, test: fn(&World, &Client)) -> Vec<Trial> {
    for_clients(name, needs, move |world, client| {
        test(world, client);
        client.check_carrier(world);
    })
}

pub fn for_clients(
    name: &'static str,
    needs: Needs,
    test: impl Fn(&World, &Client) + Copy + Send + 'static,
) -> Vec<Trial> {
    client::KINDS
        .iter()
        .map(|kind| {
            let trial = made(name, needs, move |world| match kind.find(world) {
                Ok(client) => {
                    test(world, &client);
                    Ok(Completion::Completed)
                }
                Err(why) => Ok(skipped(&format!("[{}] {}", kind.name(), short(name)), why)),
            });
            trial.with_kind(kind.name())
        })
        .collect()
}

fn made(
    name: &'static str,
    needs: Needs,
    test: impl Fn(&World) -> Result<Completion, Failed> + Send + 'static,
) -> Trial {
    let name = short(name);
    Trial::ignorable_test(name, move || {
        let world = match world::world() {
            Ok(world) => world,
            Err(Absent::Lacking(why)) => return Ok(skipped(name, &why)),
            Err(Absent::Broken(why)) => return Err(why.into()),
        };
        if let Err(why) = is_met(needs, &world) {
            return Ok(skipped(name, &why));
        }
        if needs == Needs::Solitude {
            let _alone = world.calm.write().unwrap_or_else(PoisonError::into_inner);
            return test(&world);
        }
        let _in_company = world.calm.read().unwrap_or_else(PoisonError::into_inner);
        test(&world)
    })
}

fn is_met(needs: Needs, world: &World) -> Result<(), String> {
    let met = match needs {
        Needs::Pods => return world.cluster.has_real_pods().map_err(str::to_owned),
        Needs::Simulated => Node::Kwok.missing(),
        Needs::Pipelines => CiLocal::available(),
        Needs::Flux => CiLocal::available().and_then(|()| tools::available(&Module::FLUX)),
        Needs::ControlPlane | Needs::Node | Needs::Solitude => Ok(()),
    };
    met.map_err(|why| format!("{why:#}"))
}

/// Without the name of this binary.
fn short(name: &str) -> &str {
    name.split_once("::").map_or(name, |(_, name)| name)
}

fn skipped(test: &str, why: &str) -> Completion {
    xtask::skip::skipped(test, why);
    Completion::ignored_with(why)
}
