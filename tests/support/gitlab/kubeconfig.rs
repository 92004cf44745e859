//! The file variable `KUBECONFIG` of a job, as GitLab writes it: no CA, no current context, one user and one context for each
//! agent.

use std::fmt::Write;

use super::{GitLab, allowed::Allowed, world::World};

impl GitLab {
    /// The text; `None` when no agent passes: then there is no such variable.
    ///
    /// Filtered by the name of the job's environment whether that is stored or not, so that a context may be there which the
    /// agent server then refuses.
    #[must_use]
    pub fn kubeconfig(&self, job: u64) -> Option<String> {
        let world = self.world();
        let job = world.job_of(job);
        let allowed = world.allowed(job, job.environment.as_deref()).ok()?;
        (!allowed.is_empty()).then(|| world.kubeconfig_of(&allowed, job.token()))
    }
}

impl World {
    fn kubeconfig_of(&self, allowed: &[Allowed<'_>], token: &str) -> String {
        let mut text = format!(
            "---
apiVersion: v1
kind: Config
clusters:
- name: gitlab
  cluster:
    server: {}
users:
",
            self.settings.k8s_proxy_url
        );
        for one in allowed {
            let id = one.agent.id;
            write!(
                text,
                "- name: agent:{id}\n  user:\n    token: ci:{id}:{token}\n"
            )
            .unwrap();
        }
        text.push_str("contexts:\n");
        for one in allowed {
            let (id, name) = (one.agent.id, &one.agent.name);
            let path = self.project_path(one.agent.project);
            write!(
                text,
                "- name: {path}:{name}\n  context:\n    cluster: gitlab\n    user: agent:{id}\n"
            )
            .unwrap();
            if let Some(namespace) = one.configuration["default_namespace"].as_str() {
                // A string in JSON is one in YAML.
                writeln!(text, "    namespace: {}", serde_json::json!(namespace)).unwrap();
            }
        }
        text
    }
}
