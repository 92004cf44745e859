//! `adit manifests relay`: what is applied to the cluster that a relay runs in.

use std::fs;

use adit_tests::pki::Pki;
use tempfile::TempDir;

use super::is_refused;
use crate::process::{adit, stderr, stdout};

#[test]
fn relays_certificate_and_key_must_be_a_pair() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    fs::write(&config, "listen: { certificate: /a, key: /b }\n").unwrap();
    let others = folder.path().join("others");
    fs::create_dir(&others).unwrap();
    let (certificate, key) = Pki::new("one").write_server(folder.path());
    let (_, other) = Pki::new("another").write_server(&others);
    for (certificate, key, code, words) in [
        (&certificate, &key, 0, ""),
        (
            &key,
            &certificate,
            64,
            "server.key, which --certificate names, holds a PRIVATE KEY, and no CERTIFICATE\n  do: ",
        ),
        (&certificate, &other, 64, "are no pair"),
    ] {
        let printed = adit(&["manifests", "relay", "--config"])
            .arg(&config)
            .arg("--certificate")
            .arg(certificate)
            .arg("--key")
            .arg(key)
            .output()
            .unwrap();
        let told = stderr(&printed);
        assert_eq!(printed.status.code(), Some(code), "{told}");
        assert!(told.contains(words), "{words}: {told}");
        assert_eq!(stdout(&printed).is_empty(), code != 0);
    }
}

#[test]
fn relays_manifests_say_which_flag_is_wrong() {
    for (flag, value) in [
        ("--name", "Bad_Name"),
        ("--name", "1st"),
        ("--install-namespace", "UPPER"),
        ("--image", "a b"),
        ("--service", "ExternalName"),
    ] {
        let mut relay = adit(&["manifests", "relay", "--config", "/none"]);
        is_refused(relay.args([flag, value]), 2, &format!("'{flag} <"));
    }
}

/// Kubernetes kills a pod that takes longer, and with it what a job waits for.
#[test]
fn relays_pods_have_as_long_as_it_drains() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let seconds = |drain: &str| {
        let issuer = "{ url: 'https://gitlab.test', audiences: [a] }";
        let authorities = format!("authorities: {{ oidc: {{ issuers: [{issuer}] }} }}");
        fs::write(&config, format!("{authorities}\n{drain}\n")).unwrap();
        let printed = adit(&["manifests", "relay", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let objects: Vec<serde_json::Value> =
            serde_saphyr::from_multiple(&stdout(&printed)).unwrap();
        let is_deployment = |object: &&serde_json::Value| object["kind"] == "Deployment";
        let deployment = objects.iter().find(is_deployment).unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        pod["terminationGracePeriodSeconds"].as_u64().unwrap()
    };
    assert_eq!(seconds(""), 320);
    assert_eq!(seconds("drain: { grace: 20m }"), 1220);
    assert_eq!(seconds("drain: { grace: 1500ms }"), 22);
}

#[test]
fn relays_manifests_have_its_config_where_the_pod_needs_it() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let file = |more: &str| {
        fs::write(
            &config,
            format!(
                "listen: {{ address: '127.0.0.1:1', certificate: /here/a, key: /here/b }}\n\
                 authorities: {{ oidc: {{ issuers: [{{ url: 'https://gitlab.test', audiences: [a]{more} }}] }} }}\n"
            ),
        )
        .unwrap();
    };
    let print = || {
        adit(&["manifests", "relay", "--config"])
            .arg(&config)
            .output()
            .unwrap()
    };
    file("");
    let text = stdout(&print());
    assert!(
        text.contains("address: 0.0.0.0:8150") && text.contains("/etc/adit/tls/tls.key"),
        "{text}"
    );
    assert!(
        text.contains("https://gitlab.test") && !text.contains("gitlab.example.com"),
        "{text}"
    );
    assert!(
        !text.contains("/here/") && !text.contains("127.0.0.1"),
        "{text}"
    );
    file(", jwks_file: /here/keys.json");
    let refused = print();
    assert_eq!(refused.status.code(), Some(64));
    assert!(
        stderr(&refused).contains("authorities.oidc.issuers[0].jwks_file"),
        "{}",
        stderr(&refused)
    );
}

