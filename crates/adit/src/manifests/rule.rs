//! `VERBS:RESOURCES`: what an agent may do for others, as a command line says it and as RBAC does.
//!
//! Called for `--allow` and its like. Invariant: a verb is one that requests have, and a resource outside the core group has
//! its group, so that a rule that is taken is not one that never holds.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde_json::{Value, json};

use super::resources::{OUTSIDE_NAMESPACES, is_version, meant, meant_of, of_kubectl};

/// Verbs, and the resources they hold for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    verbs: Vec<&'static str>,
    resources: Vec<Resource>,
}

/// A resource or subresource, such as `pods/exec` or `deployments.apps`; `*` for all, `*.apps` for all of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Resource {
    group: String,
    name: String,
}

/// The text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRule {
    #[error("write verbs, a colon, and resources, such as `get,list,watch:pods,deployments.apps`")]
    Form,
    #[error(
        "`{0}` is no verb of requests; those are get, list, watch, create, update, patch, delete, deletecollection, and `*`{1}"
    )]
    Verb(String, &'static str),
    #[error("`{0}` is no resource; write such as `pods`, `pods/exec`, `deployments.apps` or `*`")]
    Resource(String),
    #[error(
        "`{0}` never holds, for Kubernetes has no `*` of subresources: name them one by one, such as `pods/log`, or write `*` for all resources"
    )]
    Subresources(String),
    #[error("`{0}` is not in the core group: write it with its group, such as `deployments.apps`")]
    Group(String),
    #[error("`{0}` is no resource: did you mean `{1}`?")]
    Meant(String, String),
    #[error(
        "`{0}` is no resource, for no form is for all of the core group: name them one by one, such as `pods,secrets`"
    )]
    AllOfCore(String),
}

impl Rule {
    /// Rules of a role for constrained impersonation: what may be done *for others*.
    pub(super) fn for_others(&self) -> Vec<Value> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for Resource { group, name } in &self.resources {
            groups.entry(group).or_default().push(name);
        }
        let verbs: Vec<_> = self
            .verbs
            .iter()
            .map(|verb| format!("impersonate-on:user-info:{verb}"))
            .collect();
        groups
            .into_iter()
            .map(|(group, resources)| {
                json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
            })
            .collect()
    }
}

/// The verbs of these rules, unless that is all of them.
pub(super) fn verbs(rules: &[Rule]) -> Option<Vec<&'static str>> {
    let is_of_some = |verb: &&str| rules.iter().any(|rule| rule.verbs.contains(verb));
    let verbs: Vec<_> = VERBS.into_iter().filter(is_of_some).collect();
    (verbs.len() < VERBS.len()).then_some(verbs)
}

/// The subresources of these rules' resources, unless one is all resources, and with them all of theirs.
pub(super) fn subresources(rules: &[Rule]) -> Option<BTreeSet<&str>> {
    let resources = rules.iter().flat_map(|rule| &rule.resources);
    let mut subresources = BTreeSet::new();
    for Resource { name, .. } in resources {
        match name.split_once('/') {
            None if name == "*" => return None,
            Some((_, subresource)) => drop(subresources.insert(subresource)),
            None => {}
        }
    }
    Some(subresources)
}

/// The first of these rules' resources that is in no namespace: a role that is bound in one never gives it. A namespace itself it does.
pub(super) fn outside_namespaces(rules: &[Rule]) -> Option<String> {
    let mut resources = rules.iter().flat_map(|rule| &rule.resources);
    let found = resources.find(|resource| {
        let qualified = resource.qualified();
        OUTSIDE_NAMESPACES.contains(&qualified.as_str())
    });
    found.map(Resource::qualified)
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let (verbs, resources) = text.split_once(':').ok_or(BadRule::Form)?;
        let mut all = Vec::new();
        for verb in verbs.split(',') {
            match VERBS.iter().find(|known| **known == verb) {
                Some(verb) => all.push(*verb),
                None if verb == "*" => all.extend(VERBS),
                None => return Err(BadRule::Verb(verb.to_owned(), hint(verb))),
            }
        }
        let resources = resources
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            verbs: all,
            resources,
        })
    }
}

