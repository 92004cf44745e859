//! A client that runs: what it says can be waited for while it does, and it may be talked to. Invariant: it has a deadline, and
//! is gone with this value.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::until::{SOON, until, until_within};

/// Longest life of a client that nobody expects to stay.
const DEADLINE: Duration = Duration::from_secs(60);

pub struct Running {
    spelled: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Pipe,
    stderr: Pipe,
    began: Instant,
}

/// How a client ended.
#[derive(Debug)]
pub struct Ended {
    spelled: String,
    /// `None` after a signal.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// From its start.
    pub took: Duration,
}

impl Running {
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let spelled = spelled(&command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {spelled}: {error}"));
        let stdin = child.stdin.take();
        let stdout = Pipe::read(child.stdout.take().unwrap());
        let stderr = Pipe::read(child.stderr.take().unwrap());
        Self {
            spelled,
            child,
            stdin,
            stdout,
            stderr,
            began: Instant::now(),
        }
    }

    /// Writes to its standard input, from a thread of its own: the client may take its time.
    pub fn feed(&mut self, bytes: Vec<u8>) {
        let mut stdin = self.stdin.take().expect("its standard input is open");
        // A client that ends early is judged by its exit code.
        thread::spawn(move || stdin.write_all(&bytes));
    }

    /// Writes to its standard input, which stays open.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("its standard input is open");
        stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
            .unwrap();
    }

    /// The end of its standard input.
    pub fn hush(&mut self) {
        self.stdin = None;
    }

    /// Waits until its standard output holds this, and says how long that took.
    ///
    /// # Panics
    ///
    /// When it does not come, or the client ends before.
    pub fn hears(&mut self, text: &str) -> Duration {
        let began = Instant::now();
        let what = format!("`{}` says {text:?}", self.spelled);
        until(&what, || {
            // In this order: what it said before its end is there after it.
            let ended = self.child.try_wait().unwrap();
            let found = self.stdout.text().contains(text);
            let said = || format!("{}\n{}", self.stdout.text(), self.stderr.text());
            assert!(found || ended.is_none(), "{what}: it ended: {}", said());
            found.then_some(())
        });
        began.elapsed()
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn ended(self) -> Ended {
        self.ended_within(DEADLINE)
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it lives on.
    pub fn ended_within(mut self, within: Duration) -> Ended {
        let what = format!("`{}` has ended", self.spelled);
        let status = until_within(within, &what, || self.child.try_wait().unwrap());
        let took = self.began.elapsed();
        let (stdout, stderr) = (self.stdout.end(), self.stderr.end());
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Ended {
            spelled: self.spelled.clone(),
            code: status.code(),
            stdout,
            stderr,
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "--- {} ---\n{}\n{}",
                self.spelled,
                shortened(&self.stdout.text()),
                self.stderr.text()
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// What it wrote to standard output.
    ///
    /// # Panics
    ///
    /// When it did not end with 0.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.text()
    }

    /// What it wrote to standard error.
    ///
    /// # Panics
    ///
    /// When it ended with 0.
    pub fn failure(self) -> String {
        assert_ne!(self.code, Some(0), "{self}");
        self.stderr
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            spelled,
            code,
            stderr,
            took,
            ..
        } = self;
        write!(
            f,
            "`{spelled}` ended with {code:?} after {took:?}:\n{}\n{stderr}",
            shortened(&self.text())
        )
    }
}

/// What came from one of its outputs so far.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Pipe {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(len @ 1..) = from.read(&mut chunk) {
                into.lock().unwrap().extend_from_slice(&chunk[..len]);
            }
        });
        Self {
            bytes,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    fn end(&mut self) -> Vec<u8> {
        let reader = self.reader.take().expect("it ends once");
        until_within(SOON, "its output has ended", || {
            reader.is_finished().then_some(())
        });
        std::mem::take(&mut *self.bytes.lock().unwrap())
    }
}

fn spelled(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    shortened(
        &std::iter::once(name)
            .chain(arguments)
            .collect::<Vec<_>>()
            .join(" "),
    )
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(4000) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text.to_owned(),
    }
}
