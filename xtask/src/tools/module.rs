//! The Go modules: which there are, in which version, and what is built from them and kept of them.
//!
//! Versions stand in each module's `go.mod` only; here they are read from it.

use std::path::PathBuf;

use crate::workspace;

/// What is built of one project. A folder in `xtask/tools` each keeps their dependencies apart; most of Flux's share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// etcd.
    Etcd,
    /// API server, controller manager, scheduler, kubelet, kubectl, and the source of `pause`.
    Kubernetes,
    /// An older kubectl, for tests on a machine that has none.
    Kubectl,
    /// helm.
    Helm,
    /// kwok, and the stages its simulated nodes and pods go through.
    Kwok,
    /// Flux's command.
    Flux,
    /// Flux's controller that fetches, and its kinds.
    SourceController,
    /// Flux's controller that applies, and its kind.
    KustomizeController,
    /// Flux's controller that is called after a push, and its kinds.
    NotificationController,
    /// Grafana's own types of dashboards, in a program of ours that reads with them.
    Grafana,
    /// remotedialer's sample server and client, which the race has as a peer.
    Remotedialer,
}

/// A file that a module's source has and we keep beside the programs; or a folder of files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Its path in the module.
    pub(super) from: &'static str,
    /// Its path in the cache.
    pub(super) to: &'static str,
}

