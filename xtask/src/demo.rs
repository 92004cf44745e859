//! `cargo xtask demo`: a cluster, an issuer or a GitLab, a relay and an agent, and then a CI job's shell with only the job's variables,
//! in which the scripts of `deploy/demo/steps` run.
//!
//! Invariant: whatever ends it, Ctrl-C and failure included, nothing is left running unless `--keep` said so.

mod agent;
mod issuer;
mod place;
mod relay;
mod step;
mod voucher;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use xtask::cluster::{self, Authority, Node, Processes};
use xtask::progress::{self, Tone, line, paint, step};
use xtask::tools::debian;
use xtask::workspace;

use self::place::Place;
use self::relay::Relay;
use self::step::{Shell, Step};
use self::voucher::{Vouched, Voucher};

/// Show the whole product at work: a cluster, a relay, an agent, and a CI job
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything up at the end, and say how to use it and how to take it down
    #[arg(long)]
    keep: bool,
    /// Let GitLab vouch for the jobs, by their CI_JOB_TOKEN: the double of it that the tests have
    #[arg(long)]
    gitlab: bool,
    /// Use the cluster of this kubeconfig instead of starting one; what the demo puts there, it takes away, or after `--keep` `cargo xtask down` does
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Two images with busybox that the existing cluster can have
    #[arg(
        long,
        value_name = "IMAGE",
        num_args = 2,
        default_values = place::PUBLIC_IMAGES,
        requires = "kubeconfig"
    )]
    images: Vec<String>,
    /// The node of the cluster it starts: `real` or `kwok` [default: real as root on Linux, else kwok]
    #[arg(long, value_name = "KIND", value_parser = crate::cli::parse_node_with_pods, conflicts_with = "kubeconfig")]
    node: Option<Node>,
}

pub(crate) fn run(args: DemoArgs) -> Result<()> {
    let begin = Instant::now();
    line(paint(Tone::Strong, "What it takes"));
    debian::ready(&[debian::CURL])?;
    let node = args.node.unwrap_or_else(Node::best);
    if args.kubeconfig.is_none() && node == Node::Real {
        place::none_is_kept()?;
    }
    let adit = step("adit built", workspace::adit)?;
    let mut place = match &args.kubeconfig {
        Some(file) => Place::existing(file, args.images.clone())?,
        None => Place::own(node)?,
    };
    let processes = Processes::none()?;
    let folder = processes.folder();

    let voucher = if args.gitlab {
        step("the double of GitLab built", Voucher::gitlab)?
    } else {
        Voucher::issuer(folder)?
    };
    let authority = Authority::new("adit demo")?;
    fs::write(folder.join("ca.pem"), authority.pem())?;
    let mut relay = step("relay started", || {
        Relay::start(&adit, &processes, &authority, place.address(), &voucher)
    })?;
    step("RBAC applied", || {
        place.apply_rbac()?;
        agent::allow(&mut place, folder)
    })?;
    step("another agent came and left", || {
        agent::visit(&adit, &place, &processes, &mut relay)
    })?;
    let mut agent = step(place.agent_runs(), || {
        agent::start(&adit, &place, &processes, &relay)
    })?;
    step("tunnel up", || relay.wait_for_tunnel(agent.as_mut()))?;

    let vouched = step(voucher.begins(), || voucher.vouch(&processes, &relay))?;
    let shell = shell(&adit, &place, &processes, &relay, &vouched)?;
    line(paint(Tone::Strong, "\nThe job"));
    let outcome = run_steps(&shell, &place, &args);
    if let Err(error) = outcome {
        line(format_args!(
            "\nThe relay's last words:\n{}",
            relay.last_words()
        ));
        if let Some(agent) = &agent {
            line(format_args!(
                "\nThe agent's:\n{}",
                xtask::command::last_lines(&agent.log(), 15)
            ));
        }
        return Err(error);
    }
    line(format_args!(
        "\nAll of it in {}.",
        progress::took(begin.elapsed())
    ));
    if args.keep {
        return keep(place, processes, &shell, relay.admin());
    }
    place.tidy()
}

