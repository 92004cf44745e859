//! `adit manifests relay`: a relay in a cluster, from the config file that it would have elsewhere.
//!
//! Called by [`super::run`]. What depends on the pod (addresses, the certificate's place) is the manifests', the rest the file's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_authority::Secrets;
use adit_authority::oidc::KeySource;
use adit_process::Exit;
use adit_process::tls::{CertificateFiles, OwnCertificate};
use adit_relay::{AuditTo, Config, RawConfig};
use anyhow::{Context, anyhow};
use clap::Args;
use http::Uri;
use serde_json::{Value, json};

use super::document::{Document, Documents, Place};
use super::{checksum, names, read_pem};
use crate::failure::{Ends, Failure};
use crate::file_kind::FileKind;
use crate::input::read_text;
use crate::terminal::warn;

/// Print a relay's manifests: namespace, account, config, pods, service
#[derive(Debug, Args)]
#[command(after_help = "\
What the config file has for the addresses, certificates and keys of `listen` and `admin` is \
replaced by what holds in the pod; keys that are missing come from deploy/manifests/relay/relay.yaml.

Examples:
  adit manifests relay --config relay.yaml | kubectl apply -f -
  kubectl --namespace adit-relay create secret tls adit-relay-tls \\
    --cert=relay.crt --key=relay.key
  adit manifests relay --config relay.yaml --certificate relay.crt --key relay.key \\
    --admin-token-file admin-token --image registry.example.com/adit:0.1.0 > relay-manifests.yaml")]
pub(crate) struct RelayArgs {
    /// The relay's config file; `-` reads standard input
    #[arg(long, value_name = "FILE", env = "ADIT_RELAY_CONFIG")]
    config: PathBuf,
    /// Its certificate (PEM, the chain), printed as a Secret [default: the Secret adit-relay-tls is there]
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// The file with the token by which operators are known, printed as a Secret that the pod has: `admin.token_file`
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Its image [default: `adit` with this version as tag]
    #[arg(long, value_name = "IMAGE", value_parser = names::image)]
    image: Option<String>,
    /// How its Service is reached: LoadBalancer, NodePort or ClusterIP
    #[arg(long, value_name = "TYPE", default_value = "LoadBalancer")]
    #[arg(value_parser = ["LoadBalancer", "NodePort", "ClusterIP"])]
    service: String,
    /// What its objects are called, several in one cluster differently
    #[arg(long, value_name = "NAME", value_parser = names::service, default_value = "adit-relay")]
    name: String,
    /// The namespace that is made for it, one of its own: Pod Security `restricted` is enforced there [default: its name]
    #[arg(long, value_name = "NAME", value_parser = names::label)]
    install_namespace: Option<String>,
}

/// The manifests, as YAML.
pub(super) fn print(args: &RelayArgs) -> Result<String, Failure> {
    names::is_own(args.home(), &[]).ends(Exit::BadConfig)?;
    let (text, checked) = args.config()?;
    for doubt in checked.doubts() {
        warn(format_args!("{}: {doubt}", args.config.display()));
    }
    // It was written a moment ago.
    let config: Value = serde_saphyr::from_str(&text).ends(Exit::Internal)?;
    let data = json!({ "relay.yaml": text });
    let mut documents = Documents::of(&[
        built_in!("relay/namespace.yaml"),
        built_in!("relay/service-account.yaml"),
    ]);
    documents.push(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "adit-relay" }, "data": data,
    }));
    let mut secrets = Vec::new();
    if let Some((certificate, key)) = args.certificate.clone().zip(args.key.clone()) {
        let chain = read_pem(&certificate, "--certificate", "CERTIFICATE")?;
        let private = read_pem(&key, "--key", "PRIVATE KEY")?;
        OwnCertificate::load(CertificateFiles { certificate, key })
            .context("--certificate and --key are no pair")
            .ends(Exit::BadConfig)?;
        documents.push(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "adit-relay-tls" },
            "type": "kubernetes.io/tls",
            "stringData": { "tls.crt": chain, "tls.key": private },
        }));
        secrets.push("its certificate's key");
    }
    if let Some(file) = &args.admin_token_file {
        documents.push(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "adit-relay-secrets" },
            "stringData": { "admin-token": read_secrets(file)? },
        }));
        secrets.push("its operators' token");
    }
    let mut comment = "A relay for adit.".to_owned();
    if !secrets.is_empty() {
        comment += &format!(
            " This holds {}: keep it as a secret.",
            secrets.join(" and ")
        );
    }
    documents.extend(args.pods(&data, &config, &checked));
    documents
        .settled(&Place {
            app: "adit-relay",
            name: &args.name,
            namespace: args.home(),
        })
        .to_yaml(&comment)
        .ends(Exit::Internal)
}

