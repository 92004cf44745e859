//! Writes what the queues hold, on a thread of its own, so that a slow disk or a full pipe holds up no request.
//!
//! Started and ended by `relay.rs`. Invariant: lines leave the queues in the order of their shard, each whole and once; when they
//! cannot be written they stay, and the queues fill.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use adit_process::chain;

use super::{
    queue::Queue,
    sink::{NotWritten, Sink, Written},
    wake::{Call, Wake},
};
use crate::metrics::AuditMetrics;

/// The thread that writes. Dropping it writes what is there, within [`IN_HASTE`].
#[derive(Debug)]
pub(crate) struct Writer {
    wake: Arc<Wake>,
    /// Disconnected when the thread has ended; nothing is sent.
    ended: mpsc::Receiver<std::convert::Infallible>,
    /// It was waited for already.
    is_over: bool,
}

impl Writer {
    pub(super) fn start(
        queues: Vec<Arc<Queue>>,
        wake: Arc<Wake>,
        sink: Sink,
        metrics: AuditMetrics,
    ) -> io::Result<Self> {
        let (ending, ended) = mpsc::sync_channel(0);
        let work = Work {
            queues,
            wake: Arc::clone(&wake),
            sink,
            metrics,
            is_failing: false,
            spare: Vec::new(),
        };
        thread::Builder::new()
            .name("adit-audit".to_owned())
            .spawn(move || {
                work.run();
                drop(ending);
            })?;
        Ok(Self {
            wake,
            ended,
            is_over: false,
        })
    }

    /// Writes everything, once nothing more will come; gives up after `within`.
    pub(crate) async fn finish(mut self, within: Duration) {
        // It blocks, and the thread's last words must not wait for a runtime.
        let finished = tokio::task::spawn_blocking(move || self.end(within)).await;
        if let Err(error) = finished {
            tracing::error!(error = %error, "the audit log did not end in order");
        }
    }

    fn end(&mut self, within: Duration) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.wake.call(Call::Last);
        if self.has_ended(within) {
            return;
        }
        self.wake.call(Call::GiveUp);
        if !self.has_ended(IN_HASTE) {
            tracing::error!("the audit log cannot be written to its end: nobody takes it");
        }
    }

    fn has_ended(&self, within: Duration) -> bool {
        self.ended.recv_timeout(within) == Err(mpsc::RecvTimeoutError::Disconnected)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end(IN_HASTE);
    }
}

/// What the thread works with.
struct Work {
    queues: Vec<Arc<Queue>>,
    wake: Arc<Wake>,
    sink: Sink,
    metrics: AuditMetrics,
    is_failing: bool,
    /// A buffer to give for the one that is taken.
    spare: Vec<u8>,
}

impl Work {
    fn run(mut self) {
        loop {
            let call = self.wake.wait();
            let mut was_empty = true;
            for at in 0..self.queues.len() {
                if let Some(queue) = self.queues.get(at).cloned() {
                    was_empty &= self.empty(&queue);
                }
            }
            if call >= Call::Last && was_empty {
                break;
            }
        }
        if let Err(error) = self.sink.sync() {
            self.failed(&error.into());
        }
    }

    /// Writes what a queue holds; says whether that was nothing.
    fn empty(&mut self, queue: &Queue) -> bool {
        let lines = queue.take(std::mem::take(&mut self.spare));
        let mut left = lines.as_slice();
        while !left.is_empty() {
            match self.sink.write(left, &self.wake) {
                Ok(Written { bytes, rejected }) => {
                    left = left.get(bytes..).unwrap_or_default();
                    queue.gone(bytes);
                    queue.rejected(rejected);
                    self.succeeded();
                }
                Err(error) => {
                    self.failed(&error);
                    if self.wake.pause(self.sink.pause(&error)) {
                        self.give_up(queue, left);
                        break;
                    }
                }
            }
        }
        let was_empty = lines.is_empty();
        self.keep(lines);
        was_empty
    }

    fn keep(&mut self, mut lines: Vec<u8>) {
        lines.clear();
        if lines.capacity() <= LARGEST_SPARE {
            self.spare = lines;
        }
    }

    fn give_up(&self, queue: &Queue, left: &[u8]) {
        let records = left.iter().filter(|byte| **byte == b'\n').count();
        queue.lost(records as u64);
        queue.gone(left.len());
        tracing::error!(records, "audit records are lost");
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("the audit log can be written again");
        }
    }

    fn failed(&mut self, error: &NotWritten) {
        self.metrics.write_failures.inc();
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(
                error = chain(error),
                "the audit log cannot be written, trying again"
            );
        }
    }
}

/// For last words when there is no time.
const IN_HASTE: Duration = Duration::from_millis(500);
/// Of a buffer that is used again; larger ones were made in a stall.
const LARGEST_SPARE: usize = 1 << 20;

#[cfg(test)]
mod tests;
