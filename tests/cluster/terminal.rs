//! A pseudo-terminal with a client in it, as if a person sat there: typed at, looked at, resized.
//! `setsid` gives the client the terminal as its own, so that it hears of new sizes as any program does.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::until::{until, until_within};

pub struct Terminal {
    keyboard: File,
    shown: Arc<Mutex<String>>,
    child: Child,
}

impl Terminal {
    /// Runs it in a terminal of this size.
    ///
    /// # Panics
    ///
    /// When there is no terminal, or no such program.
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let path = ptsname(&terminal, Vec::new()).unwrap();
        let inner = File::from(
            open(
                path,
                OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .unwrap(),
        );
        tcsetwinsize(&terminal, size(rows, columns)).unwrap();
        let child = in_session(command)
            .stdin(inner.try_clone().unwrap())
            .stdout(inner.try_clone().unwrap())
            .stderr(inner)
            .spawn()
            .unwrap();
        let keyboard = File::from(terminal);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, into) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        thread::spawn(move || {
            let mut chunk = vec![0; 4096];
            // Ends with an error when nobody has the terminal open any more.
            while let Ok(len @ 1..) = screen.read(&mut chunk) {
                into.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&chunk[..len]));
            }
        });
        Self {
            keyboard,
            shown,
            child,
        }
    }

    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.keyboard, size(rows, columns)).unwrap();
    }

    /// Waits until this was shown.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub fn shows(&self, text: &str) {
        until(&format!("the terminal shows {text:?}"), || {
            self.shown().contains(text).then_some(())
        });
    }

    pub fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// The exit code of what ran in it.
    ///
    /// # Panics
    ///
    /// When it runs on.
    pub fn code(&mut self) -> Option<i32> {
        until_within(
            Duration::from_secs(20),
            "what ran in the terminal has ended",
            || self.child.try_wait().unwrap(),
        )
        .code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the terminal ---\n{}", self.shown());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_session(command: &Command) -> Command {
    let mut wrapped = Command::new("setsid");
    wrapped
        .args(["--ctty", "--wait"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear();
    for (name, value) in command.get_envs() {
        wrapped.env(name, value.unwrap_or_default());
    }
    wrapped.env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
    wrapped
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
