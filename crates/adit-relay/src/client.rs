//! Decides from where a caller comes: the other end of its connection, unless something in between is trusted to say.
//!
//! A balancer says so once, in front of the connection (`front_door/proxy_header.rs`); an HTTP proxy in each request, here.
//! Read by logs, the audit log and the limits by address. Invariant: only what a trusted address wrote is believed, and nothing but a
//! name in a log or a count follows from it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// From where somebody comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) ip: IpAddr,
    /// HTTP proxies tell none.
    port: Option<u16>,
}

impl Client {
    /// The client of a request that came through `proxies`, the last of which is `self`. They append to what they were told, so it is
    /// read from its end, as far as those who wrote it are trusted.
    pub(crate) fn forwarded(self, headers: &HeaderMap, proxies: &Proxies) -> Self {
        if !proxies.contains(self.ip) {
            return self;
        }
        let told = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .rev()
            .flat_map(|value| {
                let text = value.to_str().unwrap_or_default();
                text.rsplit(',')
            });
        let mut client = self;
        for element in told {
            if !proxies.contains(client.ip) {
                break;
            }
            match Self::parse(element.trim()) {
                Some(before) => client = before,
                None => break,
            }
        }
        client
    }

    /// An address, or an address and port, in the forms that proxies write.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(address.into());
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        let ip: IpAddr = bare.parse().ok()?;
        Some(Self {
            ip: ip.to_canonical(),
            port: None,
        })
    }
}

impl From<SocketAddr> for Client {
    /// A socket that listens on all addresses shows those of IPv4 as mapped into IPv6.
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip().to_canonical(),
            port: Some(address.port()),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// Addresses that are trusted to say who is behind them. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    /// Whether this address is one of theirs.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&ip))
    }
}

impl FromIterator<IpNet> for Proxies {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        Self(nets.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(nets: &[&str]) -> Proxies {
        nets.iter()
            .map(|net| net.parse::<IpNet>().unwrap())
            .collect()
    }

    fn client(peer: &str, values: &[&'static str], proxies: &Proxies) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let peer: SocketAddr = peer.parse().unwrap();
        Client::from(peer).forwarded(&headers, proxies).to_string()
    }

    #[test]
    fn nobody_is_believed_unless_trusted() {
        let (nobody, ten) = (Proxies::default(), proxies(&["10.0.0.0/8"]));
        assert_eq!(client("10.0.0.1:5", &["192.0.2.7"], &nobody), "10.0.0.1:5");
        assert_eq!(client("11.0.0.1:5", &["192.0.2.7"], &ten), "11.0.0.1:5");
        assert_eq!(client("10.0.0.1:5", &["192.0.2.7"], &ten), "192.0.2.7");
        assert_eq!(
            client("[::ffff:10.0.0.1]:5", &["192.0.2.7"], &ten),
            "192.0.2.7"
        );
    }

    #[test]
    fn the_last_that_no_proxy_of_ours_wrote_is_the_client() {
        let ours = proxies(&["10.0.0.0/8", "fd00::/8"]);
        let cases: [(&[&str], &str); 7] = [
            // What the client itself put first is not looked at.
            (&["203.0.113.1, 192.0.2.7"], "192.0.2.7"),
            (&["192.0.2.7, 10.1.1.1, fd00::7"], "192.0.2.7"),
            (&["203.0.113.1", "192.0.2.7 , 10.1.1.1"], "192.0.2.7"),
            (&["10.2.2.2,10.1.1.1"], "10.2.2.2"),
            (&["192.0.2.7:4711"], "192.0.2.7:4711"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["[2001:db8::7]:80"], "[2001:db8::7]:80"),
        ];
        for (values, expected) in cases {
            assert_eq!(client("10.0.0.1:5", values, &ours), expected, "{values:?}");
        }
    }

    #[test]
    fn whoever_is_told_wrongly_stays_unknown() {
        let ours = proxies(&["10.0.0.0/8"]);
        for values in [
            &["unknown"][..],
            &[""],
            &["192.0.2.7, nonsense"],
            &["192.0.2.7,"],
            &["192.0.2"],
            &[],
        ] {
            assert_eq!(
                client("10.0.0.1:5", values, &ours),
                "10.0.0.1:5",
                "{values:?}"
            );
        }
        assert_eq!(client("10.0.0.1:5", &["x, 10.1.1.1"], &ours), "10.1.1.1");
    }
}
