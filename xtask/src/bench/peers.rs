//! Peers of the race that no package has: built once into the cache, and named to `adit-bench` by the variables by which whoever has them
//! names his own.

use std::path::PathBuf;

use anyhow::Result;

use crate::interrupt;
use crate::progress::{Tone, line, paint};
use crate::tools::{Module, Program, Tools};

/// Builds the peers that are wanted and that nobody has named. The race goes on without one that does not build.
pub(super) fn built(args: &[String]) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut all = Vec::new();
    for peer in PEERS {
        if !is_wanted(peer.name, args) || are_set(peer.variables) {
            continue;
        }
        match (peer.build)() {
            Ok(programs) => all.extend(peer.variables.iter().copied().zip(programs)),
            Err(error) => {
                interrupt::check()?;
                let name = peer.name;
                line(paint(
                    Tone::Odd,
                    format_args!("{name} does not run: {error:#}"),
                ));
            }
        }
    }
    Ok(all)
}

/// Whether programs are named by these variables, as GitLab's own agent server and agent are by whoever has them.
pub(super) fn are_set(variables: &[&str]) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    variables.iter().all(is_set)
}

/// Whether a peer would run with these arguments of `adit-bench`.
fn is_wanted(peer: &str, args: &[String]) -> bool {
    let races = |arg: &String| {
        !["--gate", "--session", "--help"]
            .iter()
            .any(|no| arg.starts_with(no))
    };
    let next = args.iter().skip(1).map(String::as_str).chain([""]);
    let only =
        args.iter()
            .zip(next)
            .filter_map(|(arg, next)| match arg.strip_prefix("--only")? {
                "" => Some(next),
                rest => rest.strip_prefix('='),
            });
    let mut only = only.flat_map(|names| names.split(',')).peekable();
    args.iter().all(races) && (only.peek().is_none() || only.any(|name| peer.starts_with(name)))
}

struct Peer {
    name: &'static str,
    /// Which name its programs, in the order in which `build` gives them.
    variables: &'static [&'static str],
    build: fn() -> Result<Vec<PathBuf>>,
}

const PEERS: [Peer; 2] = [
    Peer {
        name: "rathole",
        variables: &["RATHOLE_BIN"],
        build: || Ok(vec![RATHOLE.ready()?]),
    },
    Peer {
        name: "remotedialer",
        variables: &["REMOTEDIALER_SERVER_BIN", "REMOTEDIALER_CLIENT_BIN"],
        build: || {
            let tools = Tools::ready(&[Module::Remotedialer])?;
            let program = |name| tools.program(Module::Remotedialer, name);
            Ok(["server", "client"].map(program).to_vec())
        },
    },
];

const RATHOLE: Program = Program {
    name: "rathole",
    version: "0.5.0",
    // Not locked: what its lock file names does not build with this Rust. Without OpenSSL: Noise is what its hops speak in the race.
    flags: &["--no-default-features", "--features=server,client,noise"],
};

#[cfg(test)]
mod tests {
    use super::is_wanted;

    #[test]
    fn peers_are_built_for_a_race_that_they_run_in() {
        let is_wanted = |args: &str| {
            let args: Vec<_> = args.split_whitespace().map(str::to_owned).collect();
            is_wanted("rathole", &args)
        };
        for args in ["", "--quick", "--only adit,rathole", "--only=rat --quick"] {
            assert!(is_wanted(args), "{args}");
        }
        for args in ["--only adit", "--only=adit,nghttpx", "--gate old", "--help"] {
            assert!(!is_wanted(args), "{args}");
        }
    }
}
