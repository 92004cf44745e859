use kube_client::config::{AuthInfo, ExecConfig};

use super::*;
use crate::fake::soon;

fn kube(auth: AuthInfo) -> kube_client::Config {
    let mut config = kube_client::Config::new("https://10.0.0.1".parse().unwrap());
    config.auth_info = auth;
    config
}

async fn load(auth: AuthInfo) -> Result<Credentials, CredentialError> {
    soon(Credentials::load(&kube(auth), Counter::default())).await
}

/// A plugin that runs this shell script.
fn plugin(script: &str) -> AuthInfo {
    let exec = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", script],
        "interactiveMode": "Never",
    });
    AuthInfo {
        exec: Some(serde_json::from_value::<ExecConfig>(exec).unwrap()),
        ..AuthInfo::default()
    }
}

#[tokio::test(start_paused = true)]
async fn token_file_is_reread_and_a_lost_one_stays_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let auth = AuthInfo {
        token_file: Some(path.display().to_string()),
        ..AuthInfo::default()
    };
    let credentials = load(auth).await.unwrap();
    assert_eq!(credentials.authorization().unwrap(), "Bearer first");
    assert!(!format!("{credentials:?} {:?}", credentials.authorization()).contains("first"));

    std::fs::write(&path, "second").unwrap();
    let fresh = async {
        tokio::time::sleep(RENEW_EVERY + Duration::from_secs(1)).await;
        assert_eq!(credentials.authorization().unwrap(), "Bearer second");
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(RENEW_EVERY * 2).await;
        assert_eq!(credentials.authorization().unwrap(), "Bearer second");
        assert!(credentials.failures.get() > 0);
    };
    tokio::select! {
        () = credentials.keep_fresh() => {}
        () = fresh => {}
    }
}

#[tokio::test(start_paused = true)]
async fn refused_token_is_reread_soon_but_not_in_a_rush() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "first").unwrap();
    let auth = AuthInfo {
        token_file: Some(path.display().to_string()),
        ..AuthInfo::default()
    };
    let credentials = load(auth).await.unwrap();
    std::fs::write(&path, "second").unwrap();
    credentials.doubt();
    let renewed = async {
        tokio::time::sleep(LEAST_APART - Duration::from_secs(1)).await;
        assert_eq!(credentials.authorization().unwrap(), "Bearer first");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(credentials.authorization().unwrap(), "Bearer second");
    };
    tokio::select! {
        () = credentials.keep_fresh() => {}
        () = renewed => {}
    }
}

#[tokio::test(start_paused = true)]
async fn doubts_that_change_nothing_are_heeded_ever_more_seldom() {
    let dir = tempfile::tempdir().unwrap();
    let runs = dir.path().join("runs");
    let answer = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"same"}}"#;
    let script = format!("echo run >>{}; echo '{answer}'", runs.display());
    let credentials = load(plugin(&script)).await.unwrap();
    let count = || std::fs::read_to_string(&runs).unwrap().lines().count();
    let before = count();
    let doubting = async {
        // A flood of answers with 401, for ten minutes.
        for _ in 0..600 {
            credentials.doubt();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = credentials.keep_fresh() => {}
        () = doubting => {}
    }
    let ran = count() - before;
    assert!((3..=8).contains(&ran), "the plugin ran {ran} times");
}

#[tokio::test]
async fn tokens_passwords_and_plugins_of_a_kubeconfig_are_used() {
    let token = AuthInfo {
        token: Some("abc".to_owned().into()),
        ..AuthInfo::default()
    };
    assert_eq!(
        load(token).await.unwrap().authorization().unwrap(),
        "Bearer abc"
    );

    let password = AuthInfo {
        username: Some("me".into()),
        password: Some("secret".to_owned().into()),
        ..AuthInfo::default()
    };
    assert_eq!(
        load(password).await.unwrap().authorization().unwrap(),
        "Basic bWU6c2VjcmV0"
    );

    let answer = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from-plugin"}}"#;
    let credentials = load(plugin(&format!("echo '{answer}'"))).await.unwrap();
    assert_eq!(credentials.authorization().unwrap(), "Bearer from-plugin");

    assert!(
        load(AuthInfo::default())
            .await
            .unwrap()
            .authorization()
            .is_none()
    );
}

#[tokio::test]
async fn what_a_plugin_prints_is_never_shown() {
    for script in ["echo hunter2; echo hunter2 >&2; exit 3", "echo '{hunter2'"] {
        let error = load(plugin(script)).await.unwrap_err();
        let text = format!("{} {error:?}", chain(&error));
        assert!(!text.contains("hunter2"), "{text}");
    }
    let failed = load(plugin("exit 3")).await.unwrap_err().to_string();
    assert!(failed.contains("exit status: 3"), "{failed}");
}

#[tokio::test]
async fn file_that_holds_no_token_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    for text in ["", "two words", "line\nbreak"] {
        std::fs::write(&path, text).unwrap();
        let auth = AuthInfo {
            token_file: Some(path.display().to_string()),
            ..AuthInfo::default()
        };
        assert!(
            matches!(load(auth).await, Err(CredentialError::NotAToken)),
            "{text:?}"
        );
    }
}