impl RelayArgs {
    fn home(&self) -> &str {
        self.install_namespace.as_ref().unwrap_or(&self.name)
    }

    /// The file's, over the manifests', but where the pod decides; as it is printed, and checked.
    fn config(&self) -> Result<(String, Config), Failure> {
        let named = || format!("{} cannot be used", self.config.display());
        let given = read_text(&self.config)?;
        let own: Value = serde_saphyr::from_str(&given)
            // The text may hold what nobody should see in a log.
            .map_err(|error| anyhow::Error::msg(error.without_snippet().to_string()))
            .with_context(named)
            .ends(Exit::BadConfig)
            .map_err(|failure| FileKind::Relay.not_in(&given, failure))?;
        if !own.is_object() && !own.is_null() {
            let error = anyhow!("it has no keys with values").context(named());
            let failure = Failure::new(Exit::BadConfig, error);
            return Err(FileKind::Relay.not_in(&given, failure));
        }
        let mut config = Document::built_in(built_in!("relay/relay.yaml"));
        // Nobody is to be believed by default.
        config.remove("", "authorities");
        config.remove("", "agents");
        let (ends_before, admin_tls) = (ends_tls_before(&own), has_admin_tls(&own));
        // What is no section is refused with the rest.
        let is_section = |admin: &Value| admin.is_object() || admin.is_null();
        let has_token = self.admin_token_file.is_some() && own.get("admin").is_none_or(is_section);
        config.lay_over(own, &POD_DECIDES);
        if ends_before {
            config.remove("/listen", "certificate");
            config.remove("/listen", "key");
        }
        if admin_tls {
            config.add("/admin", "certificate", CERTIFICATE);
            config.add("/admin", "key", KEY);
        }
        if has_token {
            config.remove("/admin", "token_file");
        }
        let refused = |key: String| {
            let instead = match key.as_str() {
                "admin.token_file" => "give it by --admin-token-file, too",
                _ => "give what needs none, or mount it by a kustomization",
            };
            format!("{key}: the pod has no such file; {instead}")
        };
        let mut mistakes: Vec<_> = config
            .keys_ending_in("_file")
            .into_iter()
            .map(refused)
            .collect();
        if has_token {
            config.add("/admin", "token_file", ADMIN_TOKEN);
        }
        let text = config.to_yaml().ends(Exit::Internal)?;
        let checked = match RawConfig::from_yaml(&text).and_then(Config::try_from) {
            Ok(checked) => {
                if matches!(checked.audit.to, AuditTo::File(_)) {
                    mistakes.push(NO_AUDIT_FILE.to_owned());
                }
                Some(checked)
            }
            Err(others) => {
                mistakes.push(others.to_string());
                None
            }
        };
        match checked {
            Some(checked) if mistakes.is_empty() => Ok((text, checked)),
            _ => Err(anyhow!("{}", mistakes.join("\n")))
                .with_context(named)
                .ends(Exit::BadConfig)
                .map_err(|failure| FileKind::Relay.not_in(&given, failure)),
        }
    }

