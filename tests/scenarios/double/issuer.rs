//! ID tokens: discovery, keys, rotation.

use adit_tests::{GitLab, Role, gitlab, scenario};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::ask;

async fn keys(gitlab: &GitLab) -> Vec<String> {
    let answer = ask(gitlab, "/oauth/discovery/keys", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers["cache-control"],
        "max-age=86400, public, must-revalidate"
    );
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    keys.iter()
        .map(|key| {
            assert_eq!(key["alg"], "RS256");
            assert_eq!(key["use"], "sig");
            key["kid"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn keys_are_found_by_discovery_and_rotate() {
    scenario(async {
        let gitlab = gitlab().at("https://gitlab.test").start().await;
        let job = {
            let mut world = gitlab.world();
            world.project("group/app");
            world.member("dev1", "group", Role::Developer);
            world.job("group/app").environment("production").run()
        };
        let discovery = ask(&gitlab, "/.well-known/openid-configuration", &[]).await;
        let discovery = discovery.json();
        assert_eq!(discovery["issuer"], "https://gitlab.test");
        let keys_url = format!("{}/oauth/discovery/keys", gitlab.url());
        assert_eq!(discovery["jwks_uri"], keys_url);

        let token = gitlab.id_token(job, "adit");
        let first = keys(&gitlab).await;
        let (head, claims) = (part(&token, 0), part(&token, 1));
        assert_eq!(head["kid"], first[0]);
        assert_eq!(claims["iss"], "https://gitlab.test");
        assert_eq!(claims["aud"], "adit");
        assert_eq!(claims["job_id"], job.to_string());
        assert_eq!(claims["ref_protected"], "true");
        assert_eq!(claims["environment"], "production");
        assert_eq!(claims["user_access_level"], "developer");
        let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert!((3590..=3600).contains(&lifetime), "{lifetime}");

        gitlab.issuer().rotate();
        let both = keys(&gitlab).await;
        assert!(both.contains(&first[0]) && both.len() == 2);
        gitlab.issuer().forget_retired();
        let second = keys(&gitlab).await;
        assert!(!second.contains(&first[0]));
        assert_eq!(part(&gitlab.id_token(job, "adit"), 0)["kid"], second[0]);
    });
}
