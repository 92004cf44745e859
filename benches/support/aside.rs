//! Threads that play a part of their own beside the load, each with its own runtime: an API server, a line, a fleet, heavy callers.

use std::thread::{self, JoinHandle};

use anyhow::Result;
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

/// A thread that ends when it is let go of, and with it all that it left on its runtime.
#[derive(Debug)]
pub struct Aside {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Aside {
    pub fn start(name: &str, part: impl Future<Output = ()> + Send + 'static) -> Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = runtime()?;
        let play = move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = part => {}
                }
            });
        };
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread::Builder::new().name(name.to_owned()).spawn(play)?),
        })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One thread's.
pub fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