impl Module {
    /// Flux: its command and its controllers.
    pub const FLUX: [Self; 4] = [
        Self::Flux,
        Self::SourceController,
        Self::KustomizeController,
        Self::NotificationController,
    ];

    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Kwok => "kwok",
            Self::Flux => "flux",
            Self::SourceController => "source-controller",
            Self::KustomizeController => "kustomize-controller",
            Self::NotificationController => "notification-controller",
            Self::Grafana => "grafana",
            Self::Remotedialer => "remotedialer",
        }
    }

    /// Such as `v1.36.3`.
    #[must_use]
    pub fn version(self) -> &'static str {
        let go_mod = match self {
            Self::Etcd => include_str!("../../tools/etcd/go.mod"),
            Self::Kubernetes => include_str!("../../tools/kubernetes/go.mod"),
            Self::Kubectl => include_str!("../../tools/kubectl/go.mod"),
            Self::Helm => include_str!("../../tools/helm/go.mod"),
            Self::Kwok => include_str!("../../tools/kwok/go.mod"),
            Self::Flux | Self::SourceController | Self::KustomizeController => {
                include_str!("../../tools/flux/go.mod")
            }
            Self::NotificationController => {
                include_str!("../../tools/notification-controller/go.mod")
            }
            Self::Grafana => include_str!("../../tools/grafana/go.mod"),
            Self::Remotedialer => include_str!("../../tools/remotedialer/go.mod"),
        };
        go_mod
            .lines()
            .filter_map(|line| line.strip_prefix("require ")?.split_once(' '))
            .find(|(path, _)| *path == self.path())
            .map(|(_, version)| version)
            .expect("go.mod requires the module it is for, which a test checks")
    }

    /// Its name in the cache.
    #[must_use]
    pub fn key(self) -> String {
        format!("{}-{}", self.name(), self.version())
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kubernetes | Self::Kubectl => "k8s.io/kubernetes",
            Self::Helm => "helm.sh/helm/v4",
            Self::Kwok => "sigs.k8s.io/kwok",
            Self::Flux => "github.com/fluxcd/flux2/v2",
            Self::SourceController => "github.com/fluxcd/source-controller",
            Self::KustomizeController => "github.com/fluxcd/kustomize-controller",
            Self::NotificationController => "github.com/fluxcd/notification-controller",
            Self::Grafana => "github.com/grafana/grafana-foundation-sdk/go",
            Self::Remotedialer => "github.com/rancher/remotedialer",
        }
    }

    /// Where its `go.mod` is. What Flux's have in common, which is most of them, is compiled once: they share it, but for
    /// notification-controller, which needs an older API of its own than the command, and has all else in the same version.
    pub(super) fn folder(self) -> PathBuf {
        let folder = match self {
            Self::SourceController | Self::KustomizeController => Self::Flux,
            Self::Etcd
            | Self::Kubernetes
            | Self::Kubectl
            | Self::Helm
            | Self::Kwok
            | Self::Flux
            | Self::NotificationController
            | Self::Grafana
            | Self::Remotedialer => self,
        };
        workspace::root().join("xtask/tools").join(folder.name())
    }

    /// Packages to build, each with the program's name.
    pub(super) fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Etcd => &[("go.etcd.io/etcd/server/v3", "etcd")],
            Self::Kubernetes => &[
                ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
                (
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                    "kube-controller-manager",
                ),
                ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
                ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
                ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
            ],
            Self::Kubectl => &[("k8s.io/kubernetes/cmd/kubectl", "kubectl")],
            Self::Helm => &[("helm.sh/helm/v4/cmd/helm", "helm")],
            Self::Kwok => &[("sigs.k8s.io/kwok/cmd/kwok", "kwok")],
            Self::Flux => &[("github.com/fluxcd/flux2/v2/cmd/flux", "flux")],
            Self::SourceController => {
                &[("github.com/fluxcd/source-controller", "source-controller")]
            }
            Self::KustomizeController => &[(
                "github.com/fluxcd/kustomize-controller",
                "kustomize-controller",
            )],
            Self::NotificationController => &[(
                "github.com/fluxcd/notification-controller",
                "notification-controller",
            )],
            Self::Grafana => &[(".", "grafana-reads")],
            Self::Remotedialer => &[
                ("github.com/rancher/remotedialer/server", "server"),
                ("github.com/rancher/remotedialer/client", "client"),
            ],
        }
    }

    /// Variables that carry the version, which a build outside the project's own scripts would lack.
    pub(super) fn variables(self) -> Vec<(&'static str, String)> {
        let version = self.version().to_owned();
        match self {
            Self::Etcd
            | Self::SourceController
            | Self::KustomizeController
            | Self::NotificationController
            | Self::Grafana
            | Self::Remotedialer => vec![],
            Self::Flux => vec![("main.VERSION", version.trim_start_matches('v').to_owned())],
            Self::Kubernetes | Self::Kubectl => {
                let mut parts = version.trim_start_matches('v').split('.');
                let mut part = || parts.next().unwrap_or_default().to_owned();
                vec![
                    ("k8s.io/component-base/version.gitMajor", part()),
                    ("k8s.io/component-base/version.gitMinor", part()),
                    ("k8s.io/component-base/version.gitVersion", version),
                ]
            }
            Self::Helm => vec![("helm.sh/helm/v4/internal/version.version", version)],
            Self::Kwok => vec![("sigs.k8s.io/kwok/pkg/consts.Version", version)],
        }
    }

    pub(super) fn kept(self) -> &'static [Kept] {
        match self {
            Self::Etcd
            | Self::Kubectl
            | Self::Helm
            | Self::Flux
            | Self::Grafana
            | Self::Remotedialer => &[],
            Self::SourceController | Self::KustomizeController | Self::NotificationController => {
                &[Kept {
                    from: "config/crd/bases",
                    to: "crds",
                }]
            }
            Self::Kubernetes => &[Kept {
                from: "build/pause/linux/pause.c",
                to: "pause.c",
            }],
            Self::Kwok => &[
                Kept {
                    from: "kustomize/stage/node/fast/node-initialize.yaml",
                    to: "stages/node-initialize.yaml",
                },
                Kept {
                    from: "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
                    to: "stages/node-heartbeat-with-lease.yaml",
                },
                Kept {
                    from: "kustomize/stage/pod/fast/pod-ready.yaml",
                    to: "stages/pod-ready.yaml",
                },
                Kept {
                    from: "kustomize/stage/pod/fast/pod-complete.yaml",
                    to: "stages/pod-complete.yaml",
                },
                Kept {
                    from: "kustomize/stage/pod/fast/pod-delete.yaml",
                    to: "stages/pod-delete.yaml",
                },
            ],
        }
    }

    /// Empty files that the source lacks, and without which it does not build; paths are the module's.
    pub(super) fn added(self) -> &'static [&'static str] {
        match self {
            // What it embeds there for `flux install` is generated by scripts of its own.
            Self::Flux => &["cmd/flux/manifests/none.yaml"],
            Self::Etcd
            | Self::Kubernetes
            | Self::Kubectl
            | Self::Helm
            | Self::Kwok
            | Self::SourceController
            | Self::KustomizeController
            | Self::NotificationController
            | Self::Grafana
            | Self::Remotedialer => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_go_mod_files() {
        let all = [
            Module::Etcd,
            Module::Kubernetes,
            Module::Kubectl,
            Module::Helm,
            Module::Kwok,
            Module::Flux,
            Module::SourceController,
            Module::KustomizeController,
            Module::NotificationController,
            Module::Grafana,
            Module::Remotedialer,
        ];
        for module in all {
            assert!(module.version().starts_with('v'), "{module:?}");
        }
        let values: Vec<_> = Module::Kubernetes
            .variables()
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        assert_eq!(
            values.join("."),
            format!("1.36.{}", Module::Kubernetes.version())
        );
    }
}
