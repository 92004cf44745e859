use secrecy::ExposeSecret;

use super::*;
use crate::token;

const ISSUERS: [&str; 2] = ["https://one.example", "https://two.example"];

fn check(yaml: &str, issuers: &[&str]) -> Result<Agents, Mistakes> {
    let raw: Vec<RawAgent> = serde_saphyr::from_str(yaml).unwrap();
    let issuers: Vec<_> = issuers.iter().map(|&url| url.into()).collect();
    let mut mistakes = Mistakes::new();
    let key = Key::root().field("agents");
    let agents = Agents::check(raw, &issuers, &AccessAs::CiJob, &key, &mut mistakes);
    mistakes.finish(agents)
}

fn keys_of_mistakes(yaml: &str, issuers: &[&str]) -> Vec<String> {
    let mistakes = check(yaml, issuers).unwrap_err();
    mistakes
        .as_slice()
        .iter()
        .map(|mistake| mistake.key.to_string())
        .collect()
}

#[test]
fn a_token_means_the_agent_that_lists_its_hash() {
    let (one, two, other) = (token::new(), token::new(), token::new());
    let hash = |token: &secrecy::SecretString| TokenHash::of(token.expose_secret());
    let yaml = format!(
        "[{{id: 1, name: a, project: g/p, tokens: ['{}']}}, {{id: 2, name: b, project: g/p, tokens: ['{}', '{}']}}]",
        hash(&one),
        hash(&two),
        TokenHash::of("glagent-made-elsewhere"),
    );
    let agents = check(&yaml, &ISSUERS[..1]).unwrap();
    let verify = |text: &str| agents.tokens().verify(Token::parse(text).unwrap());
    assert_eq!(verify(one.expose_secret()), Some(AgentId(1)));
    assert_eq!(verify(two.expose_secret()), Some(AgentId(2)));
    assert_eq!(verify("glagent-made-elsewhere"), Some(AgentId(2)));
    assert_eq!(verify(other.expose_secret()), None);
    assert_eq!(agents.tokens().holder(&hash(&two)), Some(AgentId(2)));
    assert_eq!(agents.agent(AgentId(2)).unwrap().context(), "g/p:b");
}

#[test]
fn every_mistake_is_told_with_its_key() {
    let zeros = "0".repeat(64);
    let yaml = format!(
        "
- {{id: 1, name: a, project: g/p, tokens: ['sha256:{zeros}']}}
- {{id: 1, name: b, project: g/p, tokens: ['sha256:{zeros}']}}
- {{id: 2, name: A, project: g, project_id: 0, tokens: []}}
- {{id: 0, name: a, project: G/P, tokens: [adit-agent-pasted], ci_access: {{projects: [{{id: ''}}]}}}}
- {{id: 3, name: a, project: G/P, tokens: ['sha256:{}'], issuer: 'https://three.example'}}
- {{id: 4, name: a, project: G/P, tokens: ['sha256:{}']}}
",
        "1".repeat(64),
        "2".repeat(64),
    );
    let expected = [
        "agents[1].tokens",
        "agents[1].id",
        "agents[2].tokens",
        "agents[2].project_id",
        "agents[2].name",
        "agents[3].tokens[0]",
        "agents[3].id",
        "agents[3].ci_access.projects[0].id",
        "agents[4].issuer",
        "agents[5].name",
    ];
    assert_eq!(keys_of_mistakes(&yaml, &ISSUERS[..1]), expected);
}

#[test]
fn with_several_issuers_an_agent_names_its_own() {
    let yaml = format!(
        "[{{id: 1, name: a, project: g/p, tokens: ['sha256:{}']}}]",
        "0".repeat(64)
    );
    assert_eq!(keys_of_mistakes(&yaml, &ISSUERS), ["agents[0].issuer"]);
    assert_eq!(keys_of_mistakes(&yaml, &[]), ["agents[0].issuer"]);
    assert!(
        check(
            &yaml.replace("name: a", "name: a, issuer: 'https://two.example'"),
            &ISSUERS
        )
        .is_ok()
    );
}

#[test]
fn a_pasted_token_is_not_shown() {
    let mistakes = check(
        "[{id: 1, name: a, project: g/p, tokens: [s3cret]}]",
        &ISSUERS[..1],
    )
    .unwrap_err();
    assert!(!mistakes.to_string().contains("s3cret"), "{mistakes}");
}

#[test]
fn an_unknown_key_is_named() {
    let error = serde_saphyr::from_str::<RawAgent>("{id: 1, nmae: a}")
        .unwrap_err()
        .to_string();
    assert!(error.contains("nmae"), "{error}");
}
