//! The hop `network`: from here to the relay's door, one step after the other, as agents and kubectl go it.
//!
//! Called for a job and for an agent. The invariant: certificate and name are checked as ever; what a peer showed that is not
//! believed is told and nothing more.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adit_agent::dial::{DialError, Dialled, Dialler};
use adit_process::chain;
use adit_process::tls::{Certificate, ShownTo, Witness};

use super::finding::{Check, Hop, Report};
use super::when::{day, from};

pub(super) const NAME: Check = Check::new("name", Hop::Network);
pub(super) const CONNECT: Check = Check::new("connect", Hop::Network);
pub(super) const PROXY: Check = Check::new("proxy", Hop::Network);
pub(super) const TLS: Check = Check::new("tls", Hop::Network);
pub(super) const HTTP: Check = Check::new("http", Hop::Network);

/// How the relay is reached, and what it shows.
#[derive(Debug)]
pub(super) struct Way {
    /// Offers HTTP/2 and HTTP/1.1.
    pub(super) dialler: Dialler,
    /// Offers HTTP/1.1 alone.
    pub(super) http1: Dialler,
    /// Absent: no TLS.
    pub(super) witness: Option<Arc<Witness>>,
}

impl Way {
    /// Goes it once. Gives what is at its end, or nothing when something is in between.
    pub(super) async fn walk(&self, report: &mut Report) -> Option<Dialled> {
        let Self {
            dialler, witness, ..
        } = self;
        let proxy = dialler.proxy.as_ref();
        let first = proxy.map_or_else(
            || dialler.host.clone(),
            |proxy| format!("the proxy {proxy}"),
        );

        let addresses = dialler.in_time(dialler.addresses()).await;
        let addresses = stop(NAME, addresses, report)?;
        let listed: Vec<_> = addresses.iter().map(|at| at.ip().to_string()).collect();
        report.ok(NAME, format!("{first} is {}", listed.join(", ")));

        let tcp = dialler.in_time(dialler.reach(addresses)).await;
        let tcp = stop(CONNECT, tcp, report)?;
        let peer = tcp.peer_addr().map(|peer| peer.to_string());
        let peer = peer.unwrap_or_else(|_| dialler.target());
        report.ok(CONNECT, format!("{peer} takes connections"));

        let tcp = dialler.in_time(dialler.pass_proxy(tcp)).await;
        let tcp = stop(PROXY, tcp, report)?;
        report.ok(
            PROXY,
            proxy.map_or_else(
                || "none is named for the relay".to_owned(),
                |proxy| format!("{proxy} lets us through to {}", dialler.target()),
            ),
        );

        let dialled = dialler.in_time(dialler.secure(tcp)).await;
        let shown = witness.as_ref().and_then(|witness| witness.shown());
        match dialled {
            Ok(dialled) => {
                match shown {
                    Some(shown) => trusted(&shown, report),
                    None if witness.is_some() => report.ok(TLS, "the relay proves who it is"),
                    None => report.ok(TLS, "none: the relay is on this machine"),
                }
                Some(dialled)
            }
            Err(error) => {
                let shown = shown.map(|shown| format!("; it shows {}", told(&shown)));
                let what = format!("{}{}", chain(&error), shown.unwrap_or_default());
                report.failed(TLS, what, error.advice());
                None
            }
        }
    }
}

fn trusted(shown: &Certificate, report: &mut Report) {
    let what = format!("it shows {}", told(shown));
    if is_nearly_over(shown, SystemTime::now()) {
        report.warning(TLS, what, RENEW);
    } else {
        report.ok(TLS, what);
    }
}

/// Less than a tenth of its life is left: whoever renews certificates has done it by then, however short they live.
fn is_nearly_over(certificate: &Certificate, now: SystemTime) -> bool {
    let left = certificate.not_after.duration_since(now);
    let life = certificate
        .not_before
        .and_then(|begin| certificate.not_after.duration_since(begin).ok());
    match (left, life) {
        (Ok(left), Some(life)) => left < life / 10,
        (Ok(_), None) => false,
        (Err(_), _) => true,
    }
}

pub(super) fn told(certificate: &Certificate) -> String {
    let Certificate {
        subject,
        issuer,
        not_after,
        ..
    } = certificate;
    let end = from(SystemTime::now(), *not_after);
    let day = day(*not_after);
    format!("a certificate of `{subject}`, issued by `{issuer}`, that ends {end}{day}")
}

fn stop<T>(check: Check, step: Result<T, DialError>, report: &mut Report) -> Option<T> {
    match step {
        Ok(done) => Some(done),
        Err(error) => {
            report.failed(check, chain(&error), error.advice());
            None
        }
    }
}

/// Where to call what listens on all addresses.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Tells whether a certificate that this side shows holds now, and warns of a CA's own where it is not believed. `taken` says who takes up
/// a new one by itself.
pub(super) fn of_own(
    check: Check,
    certificate: &Certificate,
    to: ShownTo,
    taken: &str,
    report: &mut Report,
) {
    of_time(check, certificate, taken, report);
    if let Some(doubt) = to.doubt()
        && certificate.is_ca
    {
        let subject = &certificate.subject;
        let what = format!("the certificate of `{subject}` is a CA's own: {doubt}");
        report.warning(check, what, to.advice());
    }
}

/// Tells whether a certificate that this side has itself holds now.
pub(super) fn of_time(check: Check, certificate: &Certificate, taken: &str, report: &mut Report) {
    let (now, what) = (SystemTime::now(), told(certificate));
    if certificate.not_after <= now {
        report.failed(check, what, format!("renew it; {taken}"));
    } else if certificate.not_before.is_some_and(|begin| begin > now) {
        let what = format!("{what}, and does not hold yet");
        report.failed(check, what, "check this machine's clock");
    } else if is_nearly_over(certificate, now) {
        report.warning(check, what, format!("it ends soon: renew it; {taken}"));
    } else {
        report.ok(check, what);
    }
}

/// How long an own port may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
const RENEW: &str =
    "the relay's certificate ends soon: renew it; the relay takes up the new file by itself";

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn certificate_is_nearly_over_in_the_last_tenth_of_its_life() {
        let day = |day: u64| UNIX_EPOCH + Duration::from_hours(24 * day);
        let certificate = |not_before| Certificate {
            subject: String::new(),
            issuer: String::new(),
            not_before,
            not_after: day(190),
            is_ca: false,
            is_self_issued: false,
        };
        for (certificate, now, is_over) in [
            (certificate(Some(day(100))), 180, false),
            (certificate(Some(day(100))), 182, true),
            (certificate(None), 189, false),
            (certificate(None), 191, true),
        ] {
            assert_eq!(is_nearly_over(&certificate, day(now)), is_over, "{now}");
        }
    }
}
