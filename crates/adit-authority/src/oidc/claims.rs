//! What an ID token says, read and checked: first that it is meant for us and for now, then who the job is.
//! Called once for each new token, after its signature.
//! Invariant: every claim that access depends on is of the expected form or the token is refused; a claim that may be
//! missing is taken at its weakest when it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_identity::{
    BadId, Environment, FullPath, GitRef, GroupId, JobId, JobIdentity, Namespace, PipelineId,
    Project, ProjectId, RefKind, User, UserId,
};
use serde_json::{Map, Value};

use super::{OidcIssuer, TokenError};

/// The claims of a token, by name.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Not to be believed before the signature was checked.
    pub(super) fn unverified(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// The job that the token stands for, and until when it does.
    pub(super) fn check(
        &self,
        issuer: &OidcIssuer,
        now: SystemTime,
    ) -> Result<(JobIdentity, SystemTime), TokenError> {
        self.text("sub")?;
        self.check_audience(issuer)?;
        let expires_at = self.check_times(issuer, now)?;
        Ok((self.job(issuer)?, expires_at))
    }

    fn check_audience(&self, issuer: &OidcIssuer) -> Result<(), TokenError> {
        let is_ours = |audience: &str| issuer.audiences.iter().any(|ours| **ours == *audience);
        let ours = match self.required("aud")? {
            Value::String(audience) => is_ours(audience),
            Value::Array(audiences) => {
                let texts: Option<Vec<_>> = audiences.iter().map(Value::as_str).collect();
                texts
                    .ok_or(TokenError::BadClaim("aud"))?
                    .into_iter()
                    .any(is_ours)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                return Err(TokenError::BadClaim("aud"));
            }
        };
        if ours {
            Ok(())
        } else {
            Err(TokenError::WrongAudience)
        }
    }

    /// For whom the token says that it is; what is no text is left out.
    pub(super) fn audiences(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match self.optional("aud") {
            Some(Value::Array(audiences)) => audiences.iter().filter_map(text).collect(),
            other => other.and_then(text).into_iter().collect(),
        }
    }

    /// RFC 7519 section 4.1. The end that is given back includes the leeway, since the token is accepted until then.
    fn check_times(&self, issuer: &OidcIssuer, now: SystemTime) -> Result<SystemTime, TokenError> {
        let expires = self.time("exp")?.ok_or(TokenError::MissingClaim("exp"))?;
        let (not_before, issued) = (self.time("nbf")?, self.time("iat")?);
        let latest = now + issuer.leeway;
        if not_before.is_some_and(|start| start > latest)
            || issued.is_some_and(|start| start > latest)
        {
            return Err(TokenError::NotYetValid);
        }
        let expires_at = expires
            .checked_add(issuer.leeway)
            .ok_or(TokenError::BadClaim("exp"))?;
        if expires_at <= now {
            return Err(TokenError::Expired);
        }
        let lifetime = expires
            .duration_since(issued.unwrap_or(now))
            .unwrap_or_default();
        if lifetime > issuer.max_lifetime {
            return Err(TokenError::LifetimeTooLong);
        }
        Ok(expires_at)
    }

    fn job(&self, issuer: &OidcIssuer) -> Result<JobIdentity, TokenError> {
        let (id, path, namespace) = self.project()?;
        Ok(JobIdentity {
            issuer: issuer.url.clone(),
            job: JobId(self.id("job_id")?),
            pipeline: PipelineId(self.id("pipeline_id")?),
            source: self.optional_text("pipeline_source")?.map(Into::into),
            groups: groups(&namespace, issuer),
            project: Project {
                id,
                path: Some(path),
            },
            namespace: Some(namespace),
            user: User {
                id: UserId(self.id("user_id")?),
                login: self.text("user_login")?.into(),
            },
            git_ref: Some(self.git_ref()?),
            environment: self.environment()?,
        })
    }

    /// The project that runs the job. In a merge request's pipeline `project_*` may name the fork the change comes from;
    /// GitLab 18.4 and later name the one that runs it as `job_project_*`, all four or none.
    fn project(&self) -> Result<(ProjectId, FullPath, Namespace), TokenError> {
        let runs = self.optional("job_project_id").is_some()
            || self.optional("job_project_path").is_some();
        let [project_id, project_path, namespace_id, namespace_path] = if runs {
            [
                "job_project_id",
                "job_project_path",
                "job_namespace_id",
                "job_namespace_path",
            ]
        } else {
            [
                "project_id",
                "project_path",
                "namespace_id",
                "namespace_path",
            ]
        };
        let id = ProjectId(self.id(project_id)?);
        let path = self.path(project_path)?;
        let namespace = Namespace {
            id: GroupId(self.id(namespace_id)?),
            path: self.path(namespace_path)?,
        };
        if path.ancestors().next().as_ref() != Some(&namespace.path) {
            return Err(TokenError::BadClaim(namespace_path));
        }
        Ok((id, path, namespace))
    }

    fn git_ref(&self) -> Result<GitRef, TokenError> {
        let kind = match self.optional_text("ref_type")? {
            None => None,
            Some("branch") => Some(RefKind::Branch),
            Some("tag") => Some(RefKind::Tag),
            Some(_) => return Err(TokenError::BadClaim("ref_type")),
        };
        Ok(GitRef {
            name: self.text("ref")?.into(),
            kind,
            protected: self.flag("ref_protected")?,
        })
    }

    fn environment(&self) -> Result<Option<Environment>, TokenError> {
        let Some(name) = self.optional_text("environment")? else {
            return Ok(None);
        };
        let tier = self
            .text("deployment_tier")?
            .parse()
            .map_err(|_| TokenError::BadClaim("deployment_tier"))?;
        let environment = Environment::named(name, tier, self.flag("environment_protected")?);
        environment
            .map(Some)
            .map_err(|_| TokenError::BadClaim("environment"))
    }

    fn optional(&self, name: &'static str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn required(&self, name: &'static str) -> Result<&Value, TokenError> {
        self.optional(name).ok_or(TokenError::MissingClaim(name))
    }

    /// A claim that must be there and say something.
    pub(super) fn text(&self, name: &'static str) -> Result<&str, TokenError> {
        self.optional_text(name)?
            .ok_or(TokenError::MissingClaim(name))
    }

    fn optional_text(&self, name: &'static str) -> Result<Option<&str>, TokenError> {
        let text = |value: &'_ Value| value.as_str().is_some_and(|text| !text.is_empty());
        match self.optional(name) {
            Some(value) if !text(value) => Err(TokenError::BadClaim(name)),
            value => Ok(value.and_then(Value::as_str)),
        }
    }

    /// GitLab writes some ids as strings and some as numbers.
    fn id(&self, name: &'static str) -> Result<u64, TokenError> {
        let bad = TokenError::BadClaim(name);
        match self.required(name)? {
            Value::String(text) => text.parse::<JobId>().map(|id| id.0).map_err(|_: BadId| bad),
            Value::Number(number) => number.as_u64().filter(|id| *id > 0).ok_or(bad),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(bad),
        }
    }

    fn path(&self, name: &'static str) -> Result<FullPath, TokenError> {
        self.text(name)?
            .parse()
            .map_err(|_| TokenError::BadClaim(name))
    }

    /// GitLab writes these as strings. Missing means no.
    fn flag(&self, name: &'static str) -> Result<bool, TokenError> {
        match self.optional(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(TokenError::BadClaim(name)),
        }
    }

    /// Seconds since 1970, perhaps with a fraction. A text is refused, not skipped.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<SystemTime>, TokenError> {
        let Some(value) = self.optional(name) else {
            return Ok(None);
        };
        let seconds = value.as_f64().ok_or(TokenError::BadClaim(name))?;
        let since = Duration::try_from_secs_f64(seconds).map_err(|_| TokenError::BadClaim(name))?;
        UNIX_EPOCH
            .checked_add(since)
            .map(Some)
            .ok_or(TokenError::BadClaim(name))
    }
}

/// Ids of the groups a project is in, outermost first: those the config knows, and the direct one, which the token states.
fn groups(namespace: &Namespace, issuer: &OidcIssuer) -> Vec<GroupId> {
    let above = namespace
        .path
        .ancestors()
        .filter_map(|path| issuer.group_ids.get(&path).copied());
    let mut groups: Vec<_> = std::iter::once(namespace.id).chain(above).collect();
    groups.reverse();
    groups
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Claims hold a user's e-mail address and more.
        f.write_str("Claims(..)")
    }
}
