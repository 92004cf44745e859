use secrecy::ExposeSecret;

use super::*;
use crate::token;

const ISSUERS: [&str; 2] = ["https://one.example", "https://two.example"];

fn check(yaml: &str, issuers: &[&str]) -> Result<Agents, Mistakes> {
    let raw: Vec<RawAgent> = serde_saphyr::from_str(yaml).unwrap();
    let issuers: Vec<_> = issuers.iter().map(|&url| url.into()).collect();
    check_for(
        raw,
        Authorities {
            issuers: &issuers,
            has_gitlab: false,
            knows_agents: false,
        },
    )
}

fn check_for(raw: Vec<RawAgent>, authorities: Authorities<'_>) -> Result<Agents, Mistakes> {
    let mut mistakes = Mistakes::new();
    let key = Key::root().field("agents");
    let agents = Agents::check(raw, authorities, &AccessAs::CiJob, &key, &mut mistakes);
    mistakes.finish(agents)
}

fn keys_of_mistakes(yaml: &str, issuers: &[&str]) -> Vec<String> {
    keys(&check(yaml, issuers).unwrap_err())
}

fn keys(mistakes: &Mistakes) -> Vec<String> {
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
    let holder = |text: &str| agents.tokens().holder(&TokenHash::of(text));
    assert_eq!(holder(one.expose_secret()), Some(AgentId(1)));
    assert_eq!(holder(two.expose_secret()), Some(AgentId(2)));
    assert_eq!(holder("glagent-made-elsewhere"), Some(AgentId(2)));
    assert_eq!(holder(other.expose_secret()), None);
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
- {{id: 2, name: A, project: G/P, project_id: 0, tokens: []}}
- {{id: 0, name: a, project: g, tokens: [adit-agent-pasted], ci_access: {{projects: [{{id: ''}}]}}}}
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
        "agents[3].project",
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
fn with_issuers_and_a_gitlab_an_agent_says_whose_it_is() {
    let issuers = [ISSUERS[0].into()];
    let check = |has_gitlab, has_issuer, more: &str| {
        let yaml = format!(
            "[{{id: 1, name: a, project: g/p, project_id: 7, tokens: ['sha256:{}']{more}}}]",
            "0".repeat(64)
        );
        let authorities = Authorities {
            issuers: if has_issuer { &issuers } else { &[] },
            has_gitlab,
            knows_agents: false,
        };
        let agents = check_for(serde_saphyr::from_str(&yaml).unwrap(), authorities);
        agents.map_err(|mistakes| keys(&mistakes)).map(|agents| {
            let agent = agents.agent(AgentId(1)).unwrap();
            let job = JobIdentity {
                issuer: ISSUERS[0].into(),
                ..crate::examples::job()
            };
            (agent.trusts_issuer_of(&job), agent.is_gitlabs(ProjectId(7)))
        })
    };
    let wrong = |key: &str| Err(vec![format!("agents[0].{key}")]);
    assert_eq!(check(false, true, ""), Ok((true, false)));
    assert_eq!(check(true, false, ""), Ok((false, true)));
    assert_eq!(check(false, false, ""), wrong("issuer"));
    // With both, an id of the user's choice must not become somebody's at GitLab by itself.
    assert_eq!(check(true, true, ""), wrong("authorities"));
    assert_eq!(check(true, true, ", authorities: []"), wrong("authorities"));
    assert_eq!(
        check(true, true, ", authorities: [oidc]"),
        Ok((true, false))
    );
    assert_eq!(
        check(true, true, ", authorities: [gitlab]"),
        Ok((false, true))
    );
    assert_eq!(
        check(true, true, ", authorities: [gitlab, oidc]"),
        Ok((true, true))
    );
    assert_eq!(
        check(false, true, ", authorities: [gitlab]"),
        wrong("authorities")
    );
    assert_eq!(check(true, false, ", authorities: [oidc]"), wrong("issuer"));
    assert_eq!(
        check(true, false, ", ci_access: {instance: {}}"),
        wrong("ci_access")
    );
    assert_eq!(
        check(true, false, &format!(", issuer: '{}'", ISSUERS[0])),
        wrong("issuer")
    );
}

#[test]
fn an_agent_of_gitlabs_is_that_of_its_project() {
    let yaml = format!(
        "[{{id: 1, name: a, project: g/p, project_id: 7, tokens: ['sha256:{}']}}, {{id: 2, name: b, project: g/p, tokens: ['sha256:{}']}}]",
        "0".repeat(64),
        "1".repeat(64),
    );
    let authorities = Authorities {
        issuers: &[],
        has_gitlab: true,
        knows_agents: false,
    };
    let agents = check_for(serde_saphyr::from_str(&yaml).unwrap(), authorities).unwrap();
    let is_gitlabs = |id, project| {
        agents
            .agent(AgentId(id))
            .unwrap()
            .is_gitlabs(ProjectId(project))
    };
    assert!(is_gitlabs(1, 7) && !is_gitlabs(1, 8));
    assert!(is_gitlabs(2, 8));
}

#[test]
fn an_agent_of_gitlabs_needs_no_token_here_where_gitlab_knows_it() {
    let check = |knows_agents, authorities: &str| {
        let yaml = format!("[{{id: 1, name: a, project: g/p, authorities: [{authorities}]}}]");
        let issuers = [ISSUERS[0].into()];
        let authorities = Authorities {
            issuers: &issuers,
            has_gitlab: true,
            knows_agents,
        };
        let agents = check_for(serde_saphyr::from_str(&yaml).unwrap(), authorities);
        agents.map(drop).map_err(|mistakes| keys(&mistakes))
    };
    let missing = Err(vec!["agents[0].tokens".to_owned()]);
    assert_eq!(check(true, "gitlab"), Ok(()));
    assert_eq!(check(true, "oidc, gitlab"), Ok(()));
    assert_eq!(check(true, "oidc"), missing);
    assert_eq!(check(false, "gitlab"), missing);
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