impl Resource {
    /// With its group, but without a subresource.
    fn qualified(&self) -> String {
        let Self { group, name } = self;
        let (kind, _) = name.split_once('/').unwrap_or((name, ""));
        if group.is_empty() {
            return kind.to_owned();
        }
        format!("{kind}.{group}")
    }
}

impl FromStr for Resource {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let (kind, subresource) = match text.split_once('/') {
            Some((kind, subresource)) => (kind, Some(subresource)),
            None => (text, None),
        };
        let (name, group) = match kind.split_once('.') {
            Some((name, group)) => (name, Some(group)),
            None => (kind, None),
        };
        if !is_word(name) || !subresource.is_none_or(is_word) || !group.is_none_or(is_group) {
            return Err(BadRule::Resource(text.to_owned()));
        }
        if subresource == Some("*") {
            return Err(BadRule::Subresources(text.to_owned()));
        }
        let (name, group) = match group.map(of_kubectl) {
            None if name == "*" => ("*", "*"),
            Some("") if name == "*" => return Err(BadRule::AllOfCore(text.to_owned())),
            None | Some("") => match meant(name) {
                Some(resource) => resource.split_once('.').unwrap_or((resource, "")),
                None => return Err(BadRule::Group(name.to_owned())),
            },
            Some(group) => (meant_of(name, group).unwrap_or(name), group),
        };
        // What stands there of a version is no subresource.
        let below = subresource.filter(|name| !is_version(name));
        let below = below.map_or_else(String::new, |name| format!("/{name}"));
        let of_group = match group {
            "" | "*" => String::new(),
            group => format!(".{group}"),
        };
        let written = format!("{name}{of_group}{below}");
        if written != text {
            return Err(BadRule::Meant(text.to_owned(), written));
        }
        Ok(Self {
            group: group.to_owned(),
            name: format!("{name}{below}"),
        })
    }
}

fn is_word(text: &str) -> bool {
    // Metrics of `custom.metrics.k8s.io` are called as Prometheus has them.
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    text == "*" || (!text.is_empty() && text.bytes().all(is_plain))
}

fn is_group(text: &str) -> bool {
    text.split('.')
        .all(|word| is_word(word) && word != "*" && !word.contains('_'))
}

/// What the author may have meant.
fn hint(verb: &str) -> &'static str {
    match verb {
        "exec" => "; kubectl exec is `get,create:pods/exec`",
        "attach" => "; kubectl attach is `get,create:pods/attach`",
        "port-forward" | "portforward" => "; kubectl port-forward is `get,create:pods/portforward`",
        "logs" | "log" => "; kubectl logs is `get:pods,pods/log`",
        "apply" => "; kubectl apply is `get,create,patch`",
        _ => "",
    }
}

const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

#[cfg(test)]
mod tests {
    use super::super::resources::{BEYOND_CORE, CORE};
    use super::*;

    fn rules(text: &str) -> Value {
        text.parse::<Rule>().unwrap().for_others().into()
    }

