//! Checks `certificate` and `admin_certificate`: can each file be used with its key, and does it hold now?

use std::time::SystemTime;

use adit_process::chain;
use adit_process::tls::Certificate;
use adit_relay::Trial;

use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::{RENEW, is_nearly_over, told};

pub(super) const CERTIFICATE: Check = Check::new("certificate", Hop::Relay);
pub(super) const ADMIN_CERTIFICATE: Check = Check::new("admin_certificate", Hop::Relay);

pub(super) fn check(trial: &Trial, report: &mut Report) {
    match trial.certificate() {
        Ok(Some(certificate)) => holds(CERTIFICATE, &certificate, report),
        Ok(None) => {
            let why = if trial.config().front_door.tls_ended_before {
                "none: TLS ends before the relay, at those whom listen.proxy_protocol_from and listen.forwarded_for_from name"
            } else {
                "none: the relay listens on loopback, without TLS"
            };
            report.ok(CERTIFICATE, why);
        }
        Err(error) => {
            let advice = "name a PEM file with the chain, the relay's own certificate first, and one with its key: listen.certificate, listen.key";
            report.failed(CERTIFICATE, chain(&error), advice);
        }
    }
    match trial.admin_certificate() {
        Ok(Some(certificate)) => holds(ADMIN_CERTIFICATE, &certificate, report),
        Ok(None) if trial.config().admin.address.ip().is_loopback() => {
            report.not_run(
                ADMIN_CERTIFICATE,
                "the private port is on loopback, without TLS",
            );
        }
        Ok(None) => {
            let why = "none, so what does not come by loopback has health and metrics alone";
            report.not_run(ADMIN_CERTIFICATE, why);
        }
        Err(error) => {
            let advice = "name PEM files with the chain, the own certificate first, and with its key: admin.certificate, admin.key";
            report.failed(ADMIN_CERTIFICATE, chain(&error), advice);
        }
    }
}

fn holds(check: Check, certificate: &Certificate, report: &mut Report) {
    let (now, what) = (SystemTime::now(), told(certificate));
    if certificate.not_after <= now {
        let advice = "renew it; the relay takes up the new file by itself";
        report.failed(check, what, advice);
    } else if certificate.not_before.is_some_and(|begin| begin > now) {
        report.failed(
            check,
            format!("{what}, and does not hold yet"),
            "check this machine's clock",
        );
    } else if is_nearly_over(certificate, now) {
        report.warning(check, what, RENEW);
    } else {
        report.ok(check, what);
    }
}
