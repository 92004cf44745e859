//! etcd, API server, controller manager and scheduler: their flags, and the order in which they start.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::access::Access;
use super::certificates::{Authority, write_signing_key};
use super::daemon::Daemon;
use super::observed::Observed;
use super::record::Record;
use crate::ports;
use crate::tools::{Module, Tools};

/// The four processes.
#[derive(Debug)]
pub(super) struct ControlPlane {
    record: Record,
    tools: Tools,
    etcd: [u16; 2],
    api_server_flags: Vec<String>,
    observed: Option<Observed>,
    admin: String,
    api_server: Option<Daemon>,
    others: Vec<Daemon>,
}

impl ControlPlane {
    /// Writes certificates and chooses ports; nothing runs yet.
    pub(super) fn prepare(
        record: &Record,
        tools: &Tools,
        access: &Access,
        authority: &Authority,
        observed: Option<Observed>,
    ) -> Result<Self> {
        let folder = record.folder();
        let names = [
            access.address().to_string(),
            SERVICE_IP.to_owned(),
            "kubernetes".to_owned(),
            "kubernetes.default".to_owned(),
            "kubernetes.default.svc".to_owned(),
        ];
        authority.server(folder, "apiserver", &names)?;
        authority.client(folder, "apiserver-kubelet", "system:masters")?;
        write_signing_key(
            &record.path("service-accounts.key"),
            &record.path("service-accounts.pub"),
        )?;
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let etcd = [ports::free(loopback)?, ports::free(loopback)?];
        Ok(Self {
            record: record.clone(),
            tools: tools.clone(),
            etcd,
            api_server_flags: api_server_flags(folder, access, etcd[0]),
            observed,
            admin: access.admin_kubeconfig().display().to_string(),
            api_server: None,
            others: Vec::new(),
        })
    }

    /// Starts etcd and the API server; the second waits for the first by itself.
    pub(super) fn start_store(&mut self) -> Result<()> {
        let [client, peer] = self.etcd.map(|port| format!("http://127.0.0.1:{port}"));
        let mut etcd = Command::new(self.tools.program(Module::Etcd, "etcd"));
        etcd.args(["--data-dir", "etcd", "--log-level=warn"])
            // The data goes with the folder, so no disk has to confirm it.
            .arg("--unsafe-no-fsync")
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--initial-cluster", &format!("default={peer}")]);
        self.others.push(Daemon::start(&self.record, "etcd", etcd)?);
        self.start_api_server()
    }

    pub(super) fn start_api_server(&mut self) -> Result<()> {
        let mut command = Command::new(self.tools.program(Module::Kubernetes, "kube-apiserver"));
        command.args(&self.api_server_flags);
        if let Some(observed) = &self.observed {
            observed.apply(&self.record, &mut command)?;
        }
        self.api_server = Some(Daemon::start(&self.record, "kube-apiserver", command)?);
        Ok(())
    }

    /// Starts one more API server, which behaves as one of that version would, and has a part of the store to itself.
    pub(super) fn start_as_of(&mut self, version: &str, access: &Access) -> Result<()> {
        let mut command = Command::new(self.tools.program(Module::Kubernetes, "kube-apiserver"));
        command
            .args(api_server_flags(self.record.folder(), access, self.etcd[0]))
            .arg(format!("--emulated-version={version}"))
            .arg(format!("--etcd-prefix=/{version}"));
        let name = format!("kube-apiserver-{version}");
        self.others
            .push(Daemon::start(&self.record, &name, command)?);
        Ok(())
    }

    pub(super) fn stop_api_server(&mut self) -> Result<()> {
        match self.api_server.take() {
            Some(mut running) => running.stop(Duration::from_secs(10)),
            None => Ok(()),
        }
    }

    /// Starts those that need the API server.
    pub(super) fn start_controllers(&mut self) -> Result<()> {
        let mut manager = self.client_of_api("kube-controller-manager");
        manager.args([
            "--service-account-private-key-file=service-accounts.key",
            "--root-ca-file=ca.crt",
            "--use-service-account-credentials=false",
            // A busy machine may keep the node from telling that it lives. kwok makes one that was given up ready again, but without
            // its address.
            "--node-monitor-grace-period=10m",
        ]);
        self.others.push(Daemon::start(
            &self.record,
            "kube-controller-manager",
            manager,
        )?);
        let scheduler = self.client_of_api("kube-scheduler");
        self.others
            .push(Daemon::start(&self.record, "kube-scheduler", scheduler)?);
        Ok(())
    }

    /// Neither serves anything, nor has a second to agree with about who leads.
    fn client_of_api(&self, name: &str) -> Command {
        let mut command = Command::new(self.tools.program(Module::Kubernetes, name));
        command
            .args(["--kubeconfig", &self.admin])
            .args(["--leader-elect=false", "--secure-port=0"]);
        command
    }

    pub(super) fn check(&mut self) -> Result<()> {
        self.others
            .iter_mut()
            .chain(&mut self.api_server)
            .try_for_each(Daemon::check)
    }
}

fn api_server_flags(folder: &Path, access: &Access, etcd: u16) -> Vec<String> {
    let listen = access.listen();
    [
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--bind-address={}", listen.ip()),
        format!("--secure-port={}", listen.port()),
        format!("--advertise-address={}", listen.ip()),
        format!("--cert-dir={}", folder.display()),
        "--endpoint-reconciler-type=none".to_owned(),
        "--tls-cert-file=apiserver.crt".to_owned(),
        "--tls-private-key-file=apiserver.key".to_owned(),
        "--client-ca-file=ca.crt".to_owned(),
        format!("--token-auth-file={}", access.token_file().display()),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--allow-privileged".to_owned(),
        // By address: the name of a node resolves nowhere here.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--kubelet-client-certificate=apiserver-kubelet.crt".to_owned(),
        "--kubelet-client-key=apiserver-kubelet.key".to_owned(),
        "--kubelet-certificate-authority=ca.crt".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-account-key-file=service-accounts.pub".to_owned(),
        "--service-account-signing-key-file=service-accounts.key".to_owned(),
        format!("--service-cluster-ip-range={SERVICES}"),
        // A restart should take a second, not a minute, while watches are open.
        "--shutdown-watch-termination-grace-period=1s".to_owned(),
    ]
    .into()
}

const SERVICES: &str = "10.214.0.0/16";
const SERVICE_IP: &str = "10.214.0.1";