    fn pods(&self, data: &Value, config: &Value, checked: &Config) -> Documents {
        let mut documents = Documents::of(&[
            built_in!("relay/deployment.yaml"),
            built_in!("relay/service.yaml"),
            built_in!("relay/disruption-budget.yaml"),
            built_in!("relay/network-policy.yaml"),
        ]);
        let deployment = documents.one("Deployment");
        deployment.add("/spec/template/metadata", "annotations", checksum(data));
        deployment.set(
            "/spec/template/spec/terminationGracePeriodSeconds",
            whole_seconds(checked.drain_grace) + BEYOND_GRACE,
        );
        if let Some(image) = &self.image {
            deployment.set("/spec/template/spec/containers/0/image", image.as_str());
        }
        if self.admin_token_file.is_some() {
            let secret = json!({ "secretName": "adit-relay-secrets", "defaultMode": 0o440 });
            deployment.append(
                "/spec/template/spec/volumes",
                json!({ "name": "secrets", "secret": secret }),
            );
            deployment.append(
                "/spec/template/spec/containers/0/volumeMounts",
                json!({ "name": "secrets", "mountPath": "/etc/adit/secrets", "readOnly": true }),
            );
        }
        if has_admin_tls(config) {
            for probe in ["livenessProbe", "readinessProbe"] {
                let at = format!("/spec/template/spec/containers/0/{probe}/httpGet");
                deployment.add(&at, "scheme", "HTTPS");
            }
        }
        if ends_tls_before(config) && !has_admin_tls(config) {
            deployment.remove_named("/spec/template/spec/volumes", "tls");
            deployment.remove_named("/spec/template/spec/containers/0/volumeMounts", "tls");
        }
        let service = documents.one("Service");
        service.set("/spec/type", self.service.as_str());
        if ends_tls_before(config) {
            service.set("/spec/ports/0/appProtocol", "http");
        }
        if self.service == "ClusterIP" {
            service.remove("/spec", "externalTrafficPolicy");
        }
        let policy = documents.one("NetworkPolicy");
        for port in dialled(checked) {
            policy.append(DIALLED, json!({ "port": port, "protocol": "TCP" }));
        }
        documents
    }
}

/// Ports beside that of HTTPS at which it is to find keys, GitLab and collectors. The chart has the same.
fn dialled(config: &Config) -> Vec<u16> {
    let keys = config
        .oidc
        .issuers
        .iter()
        .filter_map(|issuer| match &issuer.keys {
            KeySource::Url(url) => Some(&**url),
            KeySource::File(_) => None,
        });
    let gitlab = config.gitlab.iter().map(|gitlab| &*gitlab.url);
    let traces = config.traces.iter().map(|traces| traces.collector.port());
    let audit = match &config.audit.to {
        AuditTo::Collector(collector) => Some(collector.port()),
        AuditTo::Nowhere | AuditTo::Stdout | AuditTo::File(_) => None,
    };
    let mut ports = Vec::new();
    for port in keys
        .chain(gitlab)
        .filter_map(port)
        .chain(traces)
        .chain(audit)
    {
        if port != HTTPS && !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

/// Of a URL that was checked.
fn port(url: &str) -> Option<u16> {
    let url: Uri = url.parse().ok()?;
    let is_plain = url.scheme_str() == Some("http");
    Some(url.port_u16().unwrap_or(if is_plain { 80 } else { HTTPS }))
}

/// In the built-in policy.
const DIALLED: &str = "/spec/egress/1/ports";
const HTTPS: u16 = 443;

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Seconds of a pod's end beyond the drain: 5 of `preStop`, and 15 to write down what was done, and to hang up.
const BEYOND_GRACE: u64 = 20;

/// Where it listens, and where its certificate is.
const POD_DECIDES: [(&str, &str); 6] = [
    ("listen", "address"),
    ("listen", "certificate"),
    ("listen", "key"),
    ("admin", "address"),
    ("admin", "certificate"),
    ("admin", "key"),
];
const CERTIFICATE: &str = "/etc/adit/tls/tls.crt";
const KEY: &str = "/etc/adit/tls/tls.key";
const NO_AUDIT_FILE: &str = "audit.file: the pod can write to no file; have `audit.to` say stdout or otlp, or mount a volume by the chart or a kustomization";
/// As `deploy/manifests/relay/secrets` mounts it.
const ADMIN_TOKEN: &str = "/etc/adit/secrets/admin-token";

/// What the relay would take.
fn read_secrets(file: &Path) -> Result<String, Failure> {
    let text = read_text(file)?;
    Secrets::new(&text)
        .with_context(|| format!("{} (--admin-token-file) holds no token", file.display()))
        .ends(Exit::BadConfig)?;
    Ok(text)
}

/// A balancer's certificate is the only one, on the public port.
fn ends_tls_before(config: &Value) -> bool {
    config.pointer("/listen/tls_ended_before") == Some(&Value::Bool(true))
}

/// The private port has one, too: in the pod, the same.
fn has_admin_tls(config: &Value) -> bool {
    config
        .pointer("/admin/certificate")
        .is_some_and(Value::is_string)
}
