//! Who may call the API server, and by which file: users with random tokens, and a kubeconfig for each.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use super::certificates::{Authority, write_secret};
use super::record::Record;
use crate::hex::hex;
use crate::ports;

/// A user that the API server knows by a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's name for the API server, and here.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
}

impl User {
    /// A user in these groups.
    #[must_use]
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The API server's address, and its users.
#[derive(Debug)]
pub(super) struct Access {
    /// What the files of its users begin with.
    prefix: String,
    listen: SocketAddr,
    server: String,
    record: Record,
    users: Vec<(User, String)>,
}

impl Access {
    /// Chooses the port, and writes tokens and kubeconfigs.
    pub(super) fn prepare(
        record: &Record,
        address: IpAddr,
        authority: &Authority,
        others: Vec<User>,
    ) -> Result<Self> {
        let own = [
            User::new(ADMIN, &["system:masters"]),
            User::new(NODE, &["system:nodes"]),
        ];
        let users = own
            .into_iter()
            .chain(others)
            .map(|user| Ok((user, random_token()?)))
            .collect::<Result<Vec<_>>>()?;
        let access = Self::new(String::new(), record.clone(), address, users)?;
        fs::write(access.ca(), authority.pem())?;
        write_secret(&access.token_file(), &access.token_lines())?;
        Ok(access)
    }

    /// For one more API server of that name at the same address: the same users, with kubeconfigs of their own.
    pub(super) fn beside(&self, name: &str) -> Result<Self> {
        let (record, users) = (self.record.clone(), self.users.clone());
        Self::new(format!("{name}-"), record, self.address(), users)
    }

    fn new(
        prefix: String,
        record: Record,
        address: IpAddr,
        users: Vec<(User, String)>,
    ) -> Result<Self> {
        let listen = SocketAddr::new(address, ports::free(address)?);
        let access = Self {
            prefix,
            listen,
            server: format!("https://{listen}"),
            record,
            users,
        };
        for (user, token) in &access.users {
            write_secret(&access.file(&user.name), &access.document(token))?;
        }
        Ok(access)
    }

    pub(super) fn listen(&self) -> SocketAddr {
        self.listen
    }

    pub(super) fn address(&self) -> IpAddr {
        self.listen.ip()
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.record.path("ca.crt")
    }

    pub(super) fn token_file(&self) -> PathBuf {
        self.record.path("tokens.csv")
    }

    pub(super) fn kubeconfig(&self, user: &str) -> Result<PathBuf> {
        self.token(user)?;
        Ok(self.file(user))
    }

    pub(super) fn admin_kubeconfig(&self) -> PathBuf {
        self.file(ADMIN)
    }

    pub(super) fn node_kubeconfig(&self) -> PathBuf {
        self.file(NODE)
    }

    pub(super) fn token(&self, name: &str) -> Result<&str> {
        self.users
            .iter()
            .find(|(user, _)| user.name == name)
            .map(|(_, token)| token.as_str())
            .with_context(|| format!("the cluster has no user {name}"))
    }

    fn file(&self, user: &str) -> PathBuf {
        let (prefix, user) = (&self.prefix, user.replace([':', '/'], "-"));
        self.record.path(&format!("{prefix}{user}.kubeconfig"))
    }

    /// The API server's format: token, name, uid, groups.
    fn token_lines(&self) -> String {
        let line = |(at, (user, token)): (usize, &(User, String))| {
            format!(
                "{token},\"{}\",{at},\"{}\"\n",
                user.name,
                user.groups.join(",")
            )
        };
        self.users.iter().enumerate().map(line).collect()
    }

    /// JSON, which is YAML, too.
    fn document(&self, token: &str) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "adit", "cluster": { "server": self.server, "certificate-authority": self.ca() } }],
            "users": [{ "name": "adit", "user": { "token": token } }],
            "contexts": [{ "name": "adit", "context": { "cluster": "adit", "user": "adit" } }],
            "current-context": "adit",
        })
        .to_string()
    }
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("there is no randomness")?;
    Ok(hex(bytes))
}

const ADMIN: &str = "admin";
/// The kubelet's user; the node authoriser wants this form.
const NODE: &str = "system:node:adit-node";
