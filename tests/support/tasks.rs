//! Tasks that belong to somebody: when the owner is dropped, they are, too. hyper leaves parts of an HTTP/2 connection to an
//! executor; with this one they do not outlive the connection's owner.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The owner's end.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(future);
    }

    pub(crate) fn executor(&self) -> Executor {
        Executor(Arc::downgrade(&self.0))
    }
}

/// Accepts connections until dropped, which ends them all, as a killed process would.
pub(crate) async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream, Executor) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks = Tasks::default();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let _ = socket.set_nodelay(true);
        tasks.spawn(serve(socket, tasks.executor()));
    }
}

/// Where hyper leaves tasks. Does not keep them alive.
#[derive(Clone)]
pub(crate) struct Executor(Weak<Mutex<JoinSet<()>>>);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        if let Some(tasks) = self.0.upgrade() {
            Tasks(tasks).spawn(async move {
                future.await;
            });
        }
    }
}
