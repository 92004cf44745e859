//! What a job or a user may do whom GitLab itself lets in: GitLab's answer decides, and this relay's config only whether the id is
//! GitLab's to give.
//! Invariant: an agent of the config that is not marked as GitLab's is out of reach here, whatever GitLab has under its id.

use adit_identity::{AgentId, FullPath, JobIdentity, ProjectId};

use super::{Authoriser, NotAllowed};
use crate::{
    gitlab::{Granted, UserGrant},
    permit::PermitTerms,
};

impl Authoriser {
    /// What GitLab's list says.
    pub(super) fn terms_by_gitlab(
        &self,
        granted: &Granted,
        job: &JobIdentity,
        id: AgentId,
    ) -> Result<PermitTerms, NotAllowed> {
        let allowed = granted.agent(id);
        let allowed = allowed.ok_or_else(|| NotAllowed::NotListed(id.into()))?;
        self.check_gitlabs(id, allowed.config_project)?;
        let path = allowed.config_path.as_ref();
        let context = self.context(id, allowed.config_project, path);
        let act_as = granted.act_as(id, allowed, job);
        Ok(PermitTerms {
            agent: id,
            act_as: act_as.map_err(|why| NotAllowed::Unusable {
                context: context.clone(),
                why,
            })?,
            context,
            default_namespace: allowed.default_namespace.clone(),
            gitlab_project: Some(allowed.config_project),
            is_configured: self.agents.agent(id).is_some(),
            decided_by: self.number,
        })
    }

    /// What GitLab said about a user.
    pub(super) fn terms_of_user(
        &self,
        grant: &UserGrant,
        id: AgentId,
    ) -> Result<PermitTerms, NotAllowed> {
        if grant.agent != id {
            return Err(NotAllowed::NotListed(id.into()));
        }
        self.check_gitlabs(id, grant.config_project)?;
        Ok(PermitTerms {
            agent: id,
            context: self.context(id, grant.config_project, None),
            act_as: grant.act_as.clone(),
            default_namespace: None,
            gitlab_project: Some(grant.config_project),
            is_configured: self.agents.agent(id).is_some(),
            decided_by: self.number,
        })
    }

    /// The id is GitLab's to give. That the configuration is wrong about one of GitLab's is told to whom GitLab lets use it; that the id is
    /// the relay's own, to nobody.
    fn check_gitlabs(&self, id: AgentId, project: ProjectId) -> Result<(), NotAllowed> {
        if self.agents.may_be_gitlabs(id, project) {
            return Ok(());
        }
        let agent = self.agents.agent(id);
        Err(if agent.is_some_and(|agent| agent.is_at_gitlab()) {
            NotAllowed::OtherProject { agent: id, project }
        } else {
            NotAllowed::NotGitLabs(id.into())
        })
    }

