//! What may stand behind flags that name something in the cluster: refused here, with the flag, is what the API server would refuse
//! later, one object at a time, when some of them are there already.
//!
//! Called by clap, and by the check of an agent's flags.

use adit_identity::{BadLabel, Label};
use anyhow::anyhow;

/// A namespace, or what an agent's objects are called.
pub(super) fn label(text: &str) -> Result<String, BadLabel> {
    text.parse::<Label>().map(|label| label.to_string())
}

/// The namespace that is made for an agent or a relay: it has Pod Security `restricted` enforced, and goes with the manifests. So it is
/// neither Kubernetes' own nor one of those that flags name as being there.
pub(super) fn is_own(home: &str, there: &[(&str, &[&str])]) -> anyhow::Result<()> {
    let whose = if home == "default" || home.starts_with("kube-") {
        "which is Kubernetes' own".to_owned()
    } else {
        match there.iter().find(|(_, names)| names.contains(&home)) {
            None => return Ok(()),
            Some((flag, _)) => format!("which {flag} names as one that is there"),
        }
    };
    Err(anyhow!(
        "the namespace {home}, {whose}, cannot be the one that is made here (--install-namespace, or else --name), as Pod Security \
         `restricted` is enforced in that, and it goes with the manifests: give --install-namespace one of its own"
    ))
}

/// What a relay's objects are called, its Service among them, whose name is one of DNS.
pub(super) fn service(text: &str) -> Result<String, String> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("starts with a digit, which the name of a Service may not".to_owned());
    }
    label(text).map_err(|bad| bad.to_string())
}

/// `registry:port/path:tag@digest`, as container runtimes read it; most of it may be missing.
pub(super) fn image(text: &str) -> Result<String, &'static str> {
    let (name, digest) = text.split_once('@').unwrap_or((text, "sha256:0"));
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        Some(_) | None => (name, "latest"),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        Some(_) | None => ("localhost", name),
    };
    let consists = |text: &str, also: &str| {
        let may_stand = |byte: char| byte.is_ascii_alphanumeric() || also.contains(byte);
        !text.is_empty() && text.chars().all(may_stand)
    };
    let is_plain = |part: &str| consists(part, "._-") && part == part.to_ascii_lowercase();
    let is_image = consists(registry, ".-:[]")
        && path.split('/').all(is_plain)
        && consists(tag, "._-")
        && consists(digest, ":+._-")
        && digest.contains(':');
    is_image
        .then(|| text.to_owned())
        .ok_or("no image such as registry.example.com/adit:0.1.0, whose path is in lower case")
}

/// Kubernetes has them in lower case, and they travel in a header's name.
pub(super) fn extra_key(text: &str) -> Result<String, &'static str> {
    let may_stand =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._/".contains(&byte);
    if text.is_empty() || !text.bytes().all(may_stand) {
        return Err(
            "no key of an extra, such as example.com/team: lower-case letters, digits and -._/",
        );
    }
    Ok(text.to_owned())
}

/// The first that is there twice.
pub(super) fn repeated(names: &[String]) -> Option<&str> {
    let is_repeated =
        |(at, name): &(usize, &String)| names.iter().skip(at + 1).any(|other| other == *name);
    let found = names.iter().enumerate().find(is_repeated);
    found.map(|(_, name)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_from_what_no_runtime_takes() {
        let digest = format!("adit@sha256:{}", "0".repeat(64));
        for good in [
            "adit",
            "adit:0.1.0",
            "registry.example.com/group/adit:1-a_B",
            "Registry.example.com:5000/adit",
            "localhost/adit:1",
            "group/adit",
            digest.as_str(),
        ] {
            assert_eq!(image(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "a b",
            "Adit:1",
            "adit:",
            ":1",
            "a//b",
            "a/",
            "/a",
            "adit@",
            "adit@1",
            "group/Adit",
            "a\n",
        ] {
            assert!(image(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys_of_extras_are_in_lower_case() {
        assert!(extra_key("agent.gitlab.com/project_id").is_ok());
        for bad in ["", "Bad", "bad key", "a:b", "a%2fb"] {
            assert!(extra_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_service_has_a_name_of_dns() {
        assert!(service("relay-2").is_ok());
        for bad in ["2-relay", "Relay", "relay-", ""] {
            assert!(service(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn namespace_that_is_there_is_not_made_anew() {
        let there: [(&str, &[&str]); 2] = [("--namespace", &["shop"]), ("--flux-namespace", &[])];
        for home in ["adit-agent", "kube", "kubeshop", "default-2"] {
            assert!(is_own(home, &there).is_ok(), "{home}");
        }
        for home in ["default", "kube-system", "kube-public", "shop"] {
            assert!(is_own(home, &there).is_err(), "{home}");
        }
    }

    #[test]
    fn what_is_there_twice_is_found() {
        let of = |names: [&str; 3]| {
            let names = names.map(str::to_owned);
            repeated(&names).map(str::to_owned)
        };
        assert_eq!(of(["a", "b", "c"]), None);
        assert_eq!(of(["a", "b", "a"]).as_deref(), Some("a"));
    }
}
