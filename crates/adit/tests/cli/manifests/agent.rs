//! `adit manifests agent`: what is applied to an agent's cluster.

use std::fs;

use tempfile::TempDir;

use crate::process::{adit, stderr, stdout};

#[test]
fn agents_manifests_hold_its_token_and_tell_the_hash() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("agent.token");
    let made = adit(&["token", "new", "--token-file"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(made.status.success());
    let token = fs::read_to_string(&file).unwrap();
    let printed = adit(&["manifests", "agent", "--relay", "https://relay.example.com"])
        .args(["--namespace", "shop", "--name", "other", "--token-file"])
        .arg(&file)
        .output()
        .unwrap();
    let text = stdout(&printed);
    assert!(text.contains(&format!("token: {}", token.trim())), "{text}");
    assert!(!stderr(&printed).contains(token.trim()));
    let hashed = stdout(&made);
    let hash = hashed
        .lines()
        .find_map(|line| line.trim().strip_prefix("- "))
        .unwrap();
    assert!(text.contains(&format!("#     {hash}\n")), "{text}");
    fs::write(&file, "glagent-abc\n").unwrap();
    let of_gitlab = adit(&["manifests", "agent", "--relay", "https://relay.example.com"])
        .args(["--namespace", "shop", "--token-file"])
        .arg(&file)
        .output()
        .unwrap();
    let text = stdout(&of_gitlab);
    assert!(
        text.contains("authorities.gitlab.api_secret_file"),
        "{text}"
    );
    assert!(
        text.contains("Any other relay knows the token by this hash"),
        "{text}"
    );
    fs::write(&file, "listen: {}\nadmin: {}\n").unwrap();
    let of_none = adit(&["manifests", "agent", "--relay", "https://relay.example.com"])
        .args(["--namespace", "shop", "--token-file"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(of_none.status.code(), Some(64));
    let told = stderr(&of_none);
    assert!(
        told.contains("agent.token (--token-file) holds is no token"),
        "{told}"
    );
}

#[test]
fn agents_manifests_have_roles_and_configuration_for_flux_where_it_is_asked_for() {
    let agent = ["manifests", "agent", "--relay", "https://relay.example.com"];
    let plain = adit(&agent).args(["--namespace", "shop"]).output().unwrap();
    assert!(!stdout(&plain).contains("flux"));
    let with_flux = adit(&agent)
        .args([
            "--namespace",
            "shop",
            "--name",
            "other",
            "--install-namespace",
            "adit",
        ])
        .args([
            "--flux",
            "https://gitlab.example.com",
            "--flux-namespace",
            "sources",
        ])
        .output()
        .unwrap();
    let text = stdout(&with_flux);
    let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
    let bindings: Vec<_> = objects
        .iter()
        .filter(|object| object["kind"] == "RoleBinding")
        .map(|object| &object["metadata"])
        .map(|metadata| format!("{} in {}", metadata["name"], metadata["namespace"]))
        .collect();
    let expected = [
        r#""other" in "shop""#,
        r#""other-flux" in "adit""#,
        r#""other-flux-receivers" in "sources""#,
    ];
    assert_eq!(bindings, expected);
    let role = objects
        .iter()
        .find(|object| object["kind"] == "Role")
        .unwrap();
    assert_eq!(role["rules"][0]["resourceNames"][0], "other-flux");
    let map = objects
        .iter()
        .find(|object| object["kind"] == "ConfigMap")
        .unwrap();
    let config: serde_json::Value =
        serde_saphyr::from_str(map["data"]["agent.yaml"].as_str().unwrap()).unwrap();
    let expected = serde_json::json!({
        "gitlab_url": "https://gitlab.example.com", "namespaces": ["sources"],
        "lease_name": "other-flux", "lease_namespace": "adit",
    });
    assert_eq!(config["flux"], expected);
}

#[test]
fn agents_ceiling_agrees_with_what_it_is_allowed() {
    let ceiling = |more: &str| -> serde_json::Value {
        let printed = adit(&["manifests", "agent", "--relay", "https://relay.example.com"])
            .args(more.split(' '))
            .output()
            .unwrap();
        let objects: Vec<serde_json::Value> =
            serde_saphyr::from_multiple(&stdout(&printed)).unwrap();
        let is_map = |object: &&serde_json::Value| object["kind"] == "ConfigMap";
        let map = objects.iter().find(is_map).unwrap();
        let config: serde_json::Value =
            serde_saphyr::from_str(map["data"]["agent.yaml"].as_str().unwrap()).unwrap();
        config["ceiling"].clone()
    };
    let identities = serde_json::json!({
        "agent": false, "users": ["gitlab:*"], "groups": ["gitlab:*"],
    });
    let with = |limits: serde_json::Value| {
        let mut all = identities.clone();
        let limits = limits.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(limits);
        all
    };
    assert_eq!(
        ceiling("--namespace shop --namespace review"),
        with(serde_json::json!({ "namespaces": ["shop", "review"] }))
    );
    assert_eq!(
        ceiling("--namespace shop --allow create,delete:secrets --allow get:pods/log"),
        with(serde_json::json!({
            "namespaces": ["shop"], "verbs": ["get", "create", "delete"], "subresources": ["log"],
        }))
    );
    for more in [
        "--read-everywhere",
        "--namespace shop --read-everywhere",
        "--namespace shop --allow-everywhere get:nodes",
    ] {
        assert_eq!(ceiling(more), identities, "{more}");
    }
    assert_eq!(
        ceiling("--kubernetes 1.35 --group gitlab:ci_job --namespace shop"),
        with(serde_json::json!({ "groups": ["gitlab:ci_job"], "namespaces": ["shop"] }))
    );
    let allowed = "--namespace shop --allow get,list:pods --allow create:pods/exec";
    assert_eq!(
        ceiling(&format!(
            "--kubernetes 1.35 --group gitlab:ci_job {allowed}"
        )),
        with(serde_json::json!({
            "groups": ["gitlab:ci_job"], "namespaces": ["shop"],
            "verbs": ["get", "list", "create"], "subresources": ["exec"],
        }))
    );
}

/// Else somebody believes that what `--allow` says of resources holds.
#[test]
fn what_the_api_server_does_not_hold_is_told_in_the_manifests() {
    let unheld = "# The API server of Kubernetes 1.35 does not hold what the agent does";
    for (more, is_told) in [
        ("--kubernetes 1.35 --group a --namespace shop", true),
        ("--kubernetes 1.35 --group a", false),
        ("--group a --namespace shop", false),
    ] {
        let printed = adit(&["manifests", "agent", "--relay", "https://relay.example.com"])
            .args(more.split(' '))
            .output()
            .unwrap();
        let printed = stdout(&printed);
        assert_eq!(printed.contains(unheld), is_told, "{more}: {printed}");
    }
}
