//! A person at a terminal: a shell in a container, a window that changes its size, Ctrl-C.

use libtest_mimic::Trial;

use crate::{
    client::Client,
    harness::{Needs, trials_by_carrier},
    until::until,
    world::World,
};

pub fn trials() -> Vec<Trial> {
    trials_by_carrier![Needs::Pods; shell_in_a_terminal_behaves_as_if_it_were_here]
}

fn shell_in_a_terminal_behaves_as_if_it_were_here(world: &World, client: &Client) {
    world.bench();
    let job = world.job(client);
    let mut terminal = job.kubectl("exec -it bench -- sh").in_terminal(24, 80);
    terminal.shows("# ");
    terminal.press("stty size\n");
    terminal.shows("24 80");

    terminal.resize(50, 132);
    until("the shell has heard of the new size", || {
        terminal.press("stty size\n");
        terminal.shown().contains("50 132").then_some(())
    });

    // In two parts, so that the terminal's echo is not taken for the answer.
    terminal.press("echo be''gun; sleep 600; echo sur''vived\n");
    terminal.shows("begun");
    // Ctrl-C, perhaps more than once: the first may find the shell before it has started what comes after the `echo`.
    until("Ctrl-C has ended the line", || {
        terminal.press("\u{3}");
        terminal.press("echo next''line\n");
        terminal.shown().contains("nextline").then_some(())
    });
    assert!(
        !terminal.shown().contains("survived"),
        "Ctrl-C ends the whole line"
    );

    terminal.press("exit 5\n");
    assert_eq!(terminal.code(), Some(5));
}
