//! What the tests' job asks, with its token or with something else in its place.

use std::time::{Duration, SystemTime};

use adit_identity::{JobId, JobIdentity};
use http::{Request, header::AUTHORIZATION};

use super::{AUDIENCE, Setup};

impl Setup {
    pub(crate) fn token(&self) -> String {
        self.token_for(Duration::from_secs(600))
    }

    /// A token that lives so long.
    pub(crate) fn token_for(&self, lifetime: Duration) -> String {
        let job = JobIdentity {
            job: JobId(9001),
            ..JobIdentity::example("https://gitlab.example", "group/app")
        };
        self.issuer
            .token(&job, AUDIENCE, SystemTime::now(), lifetime)
            .unwrap()
    }

    /// An `Authorization` that names no agent.
    pub(crate) fn bare(&self) -> String {
        format!("Bearer {}", self.token())
    }

    pub(crate) fn get(&self, target: &str) -> Request<Vec<u8>> {
        self.request("GET", target, Vec::new())
    }

    /// To this agent.
    pub(crate) fn get_as(&self, target: &str, agent: u64) -> Request<Vec<u8>> {
        self.get_with(target, Some(&format!("Bearer ci:{agent}:{}", self.token())))
    }

    /// With this `Authorization`.
    pub(crate) fn get_with(&self, target: &str, authorization: Option<&str>) -> Request<Vec<u8>> {
        let mut request = self.get(target);
        request.headers_mut().remove(AUTHORIZATION);
        if let Some(authorization) = authorization {
            request
                .headers_mut()
                .insert(AUTHORIZATION, authorization.parse().unwrap());
        }
        request
    }

    pub(crate) fn request(&self, method: &str, target: &str, body: Vec<u8>) -> Request<Vec<u8>> {
        Request::builder()
            .method(method)
            .uri(target)
            .header(AUTHORIZATION, format!("Bearer ci:7:{}", self.token()))
            .body(body)
            .unwrap()
    }

    /// A head in its own bytes; `fields` are whole lines.
    pub(crate) fn raw(&self, method: &str, target: &str, fields: &str) -> String {
        raw(&self.token(), method, target, fields)
    }
}

pub(super) fn raw(token: &str, method: &str, target: &str, fields: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nhost: relay\r\nauthorization: Bearer ci:7:{token}\r\n{fields}\r\n"
    )
}