    /// As people know the agent. GitLab's answers do not say its name: it is known if the agent has shown its token here.
    fn context(&self, id: AgentId, project: ProjectId, path: Option<&FullPath>) -> Box<str> {
        if let Some(agent) = self.agents.agent(id) {
            return agent.context().into();
        }
        let known = self.names.find(id, project);
        let path = path.or_else(|| known.as_ref().and_then(|known| known.path.as_ref()));
        let name = known.as_ref().map(|known| known.name.to_string());
        let name = name.unwrap_or_else(|| id.to_string());
        match path {
            Some(path) => format!("{path}:{name}").into(),
            None => name.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adit_identity::{
        ActAs,
        mistakes::{Key, Mistakes},
    };
    use serde_json::json;

    use super::*;
    use crate::{AccessAs, Agents, Authorities, Caller, RawAgent, examples, gitlab};

    /// Agents 41 of GitLab's, 43 of this relay's own, and 44 of GitLab's and another project.
    fn rules() -> Authoriser {
        let agent = |id: u64, authority: &str| -> RawAgent {
            let yaml = format!(
                "{{id: {id}, name: a{id}, project: platform/agents, project_id: 7, tokens: ['sha256:{id:064}'], authorities: [{authority}]}}"
            );
            serde_saphyr::from_str(&yaml).unwrap()
        };
        let mut other = agent(44, "gitlab");
        other.project_id = Some(8);
        let raw = vec![agent(41, "gitlab"), agent(43, "oidc"), other];
        let authorities = Authorities {
            issuers: &[examples::ISSUER.into()],
            has_gitlab: true,
            knows_agents: false,
        };
        let mut mistakes = Mistakes::new();
        let agents = Agents::check(
            raw,
            authorities,
            &AccessAs::CiJob,
            &Key::root(),
            &mut mistakes,
        );
        Authoriser::new(mistakes.finish(agents).unwrap(), Arc::default())
    }

    /// A job that GitLab lets use agents 41 to 45, the last with a mode that nobody knows.
    fn caller() -> Caller {
        let entry = |id: u64, access_as: serde_json::Value| {
            json!({
                "id": id,
                "config_project": { "id": 7, "path_with_namespace": "platform/agents" },
                "configuration": { "access_as": access_as, "default_namespace": "shop" },
            })
        };
        let as_job = || json!({ "ci_job": {} });
        let answer = json!({
            "allowed_agents": [
                entry(41, as_job()), entry(42, as_job()), entry(43, as_job()), entry(44, as_job()), entry(45, json!({ "ci_robot": {} })),
            ],
            "job": { "id": 9001 },
            "pipeline": { "id": 880 },
            "project": { "id": 150, "groups": [] },
            "user": { "id": 12, "username": "dev1" },
        });
        gitlab::caller(&answer, 5)
    }

    #[test]
    fn gitlabs_list_decides() {
        let (rules, caller) = (rules(), caller());
        let permit = rules.permit(&caller, AgentId(41)).unwrap();
        assert_eq!(permit.context(), "platform/agents:a41");
        assert_eq!(permit.default_namespace().unwrap().as_str(), "shop");
        assert_eq!((permit.owner(), permit.expires_at()), (5, None));
        assert!(
            matches!(permit.act_as(), ActAs::Impersonate(user) if user.user() == "gitlab:ci_job:9001")
        );
        assert!(permit.is_configured());
        // Known to GitLab alone.
        let permit = rules.permit(&caller, AgentId(42)).unwrap();
        assert!(!permit.is_configured());
        assert_eq!(permit.context(), "platform/agents:42");
        let reason = |agent| rules.permit(&caller, AgentId(agent)).unwrap_err().reason();
        assert_eq!(reason(43), "not_gitlabs");
        assert_eq!(reason(44), "other_project");
        assert_eq!(reason(45), "unusable_access_as");
        assert_eq!(reason(46), "not_listed");
        let reachable: Vec<_> = rules
            .reachable(&caller)
            .iter()
            .map(|one| one.agent.0)
            .collect();
        assert_eq!(reachable, [42, 41]);
    }

    #[test]
    fn a_caller_does_not_learn_which_agents_are_the_relays_own() {
        let text = |agent| {
            let refused = rules().permit(&caller(), AgentId(agent)).unwrap_err();
            refused.to_string().replace(&agent.to_string(), "N")
        };
        assert_eq!(text(43), text(46));
    }

    #[test]
    fn a_wrong_project_id_in_the_configuration_is_not_blamed_on_gitlab() {
        let refused = rules().permit(&caller(), AgentId(44)).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("in the project 7 at GitLab"), "{told}");
        assert!(told.contains("`project_id`"), "{told}");
    }

    #[test]
    fn an_id_token_does_not_get_at_gitlabs_agents() {
        let caller = Caller::new(examples::job(), std::time::SystemTime::now(), 5);
        let refused = rules().permit(&caller, AgentId(41)).unwrap_err();
        assert_eq!(refused.reason(), "other_issuer");
    }

    #[test]
    fn a_permit_is_upheld_while_the_id_is_gitlabs_to_give() {
        let (rules, caller) = (rules(), caller());
        let permit = rules.permit(&caller, AgentId(42)).unwrap();
        let now = std::time::SystemTime::now();
        assert!(rules.upholds(&permit, now));
        assert!(Authoriser::new(Agents::default(), Arc::default()).upholds(&permit, now));
        let permit = rules.permit(&caller, AgentId(41)).unwrap();
        assert!(rules.upholds(&permit, now));
    }
}
