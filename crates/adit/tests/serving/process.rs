//! adit as a process: starting it, signalling it, and reading what it says.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn adit(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(arguments).env_clear().kill_on_drop(true);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) async fn signal(child: &Child, name: &str) {
    let id = child.id().expect("it runs");
    // The shell's own: not every machine has a program `kill`.
    assert!(
        Command::new("sh")
            .args(["-c", &format!("kill -s {name} {id}")])
            .status()
            .await
            .unwrap()
            .success()
    );
}

/// The first line that holds `wanted`.
pub(crate) async fn line<R: tokio::io::AsyncRead + Unpin>(
    lines: &mut Lines<BufReader<R>>,
    wanted: &str,
) -> String {
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(wanted) {
                return line;
            }
        }
        panic!("it ended without {wanted}");
    };
    timeout(SOON, found)
        .await
        .unwrap_or_else(|_| panic!("no line with {wanted}"))
}

pub(crate) fn stderr(child: &mut Child) -> Lines<BufReader<ChildStderr>> {
    BufReader::new(child.stderr.take().unwrap()).lines()
}

pub(crate) fn stdout(child: &mut Child) -> Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

/// The address in a line of the log.
pub(crate) fn address_in(line: &str) -> &str {
    field_in(line, "address")
}

pub(crate) fn field_in<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, value) = line.split_once(&format!("{name}=")).unwrap();
    value.split(' ').next().unwrap()
}
