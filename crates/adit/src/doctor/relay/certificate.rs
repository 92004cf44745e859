//! Check `certificate`: can the file be used with the key, and does it hold now?

use std::time::SystemTime;

use adit_process::chain;
use adit_relay::Trial;

use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::{RENEW, is_nearly_over, told};

pub(super) const CERTIFICATE: Check = Check::new("certificate", Hop::Relay);

pub(super) fn check(trial: &Trial, report: &mut Report) {
    let certificate = match trial.certificate() {
        Ok(Some(certificate)) => certificate,
        Ok(None) => {
            let why = if trial.config().front_door.tls_ended_before {
                "none: TLS ends before the relay, at those whom listen.proxy_protocol_from and listen.forwarded_for_from name"
            } else {
                "none: the relay listens on loopback, without TLS"
            };
            report.ok(CERTIFICATE, why);
            return;
        }
        Err(error) => {
            let advice = "name a PEM file with the chain, the relay's own certificate first, and one with its key: listen.certificate, listen.key";
            report.failed(CERTIFICATE, chain(&error), advice);
            return;
        }
    };
    let (now, what) = (SystemTime::now(), told(&certificate));
    if certificate.not_after <= now {
        let advice = "renew it; the relay takes up the new file by itself";
        report.failed(CERTIFICATE, what, advice);
    } else if certificate.not_before.is_some_and(|begin| begin > now) {
        report.failed(
            CERTIFICATE,
            format!("{what}, and does not hold yet"),
            "check this machine's clock",
        );
    } else if is_nearly_over(&certificate, now) {
        report.warning(CERTIFICATE, what, RENEW);
    } else {
        report.ok(CERTIFICATE, what);
    }
}
