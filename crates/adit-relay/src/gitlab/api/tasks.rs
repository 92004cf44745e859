//! Decides who owns what hyper leaves to an executor: the connection that it belongs to, with which it ends.

use std::sync::{Arc, Weak};

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::task::JoinSet;

/// The calls of one connection.
#[derive(Debug, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

/// Where they are left. Does not keep them alive.
#[derive(Clone, Debug)]
pub(super) struct Here(Weak<Mutex<JoinSet<()>>>);

impl Tasks {
    pub(super) fn here(&self) -> Here {
        Here(Arc::downgrade(&self.0))
    }
}

impl<F> Executor<F> for Here
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let Some(tasks) = self.0.upgrade() else {
            return;
        };
        let mut tasks = tasks.lock();
        // Those that are over are held until somebody asks for them.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(future);
    }
}
