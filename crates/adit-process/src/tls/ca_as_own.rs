//! Tells when a CA's own certificate is shown as a server's or a client's, as plain `openssl req -x509` makes it. kubectl takes that; no program
//! that checks by rustls does, adit's agents and relay among them, whatever they believe.
//!
//! Asked by whoever explains a handshake that failed, and told by the relay or the agent that shows such a one.

use rustls::CertificateError;

/// Whether that is why a server's certificate is not believed.
#[must_use]
pub fn is_ca_as_own(fault: &CertificateError) -> bool {
    // The crate that found it has no name here: it says so in a word, and a test has it say it.
    matches!(fault, CertificateError::Other(why) if why.to_string() == "CaUsedAsEndEntity")
}

/// To whom a certificate is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownTo {
    /// By a relay, at its public port, which jobs call, too.
    Agents,
    /// By a relay, at its private port.
    Operators,
    /// By a relay, at the port that GitLab calls.
    GitLab,
    /// By an agent.
    Relay,
}

impl ShownTo {
    /// A relay's, as its metrics and logs call it.
    #[must_use]
    pub const fn port(self) -> Option<&'static str> {
        match self {
            Self::Agents => Some("public"),
            Self::Operators => Some("admin"),
            Self::GitLab => Some("gitlab_api"),
            Self::Relay => None,
        }
    }

    /// What comes of a CA's own certificate there. Nothing at GitLab's port: GitLab's libraries take it.
    #[must_use]
    pub const fn doubt(self) -> Option<&'static str> {
        match self {
            Self::Agents => Some("no agent believes the certificate, nor does adit kubeconfig"),
            Self::Operators => Some("adit status and adit cut do not believe the certificate"),
            Self::GitLab => None,
            Self::Relay => Some("a relay that asks for it lets in nobody by the certificate"),
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Agents | Self::Operators | Self::GitLab => CA_AS_OWN,
            Self::Relay => CA_AS_CLIENT,
        }
    }
}

const CA_AS_CLIENT: &str = "it is a CA's own certificate, as plain `openssl req -x509` makes it: issue one for the agent from it (docs/networks.md)";

/// What to do about a server's.
pub const CA_AS_OWN: &str = "it is a CA's own certificate, as plain `openssl req -x509` makes it: issue one for the relay from it, or make it anew with `-addext basicConstraints=critical,CA:FALSE` (docs/install.md)";
