//! Check `settings`: does the job know which relay it is to call, with which token, and whom to believe?
//!
//! From flags and variables, as `adit kubeconfig` takes them, or from a kubeconfig ([`super::kubeconfig`]).

use std::path::Path;

use adit_agent::dial::proxy::Proxy;
use adit_process::chain;
use adit_process::tls::{ClientTls, H2, HTTP_1_1, TlsError, TrustRoots};
use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;

use super::{JobArgs, kubeconfig};
use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::Way;
use crate::kubeconfig::way::{self, BadWay};
use crate::kubeconfig::{JobToken, RelayUrl};

pub(super) const SETTINGS: Check = Check::new("settings", Hop::Client);

/// All that the job has.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) relay: RelayUrl,
    /// As kubectl goes it: HTTP/2, or else HTTP/1.1, which upgrades need.
    pub(super) way: Way,
    pub(super) holder: Holder,
    pub(super) token: SecretString,
    pub(super) agent: Wanted,
    pub(super) namespace: Option<String>,
}

/// Whose the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Job,
    /// Of GitLab's, with a personal access token.
    User,
}

/// Which agents are to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    Context(String),
    Id(u64),
}

/// What settings say, before any of it is used.
#[derive(Debug)]
pub(super) struct Found {
    /// Such as `ADIT_RELAY_URL`.
    pub(super) from: String,
    pub(super) relay: RelayUrl,
    pub(super) roots: TrustRoots,
    /// What `roots` names, if it is there for that alone.
    pub(super) roots_file: Option<NamedTempFile>,
    /// Absent: as the environment says.
    pub(super) proxy: Option<Proxy>,
    pub(super) holder: Holder,
    pub(super) token: SecretString,
    pub(super) agent: Wanted,
    pub(super) namespace: Option<String>,
}

/// What is wrong with them.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) advice: &'static str,
}

pub(super) fn read(args: &JobArgs, report: &mut Report) -> Option<Access> {
    let context = args.context.as_deref().filter(|name| !name.is_empty());
    let found = match &args.relay {
        Some(relay) => from_flags(args, relay, context),
        None => kubeconfig::find(context),
    };
    let access = found.and_then(|found| {
        let told = format!("{} names {}", found.from, found.relay);
        Ok((access(found, args.namespace.clone())?, told))
    });
    match access {
        Ok((access, told)) => {
            report.ok(SETTINGS, told);
            Some(access)
        }
        Err(Wrong { what, advice }) => {
            report.failed(SETTINGS, what, advice);
            None
        }
    }
}

fn from_flags(args: &JobArgs, relay: &RelayUrl, context: Option<&str>) -> Result<Found, Wrong> {
    let token = JobToken::find(args.id_token_file.clone()).map_err(|error| Wrong {
        what: chain(&error),
        advice: error.advice(),
    })?;
    Ok(Found {
        from: named_by(relay).to_owned(),
        relay: relay.clone(),
        roots: args.ca.clone().map_or(TrustRoots::System, TrustRoots::Only),
        roots_file: None,
        proxy: None,
        holder: Holder::Job,
        token: token.token,
        agent: context.map_or(Wanted::All, |name| Wanted::Context(name.to_owned())),
        namespace: None,
    })
}

/// The flag comes before the variable.
fn named_by(relay: &RelayUrl) -> &'static str {
    let variable = std::env::var("ADIT_RELAY_URL").ok();
    let named = variable.and_then(|url| url.parse::<RelayUrl>().ok());
    if named.as_ref() == Some(relay) {
        "ADIT_RELAY_URL"
    } else {
        "--relay"
    }
}

fn access(found: Found, namespace: Option<String>) -> Result<Access, Wrong> {
    let Found {
        relay,
        roots,
        holder,
        token,
        agent,
        proxy,
        roots_file: _as_long_as_it_is_read,
        ..
    } = found;
    let untrusted = |error: TlsError| Wrong {
        what: chain(&error),
        advice: "name a PEM file with the CA of the relay's certificate by ADIT_RELAY_CA, or by nothing for the system's CAs",
    };
    let impassable = |error: BadWay| Wrong {
        what: chain(&error),
        advice: "name the relay by its host name, and an HTTP proxy, or except the relay by NO_PROXY",
    };
    let parts = relay.parts();
    let proxy = match proxy {
        Some(proxy) => Some(proxy),
        None => way::proxy(&parts).map_err(impassable)?,
    };
    let (any, witness) = ClientTls::witnessed(&roots, &[H2, HTTP_1_1]).map_err(untrusted)?;
    let http1 = ClientTls::new(&roots, &[HTTP_1_1]).map_err(untrusted)?;
    let way = Way {
        dialler: way::dialler(&parts, &any, proxy.clone()).map_err(impassable)?,
        http1: way::dialler(&parts, &http1, proxy).map_err(impassable)?,
        witness: parts.is_tls.then_some(witness),
    };
    Ok(Access {
        relay,
        way,
        holder,
        token,
        agent,
        namespace: namespace.or(found.namespace),
    })
}

impl Access {
    /// What the relay is shown for this agent.
    pub(super) fn credential(&self, agent: u64) -> String {
        let kind = match self.holder {
            Holder::Job => "ci",
            Holder::User => "pat",
        };
        format!("{kind}:{agent}:{}", self.token.expose_secret())
    }

    /// And where no agent is meant; a user's token names one always.
    pub(super) fn bare_credential(&self) -> String {
        match (self.holder, &self.agent) {
            (Holder::User, Wanted::Id(agent)) => self.credential(*agent),
            (Holder::Job | Holder::User, _) => self.token.expose_secret().to_owned(),
        }
    }
}

impl Holder {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::User => "user",
        }
    }
}

impl Wrong {
    /// Of a file that cannot be used.
    pub(super) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self {
            what: format!("cannot read {}: {error}", path.display()),
            advice: "check the path, and that the job may read the file",
        }
    }
}