/// As by the chart: xtask/tests/charts/relay.rs.
#[test]
fn relays_manifests_let_it_dial_what_its_configuration_names() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let ports = |issuer: &str, more: &str| {
        let authorities = format!("authorities: {{ oidc: {{ issuers: [{issuer}] }} }}");
        fs::write(&config, format!("{authorities}\n{more}\n")).unwrap();
        let mut print = adit(&["manifests", "relay", "--config"]);
        let printed = print.arg(&config).output().unwrap();
        assert_eq!(printed.status.code(), Some(0), "{}", stderr(&printed));
        let objects: Vec<serde_json::Value> =
            serde_saphyr::from_multiple(&stdout(&printed)).unwrap();
        let is_policy = |object: &&serde_json::Value| object["kind"] == "NetworkPolicy";
        let policy = objects.iter().find(is_policy).unwrap();
        assert_eq!(policy["spec"]["egress"].as_array().unwrap().len(), 2);
        let dialled = policy["spec"]["egress"][1]["ports"].as_array().unwrap();
        let port = |one: &serde_json::Value| one["port"].as_u64().unwrap();
        dialled.iter().map(port).collect::<Vec<_>>()
    };
    let issuer = "{ url: 'https://gitlab.test', audiences: [a] }";
    let elsewhere = "{ url: 'https://gitlab.test:8443/sub', audiences: [a] }";
    let keys =
        "{ url: 'https://gitlab.test:8443', audiences: [a], jwks_url: 'https://[::1]:9443/keys' }";
    let collector = "{ endpoint: 'https://collector.test' }";
    assert_eq!(ports(issuer, ""), [443]);
    assert_eq!(ports(elsewhere, ""), [443, 8443]);
    assert_eq!(ports(keys, ""), [443, 9443]);
    assert_eq!(ports(issuer, &format!("traces: {collector}")), [443, 4317]);
    let sent = format!("audit: {{ to: otlp, otlp: {collector} }}");
    assert_eq!(ports(elsewhere, &sent), [443, 8443, 4317]);
    let own = "traces: { endpoint: 'https://[::1]:14317' }";
    assert_eq!(ports(issuer, own), [443, 14317]);
}

#[test]
fn relays_manifests_want_no_file_that_the_pod_cannot_have() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let issuer = "{ url: 'https://gitlab.test', audiences: [a] }";
    let authorities = format!("authorities: {{ oidc: {{ issuers: [{issuer}] }} }}");
    let audit = "audit: { to: file, file: /var/log/adit/audit.log }";
    fs::write(&config, format!("{authorities}\n{audit}\n")).unwrap();
    let mut print = adit(&["manifests", "relay", "--config"]);
    let refused = print.arg(&config).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert_eq!(stdout(&refused), "");
    let said = stderr(&refused);
    assert!(
        said.contains(
            "audit.file: the pod can write to no file; have `audit.to` say stdout or otlp"
        ),
        "{said}"
    );
}

#[test]
fn relays_manifests_tell_all_that_is_wrong_and_what_is_hardly_meant() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let print = |text: &str, more: &[&str]| {
        fs::write(&config, text).unwrap();
        let mut print = adit(&["manifests", "relay", "--config"]);
        print.arg(&config).args(more).output().unwrap()
    };
    let issuers = |more: &str| {
        let issuer = format!("{{ url: 'https://gitlab.test/', audiences: [a]{more} }}");
        format!("authorities: {{ oidc: {{ issuers: [{issuer}] }} }}\n")
    };
    let refused = print(
        &format!(
            "{}admin: {{ token_file: /a }}\naudit: {{ to: file, file: /b }}\n",
            issuers(", jwks_file: /c")
        ),
        &[],
    );
    assert_eq!(refused.status.code(), Some(64));
    for key in [
        "admin.token_file: ",
        "authorities.oidc.issuers[0].jwks_file: ",
        "audit.file: ",
    ] {
        assert!(stderr(&refused).contains(key), "{}", stderr(&refused));
    }
    let also_no_relays = format!("{}drain: {{ grace: 5 }}\n", issuers(", jwks_file: /c"));
    let refused = print(&also_no_relays, &[]);
    for key in ["issuers[0].jwks_file: ", "drain.grace: "] {
        assert!(stderr(&refused).contains(key), "{}", stderr(&refused));
    }
    let doubtful = print(&issuers(""), &[]);
    assert_eq!(doubtful.status.code(), Some(0));
    let told = stderr(&doubtful);
    assert!(told.starts_with("warning: "), "{told}");
    for key in ["relay.yaml: agents: ", "authorities.oidc.issuers[0].url: "] {
        assert!(told.contains(key), "{told}");
    }
    let token = print("adit-agent-abc\n", &["--admin-token-file", "/a"]);
    assert_eq!(token.status.code(), Some(64));
    assert!(
        stderr(&token).contains("an agent's token"),
        "{}",
        stderr(&token)
    );
    let own = print(&issuers(""), &["--install-namespace", "kube-system"]);
    assert_eq!(own.status.code(), Some(64));
    assert!(stderr(&own).contains("Kubernetes' own"), "{}", stderr(&own));
}

