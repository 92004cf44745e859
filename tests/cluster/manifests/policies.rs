//! NetworkPolicies, held against the configuration that comes with them.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use super::{Objects, charts, example, kustomized, pod, printed, templated};
use crate::world::World;

/// Whether they are kept to is up to the cluster's network; what they say is held against what the configuration beside them dials and
/// where it listens.
pub(super) fn policies_let_through_what_is_dialled_and_nothing_else(world: &World) {
    let relay = ["relay/secrets", "relay/gitlab-api"];
    let wholes: [(&str, &[&str], &[u64]); 4] = [
        ("relay", &[], &[]),
        ("relay", &relay, &[]),
        ("agent/cluster-wide", &[], API_SERVER),
        // What it is told of Flux is the user's.
        ("agent/namespaced", &["agent/flux"], &[443, 6443, FLUX]),
    ];
    for (whole, components, given) in wholes {
        let objects = kustomized(world, whole, components);
        assert_eq!(
            Ports::let_through(&objects),
            Ports::used(&objects, given),
            "{whole}"
        );
    }
    let agent = "agent --namespace shop --relay";
    let lines: [(String, &[u64]); 3] = [
        (format!("relay --config {}", example().display()), &[]),
        (
            format!("{agent} https://relay.example.com:8443"),
            API_SERVER,
        ),
        (format!("{agent} wss://relay.example.com/gate"), API_SERVER),
    ];
    for (line, given) in lines {
        let objects = printed(world, &line);
        assert_eq!(
            Ports::let_through(&objects),
            Ports::used(&objects, given),
            "{line}"
        );
    }
    for chart in ["adit-agent", "adit-relay"] {
        for name in ["least", "everything"] {
            let file = charts().join(format!("{chart}/ci/{name}.yaml"));
            let values: Value =
                serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            let objects = templated(world, chart, &file);
            let defaults: Value = {
                let file = charts().join(chart).join("values.yaml");
                serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
            };
            let key = if chart == "adit-agent" {
                "apiServerPorts"
            } else {
                "issuerPorts"
            };
            let asked = &values["networkPolicy"][key];
            let asked = if asked.is_null() {
                &defaults["networkPolicy"][key]
            } else {
                asked
            };
            let more = values["networkPolicy"]["extraEgress"]
                .as_array()
                .into_iter()
                .flatten();
            let more = more.flat_map(|rule| rule["ports"].as_array().unwrap());
            let asked = asked.as_array().unwrap().iter();
            let given: Vec<_> = asked
                .chain(more.map(|port| &port["port"]))
                .map(|port| port.as_u64().unwrap())
                .collect();
            assert_eq!(
                Ports::let_through(&objects),
                Ports::used(&objects, &given),
                "{chart}, {name}"
            );
        }
    }
}

/// By the API server's service, and behind it.
const API_SERVER: &[u64] = &[443, 6443];
/// Its notification-controller.
const FLUX: u64 = 9292;

/// Those of a pod that others dial, and those that it dials.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ports {
    listens: BTreeSet<u64>,
    dials: BTreeSet<(u64, &'static str)>,
}

impl Ports {
    /// By the policies for the pod.
    fn let_through(objects: &Objects) -> Self {
        let pod = objects.values().find_map(pod).unwrap();
        let labels = pod["metadata"]["labels"].as_object().unwrap();
        let is_for = |policy: &&Value| {
            let wanted = policy["spec"]["podSelector"]["matchLabels"].as_object();
            policy["kind"] == "NetworkPolicy"
                && wanted
                    .unwrap()
                    .iter()
                    .all(|(label, value)| labels.get(label) == Some(value))
        };
        let (mut ports, mut policies) = (Self::default(), 0);
        for policy in objects.values().filter(is_for) {
            policies += 1;
            assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
            let each = |direction: &str| {
                let rules = policy["spec"][direction].as_array().unwrap().iter();
                // A rule without ports would be one for all of them.
                let all: Vec<_> = rules
                    .flat_map(|rule| rule["ports"].as_array().unwrap().clone())
                    .collect();
                all.into_iter().map(|port| {
                    let protocol = if port["protocol"] == "UDP" {
                        "UDP"
                    } else {
                        "TCP"
                    };
                    (port["port"].as_u64().unwrap(), protocol)
                })
            };
            ports
                .listens
                .extend(each("ingress").map(|(port, protocol)| {
                    assert_eq!(protocol, "TCP");
                    port
                }));
            ports.dials.extend(each("egress"));
        }
        assert!(policies > 0, "there is no policy for the pod");
        ports
    }

    /// By its configuration, the ports of its container, and what else is given.
    fn used(objects: &Objects, given: &[u64]) -> Self {
        let is_told = |object: &&Value| object["kind"] == "ConfigMap";
        let maps = objects.values().filter(is_told);
        let mut files = maps.flat_map(|map| map["data"].as_object().unwrap());
        let (_, text) = files
            .find(|(name, _)| ["relay.yaml", "agent.yaml"].contains(&name.as_str()))
            .unwrap();
        let config: Value = serde_saphyr::from_str(text.as_str().unwrap()).unwrap();
        let mut ports = Self::default();
        let pod = objects.values().find_map(pod).unwrap();
        let named = pod["spec"]["containers"][0]["ports"]
            .as_array()
            .unwrap()
            .iter();
        ports
            .listens
            .extend(named.map(|port| port["containerPort"].as_u64().unwrap()));
        for section in ["listen", "admin", "gitlab_api"] {
            if let Some(address) = config[section]["address"].as_str() {
                ports
                    .listens
                    .insert(address.rsplit_once(':').unwrap().1.parse().unwrap());
            }
        }
        let authorities = &config["authorities"];
        let issuers = authorities["oidc"]["issuers"]
            .as_array()
            .into_iter()
            .flatten();
        let issuers = issuers.filter(|issuer| issuer["jwks_file"].is_null());
        let mut dialled: Vec<_> = issuers
            .map(|issuer| {
                (
                    if issuer["jwks_url"].is_null() {
                        &issuer["url"]
                    } else {
                        &issuer["jwks_url"]
                    },
                    443,
                )
            })
            .collect();
        dialled.extend([
            (&authorities["gitlab"]["url"], 443),
            (&config["traces"]["endpoint"], 4317),
            (&config["audit"]["otlp"]["endpoint"], 4317),
            (&config["relay"]["url"], 443),
            (&config["relay"]["proxy"], 80),
        ]);
        let by_url = dialled.into_iter().filter_map(|(url, default)| {
            let (_, rest) = url.as_str()?.split_once("://")?;
            let host = rest.split('/').next()?;
            let port = host
                .rsplit_once(':')
                .map_or(default, |(_, port)| port.parse().unwrap());
            Some(port)
        });
        let all = by_url.chain(given.iter().copied());
        ports.dials = all.map(|port| (port, "TCP")).collect();
        ports.dials.extend([(53, "UDP"), (53, "TCP")]);
        let of_flux = &config["flux"];
        if !of_flux.is_null() && of_flux["webhook_receiver_url"].is_null() {
            ports.dials.insert((FLUX, "TCP"));
        }
        ports
    }
}
