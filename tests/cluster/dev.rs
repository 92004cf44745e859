//! `adit dev` at a terminal, in front of a real cluster: it does what it says it does, and shows it in colours.

use std::{path::Path, process::Command};

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials},
    job::Call,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    let mut all = trials![Needs::Node; dev_puts_a_relay_before_the_cluster_until_ctrl_c];
    all.extend(trials![Needs::ControlPlane; output_is_coloured_on_a_terminal_and_plain_elsewhere]);
    all
}

fn dev_puts_a_relay_before_the_cluster_until_ctrl_c(world: &World) {
    world.bench();
    let folder = world.new_folder("dev");
    let mut adit = adit(world);
    adit.env("TMPDIR", &folder);
    let mut dev = Call::new(adit, "dev --log info --kubeconfig")
        .arg(&world.cluster.kubeconfig)
        .in_terminal(24, 80);
    dev.shows("Ctrl-C ends it");
    // A line of the log, with its level in green: when it comes is the log's own affair.
    dev.shows("\u{1b}[32m INFO");
    let shown = dev.shown();
    let export = shown
        .lines()
        .find_map(|line| line.trim().strip_prefix("export KUBECONFIG="));
    let kubeconfig = Path::new(export.expect("it says so"));
    let kubectl = |line: &str| {
        let mut kubectl = Client::ours(world).command();
        kubectl
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", &folder)
            .env("PATH", "/usr/bin:/bin");
        Call::new(kubectl, line)
    };

    let me = kubectl("auth whoami --output=jsonpath={.status.userInfo.username}").ok();
    assert!(me.starts_with("gitlab:ci_job:"), "{me}");
    assert!(shown.contains(&format!("user    {me}")), "{shown}");
    let said = kubectl("--namespace vault get secrets").failure();
    assert!(
        said.contains(&format!("User \"{me}\" cannot list resource \"secrets\"")),
        "{said}"
    );
    let said = kubectl("--namespace shop exec bench -- echo hello").ok();
    assert_eq!(said, "hello\n");

    dev.press("\u{3}");
    assert_eq!(dev.code(), Some(0));
    assert!(!kubeconfig.exists(), "its folder is left behind");
}

fn output_is_coloured_on_a_terminal_and_plain_elsewhere(world: &World) {
    let cases = [
        ("--help", "Exit codes", 0),
        ("config check /nowhere/relay.yaml", "because", 64),
    ];
    for (line, last, code) in cases {
        let mut terminal = Call::new(adit(world), line).in_terminal(24, 80);
        terminal.shows(last);
        assert!(terminal.shown().contains("\u{1b}["), "{line}");
        assert_eq!(terminal.code(), Some(code));

        let mut plain = adit(world);
        plain.env("NO_COLOR", "1");
        let mut terminal = Call::new(plain, line).in_terminal(24, 80);
        terminal.shows(last);
        assert!(!terminal.shown().contains('\u{1b}'), "{line}");
        assert_eq!(terminal.code(), Some(code));

        let ended = Call::new(adit(world), line).run();
        let said = ended.text() + &ended.stderr;
        assert!(said.contains(last) && !said.contains('\u{1b}'), "{said}");
    }
}

/// Without an environment of ours.
fn adit(world: &World) -> Command {
    let mut command = Command::new(&world.adit);
    command.env_clear();
    command
}