#[test]
fn relays_manifests_go_by_where_tls_ends() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("relay.yaml");
    let print = |listen: &str, admin: &str| {
        let issuer = "{ url: 'https://gitlab.test', audiences: [a] }";
        let authorities = format!("authorities: {{ oidc: {{ issuers: [{issuer}] }} }}");
        let yaml = format!("listen: {{ {listen} }}\nadmin: {{ {admin} }}\n{authorities}\n");
        fs::write(&config, yaml).unwrap();
        let printed = adit(&["manifests", "relay", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        assert_eq!(printed.status.code(), Some(0), "{}", stderr(&printed));
        stdout(&printed)
    };
    let here = "certificate: /here/a, key: /here/b";
    let usual = print(here, "");
    assert!(!usual.contains("HTTPS"), "{usual}");
    assert!(usual.contains("appProtocol: https"), "{usual}");

    let admin = print(here, here);
    assert_eq!(admin.matches("scheme: HTTPS").count(), 2, "{admin}");
    assert_eq!(admin.matches("key: /etc/adit/tls/tls.key").count(), 2);
    assert!(!admin.contains("/here/"), "{admin}");

    let behind = "tls_ended_before: true, forwarded_for_from: [10.0.7.0/28]";
    let plain = print(behind, "");
    assert!(plain.contains("tls_ended_before: true"), "{plain}");
    assert!(plain.contains("appProtocol: http\n"), "{plain}");
    assert!(
        !plain.contains("/etc/adit/tls") && !plain.contains("adit-relay-tls"),
        "{plain}"
    );
    let both = print(behind, here);
    assert_eq!(
        both.matches("key: /etc/adit/tls/tls.key").count(),
        1,
        "{both}"
    );
    assert!(both.contains("secretName: adit-relay-tls"), "{both}");
}

#[test]
fn relays_manifests_mount_the_operators_token() {
    let folder = TempDir::new().unwrap();
    let (config, token) = (
        folder.path().join("relay.yaml"),
        folder.path().join("admin-token"),
    );
    let made = "0123456789abcdef0123456789abcdef";
    fs::write(&token, format!("{made}\n")).unwrap();
    let print = |admin: &str, more: &[&str]| {
        let issuer = "{ url: 'https://gitlab.test', audiences: [a] }";
        let authorities = format!("authorities: {{ oidc: {{ issuers: [{issuer}] }} }}");
        fs::write(&config, format!("admin: {admin}\n{authorities}\n")).unwrap();
        let mut command = adit(&["manifests", "relay", "--name", "other", "--config"]);
        command.arg(&config).args(more).output().unwrap()
    };
    let given = ["--admin-token-file", token.to_str().unwrap()];
    let refused = print("{ token_file: /here/token }", &[]);
    assert_eq!(refused.status.code(), Some(64));
    let said = stderr(&refused);
    assert!(
        said.contains("admin.token_file") && said.contains("--admin-token-file"),
        "{said}"
    );
    // Whatever the file says of it, and if it says nothing of that section at all.
    for admin in ["{ token_file: /here/token }", "{}", ""] {
        let text = stdout(&print(admin, &given));
        let objects: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
        let one = |kind: &str| {
            let is_one = |object: &&serde_json::Value| object["kind"] == kind;
            objects.iter().find(is_one).unwrap().clone()
        };
        let (secret, pod) = (one("Secret"), one("Deployment"));
        assert_eq!(secret["metadata"]["name"], "other-secrets");
        assert_eq!(secret["stringData"]["admin-token"], format!("{made}\n"));
        let pod = &pod["spec"]["template"]["spec"];
        let named = |list: &serde_json::Value| {
            let is_it = |one: &&serde_json::Value| one["name"] == "secrets";
            list.as_array().unwrap().iter().find(is_it).unwrap().clone()
        };
        let volume = named(&pod["volumes"]);
        assert_eq!(volume["secret"]["secretName"], "other-secrets");
        let mounted = named(&pod["containers"][0]["volumeMounts"]);
        let yaml = one("ConfigMap")["data"]["relay.yaml"].clone();
        let told: serde_json::Value = serde_saphyr::from_str(yaml.as_str().unwrap()).unwrap();
        assert_eq!(
            told["admin"]["token_file"],
            format!("{}/admin-token", mounted["mountPath"].as_str().unwrap())
        );
        assert_eq!(told["admin"]["address"], "0.0.0.0:8151", "{admin}");
        assert_eq!(text.matches(made).count(), 1);
        assert!(text.starts_with("# A relay for adit. This holds its operators' token: "));
    }
    assert_eq!(print("5", &given).status.code(), Some(64));
    fs::write(&token, "guessed").unwrap();
    let refused = print("{}", &given);
    assert_eq!(refused.status.code(), Some(64));
    let said = stderr(&refused);
    assert!(said.contains("openssl rand -hex 32"), "{said}");
    assert!(!said.contains("guessed"), "{said}");
}
