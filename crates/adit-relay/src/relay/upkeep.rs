//! What runs beside traffic as long as the relay does, and which files it keeps.

use std::{fmt::Display, sync::Arc};

use adit_process::{
    Reread,
    metrics::{Each, Reload},
    reread::{self, Kept, Looks},
    secret_file::Loaded,
    tls::ServerRoots,
};
use prometheus_client::metrics::counter::Counter;
use tokio::task::JoinSet;

use super::files::Bundles;
use crate::metrics::Metrics;

/// Tasks that end when this is dropped.
#[derive(Debug)]
pub(super) struct Upkeep {
    tasks: JoinSet<()>,
    reread: Reread,
    secret_reloads: Each<Reload, Counter>,
    server_ca_reloads: Each<Reload, Counter>,
    secrets: Vec<Looks>,
}

impl Upkeep {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            tasks: JoinSet::new(),
            reread: Reread::default(),
            secret_reloads: metrics.secret_reloads.clone(),
            server_ca_reloads: metrics.server_ca_reloads.clone(),
            secrets: Vec::new(),
        }
    }

    /// Has all files read again that are kept.
    pub(super) fn reread(&self) -> &Reread {
        &self.reread
    }

    /// How it goes with the secrets' files that are kept by now.
    pub(super) fn secrets(&self) -> Vec<Looks> {
        self.secrets.clone()
    }

    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Reads files again from time to time.
    pub(super) fn keep(&mut self, kept: impl Kept) {
        let kept = reread::keep(Arc::new(kept), &self.reread);
        self.spawn(kept);
    }

    /// Has CAs of servers replaced whenever their file holds others, and gives them.
    pub(super) fn believed(&mut self, believed: Bundles) -> Vec<ServerRoots> {
        let reloads = self.server_ca_reloads.clone();
        let kept = believed.into_kept();
        let kept: Vec<_> = kept
            .map(|roots| roots.counted_by(reloads.clone()))
            .collect();
        for roots in &kept {
            self.keep(roots.clone());
        }
        kept
    }

    /// Has a secret replaced whenever its file holds another one.
    pub(super) fn secret<T, E>(
        &mut self,
        loaded: Loaded<T>,
        replace: fn(&T, &str) -> Result<(), E>,
    ) -> Arc<T>
    where
        T: Send + Sync + 'static,
        E: Display + 'static,
    {
        let (secret, file) = loaded.kept(replace, self.secret_reloads.clone());
        self.secrets.push(file.looks().clone());
        self.keep(file);
        secret
    }
}