    /// A list that a template of the chart defines.
    fn chart_has(name: &str) -> &'static str {
        let template = include_str!("../../../../deploy/charts/adit-agent/templates/_own.tpl");
        let begin = format!("{{{{- define \"adit.{name}\" -}}}}\n");
        let (_, list) = template.split_once(&begin).unwrap();
        let (list, _) = list.split_once("\n{{-").unwrap();
        list
    }

    #[test]
    fn resources_come_by_their_groups() {
        let verbs = [
            "impersonate-on:user-info:get",
            "impersonate-on:user-info:create",
        ];
        assert_eq!(
            rules(
                "get,create:pods/exec,deployments.apps/scale,secrets,gitrepositories.source.toolkit.fluxcd.io"
            ),
            json!([
                { "apiGroups": [""], "resources": ["pods/exec", "secrets"], "verbs": verbs },
                { "apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": verbs },
                { "apiGroups": ["source.toolkit.fluxcd.io"], "resources": ["gitrepositories"], "verbs": verbs },
            ])
        );
    }

    #[test]
    fn star_is_every_verb_of_requests_and_never_every_verb() {
        let rule = rules("*:*");
        assert_eq!(rule[0]["apiGroups"], json!(["*"]));
        assert_eq!(rule[0]["resources"], json!(["*"]));
        let verbs = rule[0]["verbs"].as_array().unwrap();
        assert_eq!(verbs.len(), 8);
        assert!(!verbs.contains(&json!("*")));
        assert_eq!(rules("get:*.apps")[0]["apiGroups"], json!(["apps"]));
    }

    #[test]
    fn rules_have_verbs_and_subresources_for_a_ceiling() {
        let of = |texts: &[&str]| {
            let rules: Vec<Rule> = texts.iter().map(|text| text.parse().unwrap()).collect();
            json!([verbs(&rules), subresources(&rules)])
        };
        assert_eq!(
            of(&[
                "create,get:pods/exec,secrets",
                "get,watch:pods/log,deployments.apps/scale"
            ]),
            json!([["get", "watch", "create"], ["exec", "log", "scale"]])
        );
        assert_eq!(of(&["delete:secrets"]), json!([["delete"], []]));
        assert_eq!(of(&["*:*"]), json!([null, null]));
        assert_eq!(of(&["get:*.apps"]), json!([["get"], null]));
    }

    #[test]
    fn chart_and_manifests_know_the_same_verbs() {
        let schema = include_str!("../../../../deploy/charts/adit-agent/values.schema.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let rule = &schema["definitions"]["ruleOfResources"]["properties"];
        assert_eq!(rule["verbs"]["items"]["enum"], json!(VERBS));
        let in_namespace = built_in!("agent/access/in-namespace.yaml");
        let role: Value = serde_saphyr::from_str(in_namespace).unwrap();
        assert_eq!(role["rules"], rules("*:*"), "what stands for no rule");
    }

    #[test]
    fn chart_and_manifests_know_the_same_that_is_in_no_namespace() {
        let list: Vec<_> = chart_has("outsideNamespaces").split_whitespace().collect();
        assert_eq!(list, OUTSIDE_NAMESPACES);
    }

    #[test]
    fn chart_and_manifests_know_the_same_names() {
        let core: Vec<_> = chart_has("core").split_whitespace().collect();
        assert!(
            core.iter().eq(CORE.iter().map(|(name, _)| name)),
            "{core:?}"
        );
        let mut known = Vec::new();
        for line in chart_has("otherNames").lines() {
            // In quotes stands what YAML would take for no name.
            let line = line.replace('"', "");
            let (other, plural) = line.split_once(": ").unwrap();
            let meant = other.split_once('.').map_or_else(
                || plural.to_owned(),
                |(_, group)| format!("{plural}.{group}"),
            );
            let told = format!("get:{other}").parse::<Rule>();
            assert_eq!(told, Err(BadRule::Meant(other.to_owned(), meant.clone())));
            known.push(meant);
        }
        // A singular of each, and a short one of those that have one.
        let names = |(name, short): &(&str, &str)| {
            vec![(*name).to_owned(); if short.is_empty() { 1 } else { 2 }]
        };
        let expected: Vec<_> = CORE.iter().chain(&BEYOND_CORE).flat_map(names).collect();
        assert_eq!(known, expected);
    }

    #[test]
    fn what_is_in_no_namespace_is_found() {
        let of = |rule: &str| outside_namespaces(&[rule.parse().unwrap()]);
        assert_eq!(of("get:pods,nodes/proxy").as_deref(), Some("nodes"));
        let roles = "clusterroles.rbac.authorization.k8s.io";
        assert_eq!(of(&format!("get:{roles}")).as_deref(), Some(roles));
        // A namespace is in itself; and others may call theirs so.
        for inside in ["get,patch:namespaces", "get:nodes.longhorn.io", "get:*"] {
            assert_eq!(of(inside), None, "{inside}");
        }
    }

    #[test]
    fn resources_by_other_names_are_told_with_the_right_one() {
        for (said, meant) in [
            ("pod", "pods"),
            ("po", "pods"),
            ("pod/exec", "pods/exec"),
            ("endpoint", "endpoints"),
            ("deployment", "deployments.apps"),
            ("deployments/scale", "deployments.apps/scale"),
            ("ingress", "ingresses.networking.k8s.io"),
            ("networkpolicy", "networkpolicies.networking.k8s.io"),
            ("sc", "storageclasses.storage.k8s.io"),
            ("pods.core", "pods"),
            ("pods.core/exec", "pods/exec"),
            ("deployments.v1.apps/scale", "deployments.apps/scale"),
            ("pods.v1.core", "pods"),
            ("pods.v1/exec", "pods/exec"),
            ("deployments.v1", "deployments.apps"),
            ("deployments.apps/v1", "deployments.apps"),
            ("deploy/v1", "deployments.apps"),
            ("deploy.apps", "deployments.apps"),
            ("deployment.v1.apps/scale", "deployments.apps/scale"),
            (
                "hpa.v2beta2.autoscaling",
                "horizontalpodautoscalers.autoscaling",
            ),
            ("*.v1.apps", "*.apps"),
            (
                "role.v1.rbac.authorization.k8s.io",
                "roles.rbac.authorization.k8s.io",
            ),
        ] {
            let told = format!("get:secrets,{said}").parse::<Rule>().unwrap_err();
            let expected = format!("`{said}` is no resource: did you mean `{meant}`?");
            assert_eq!(told.to_string(), expected);
            format!("get:{meant}").parse::<Rule>().unwrap();
        }
        // Nothing is known of these, the second one's `s` notwithstanding.
        for unknown in ["widget", "policys", "y", "s", "ie"] {
            let told = format!("get:{unknown}").parse::<Rule>();
            assert_eq!(told, Err(BadRule::Group(unknown.to_owned())));
        }
    }

    /// The first is that of a real operator.
    #[test]
    fn others_groups_are_taken_however_they_begin() {
        for resource in [
            "keycloakrealms.v1.edp.epam.com",
            "gadgets.v1beta1.example.com/status",
            "gadgets.version.k8s.io",
            "gadgets.v1a.k8s.io",
            "po.example.com",
            "deploy.example.com",
            "*.v1.example.com",
        ] {
            let rule = format!("get:{resource}").parse::<Rule>();
            assert!(rule.is_ok(), "{rule:?}");
        }
    }

    #[test]
    fn rules_that_would_never_hold_are_refused() {
        let bad = |text: &str| text.parse::<Rule>().unwrap_err();
        assert_eq!(bad("pods"), BadRule::Form);
        assert_eq!(bad("get:widgets"), BadRule::Group("widgets".into()));
        assert!(
            bad("exec:pods")
                .to_string()
                .contains("get,create:pods/exec")
        );
        assert!(matches!(bad("impersonate:users"), BadRule::Verb(..)));
        for all in ["pods/*", "cronjobs.batch/*", "*.apps/*", "*/*"] {
            let told = bad(&format!("get:secrets,{all}"));
            assert_eq!(told, BadRule::Subresources(all.to_owned()));
        }
        "get:*/scale".parse::<Rule>().unwrap();
        assert_eq!(bad("get:widgets.v1"), BadRule::Group("widgets".into()));
        for all in ["*.core", "*.v1", "*.core/scale"] {
            let told = bad(&format!("get:{all}"));
            assert_eq!(told, BadRule::AllOfCore(all.to_owned()));
        }
        for odd in [
            "get:",
            "get:pods,",
            "get:Pods",
            "get:pods/",
            "get:a.b/c/d",
            "get:pods.*",
            ":pods",
        ] {
            assert!(
                matches!(bad(odd), BadRule::Resource(_) | BadRule::Verb(..)),
                "{odd}"
            );
        }
    }
}
