//! Checks `certificate`, `client_ca`, `admin_certificate` and `admin_client_ca`: can the files be used, of an own certificate with the key, and do they
//! hold now?

use adit_process::chain;
use adit_process::tls::{Certificate, ShownTo};
use adit_relay::Trial;

use crate::doctor::finding::{Check, Hop, Report};
use crate::doctor::network::{of_own, of_time};

pub(super) const CERTIFICATE: Check = Check::new("certificate", Hop::Relay);
pub(super) const CLIENT_CA: Check = Check::new("client_ca", Hop::Relay);
pub(super) const ADMIN_CERTIFICATE: Check = Check::new("admin_certificate", Hop::Relay);
pub(super) const ADMIN_CLIENT_CA: Check = Check::new("admin_client_ca", Hop::Relay);

pub(super) fn check(trial: &Trial, report: &mut Report) {
    public(trial, report);
    admin(trial, report);
}

fn public(trial: &Trial, report: &mut Report) {
    match trial.certificate() {
        Ok(Some(certificate)) => of_own(CERTIFICATE, &certificate, ShownTo::Agents, TAKEN, report),
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
            report.not_run(CLIENT_CA, "needs certificate");
            return;
        }
    }
    match trial.client_cas() {
        Ok(Some(cas)) => of_clients(CLIENT_CA, &cas, report),
        Ok(None) => report.not_run(CLIENT_CA, "agents need no certificate"),
        Err(error) => {
            let advice = "name a PEM file with the CAs that issue to agents: tunnel.client_ca_file";
            report.failed(CLIENT_CA, chain(&error), advice);
        }
    }
}

fn admin(trial: &Trial, report: &mut Report) {
    match trial.admin_certificate() {
        Ok(Some(certificate)) => of_own(
            ADMIN_CERTIFICATE,
            &certificate,
            ShownTo::Operators,
            TAKEN,
            report,
        ),
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
            report.not_run(ADMIN_CLIENT_CA, "needs admin_certificate");
            return;
        }
    }
    match trial.admin_client_cas() {
        Ok(Some(cas)) => of_clients(ADMIN_CLIENT_CA, &cas, report),
        Ok(None) => report.not_run(ADMIN_CLIENT_CA, "operators show no certificate"),
        Err(error) => {
            let advice =
                "name a PEM file with the CAs that issue to operators: admin.client_ca_file";
            report.failed(ADMIN_CLIENT_CA, chain(&error), advice);
        }
    }
}

fn of_clients(check: Check, cas: &[Certificate], report: &mut Report) {
    for ca in cas {
        of_time(check, ca, TAKEN, report);
        if !ca.is_ca {
            let what = format!(
                "the certificate of `{}` is no CA's: it lets in who shows that very certificate, and nobody else",
                ca.subject
            );
            let advice = "if it is a server's, or is to issue others, put that of the CA there which issues to clients";
            report.warning(check, what, advice);
        }
    }
}

pub(super) const TAKEN: &str = "the relay takes up the new file by itself";