/// The job's folder and variables, and nothing else.
fn shell(
    adit: &Path,
    place: &Place,
    processes: &Processes,
    relay: &Relay,
    vouched: &Vouched,
) -> Result<Shell> {
    let shell = Shell::new(
        processes.folder().join("job"),
        relay.url(),
        &processes.folder().join("ca.pem"),
        vouched,
    )?
    .program("adit", adit)?
    .program("kubectl", &place.tools().kubectl())?
    .program("helm", &place.tools().helm())?;
    let [image, next] = place.images();
    let app = read("app.yaml")?;
    fs::write(
        shell.folder().join("app.yaml"),
        xtask::template::fill(&app, &[("APP_IMAGE", image)])?,
    )?;
    let chart = workspace::root().join("tests/fixtures/chart");
    Ok(shell
        .variable("CHART", &chart.to_string_lossy())
        .variable("APP_IMAGE", image)
        .variable("APP_IMAGE_NEXT", next))
}

fn run_steps(shell: &Shell, place: &Place, args: &DemoArgs) -> Result<()> {
    let steps = Step::all()?;
    let of_this = |step: &&Step| args.gitlab || !step.needs_gitlab();
    for step in steps.iter().filter(of_this) {
        let why_not = if step.needs_real_pods() && !place.has_real_pods() {
            Some("a simulated node cannot")
        } else if step.ends_job() && args.keep {
            Some("the job goes on")
        } else {
            None
        };
        match why_not {
            None => shell.run(step)?,
            Some(why) => line(format_args!(
                "\n{}",
                paint(Tone::Odd, format_args!("left out: {}: {why}", step.title()))
            )),
        }
    }
    Ok(())
}

fn keep(place: Place, processes: Processes, shell: &Shell, admin: SocketAddr) -> Result<()> {
    let own = processes.folder().display();
    let mut folders = vec![own.to_string()];
    folders.extend(place.folder().map(|folder| folder.display().to_string()));
    line(format_args!(
        "\nIt stays up. To be the job, for the next {} hours, in a shell:\n\n{}",
        issuer::LIFETIME.as_secs() / 3600,
        shell.exports(),
    ));
    line(format_args!(
        "\nTo be the operator, in another:\n\n    export PATH={own}/job/bin:$PATH\n    export KUBECONFIG={}\n    export ADIT_RELAY_ADMIN={admin}\n\n\
         The relay's page is http://{admin}/, its CA {own}/ca.pem; logs are in {own}/logs.\n\n\
         To take it down:\n\n    cargo xtask down {}",
        place.kubeconfig().display(),
        folders.join(" "),
    ));
    let folder = processes.folder().to_owned();
    processes.leave_running()?;
    place.leave_running(&folder)
}

/// Takes down what `--keep` left in a folder, and in a cluster that stays.
pub(crate) fn take_down(folder: &Path) -> Result<()> {
    // Without the folder nobody would know what to take away.
    Place::tidy_kept(folder)?;
    cluster::take_down(folder)
}

/// A file of `deploy/demo`.
fn read(name: &str) -> Result<String> {
    let path = workspace::root().join("deploy/demo").join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_blank_in_the_files_is_one_that_the_demo_fills() {
        let blanks = [
            (
                "relay.yaml",
                &[
                    "RELAY_ADDRESS",
                    "ADMIN_ADDRESS",
                    "FOLDER",
                    "DEMO_HASH",
                    "OFFLINE_HASH",
                    "LEFT_HASH",
                ][..],
            ),
            (
                "relay.gitlab.yaml",
                &[
                    "RELAY_ADDRESS",
                    "ADMIN_ADDRESS",
                    "FOLDER",
                    "GITLAB_URL",
                    "DEMO_HASH",
                    "OFFLINE_HASH",
                    "LEFT_HASH",
                ],
            ),
            ("agent/kustomization.yaml", &["API_HOST", "API_PORT"]),
            ("agent/agent.yaml", &["RELAY_URL"]),
            ("app.yaml", &["APP_IMAGE"]),
            ("rbac.yaml", &[]),
            ("flux.yaml", &[]),
        ];
        for (file, names) in blanks {
            let values: Vec<_> = names.iter().map(|name| (*name, "value")).collect();
            let filled = xtask::template::fill(&read(file).unwrap(), &values).unwrap();
            assert!(names.is_empty() || filled.contains("value"), "{file}");
        }
    }
}
