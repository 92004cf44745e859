//! What a relay goes on in spite of is shown to operators until it is mended.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use adit_relay::status::Problem;
use adit_tests::{
    Endpoint, Fault, TestIssuer, TestRelay, gitlab, gitlab::arrange, pki, relay, scenario, within,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::{
    Report, TOKEN, asked, demanding_token,
    private::{self, HOST},
    until,
};

const DAY: Duration = Duration::from_hours(24);

fn in_days(days: u32) -> SystemTime {
    SystemTime::now() + DAY * days
}

/// What these problems are about.
fn abouts(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| &*problem.about).collect()
}

fn told<'a>(problems: &'a [Problem], about: &str) -> &'a str {
    let found = problems.iter().find(|problem| problem.about == about);
    &found
        .unwrap_or_else(|| panic!("{about} is not in {problems:#?}"))
        .message
}

fn problems_in(answer: &str) -> Vec<Problem> {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let report: Report = serde_json::from_str(body).unwrap();
    report.problems
}

/// Writes a CA that ends then.
fn write_ca(file: &Path, name: &str, end: SystemTime) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_after = end.into();
    let ca = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    fs::write(file, ca.pem()).unwrap();
}

#[test]
fn certificates_and_cas_that_end_within_a_week_are_problems_each_by_its_name() {
    scenario(async {
        for (days, is_near) in [(1, true), (6, true), (8, false)] {
            let folder = tempfile::tempdir().unwrap();
            let (agents, operators) = (folder.path().join("agents"), folder.path().join("ops"));
            write_ca(&agents, "agents' CA", in_days(days));
            write_ca(&operators, "operators' CA", in_days(days));
            let gitlab = gitlab().start().await;
            let secret = format!("api_secret_file: '{}'", gitlab.secret_file().display());
            let relay = relay().asking(&gitlab, &secret);
            let (certificate, key) =
                pki::shared().write_server_until(folder.path(), Some(in_days(days)));
            let (relay, _token) = demanding_token(relay);
            let mut relay = relay
                .with("tunnel", "client_ca_file", agents.display())
                .with("admin", "client_ca_file", operators.display())
                .with("gitlab_api", "address", "127.0.0.1:0");
            for port in ["admin", "gitlab_api"] {
                relay = relay.with(port, "certificate", certificate.display());
                relay = relay.with(port, "key", key.display());
            }
            let relay = relay.start().await;
            let headers = format!("{HOST}{TOKEN}");
            let (status, answer) = private::asked(&relay, None, "GET /status", &headers).await;
            assert_eq!(status, 200, "{answer}");
            let shown = problems_in(&answer);
            if is_near {
                let expected = [
                    "admin_certificate",
                    "gitlab_api_certificate",
                    "client_ca",
                    "admin_client_ca",
                ];
                assert_eq!(abouts(&shown), expected, "{shown:#?}");
                assert!(told(&shown, "admin_certificate").starts_with("it ends at 20"));
                let of_agents = "`agents' CA`, which issues to agents, ends at 20";
                assert!(
                    told(&shown, "client_ca").starts_with(of_agents),
                    "{shown:?}"
                );
                let of_operators = "`operators' CA`, which issues to operators, ends at 20";
                let of_admin = told(&shown, "admin_client_ca");
                assert!(of_admin.starts_with(of_operators), "{shown:?}");
            } else {
                assert_eq!(shown, [], "it ends in {days} days");
            }
            relay.stop().await;
        }
    });
}

#[test]
fn public_certificate_that_ends_within_a_week_is_a_problem_until_it_is_renewed() {
    scenario(async {
        let relay = relay().start().await;
        assert_eq!(super::report(&relay).await.problems, []);
        relay.shorten_certificate();
        relay.reread();
        // What is written in two files may be looked at between them.
        let is_told = |report: &Report| {
            abouts(&report.problems) == ["certificate"]
                && told(&report.problems, "certificate").starts_with("it ends at 20")
        };
        until(&relay, is_told).await;
        relay.renew_certificate();
        relay.reread();
        until(&relay, |report| report.problems.is_empty()).await;
        relay.stop().await;
    });
}

#[test]
fn secret_whose_file_is_of_no_use_is_a_problem_until_it_is_one_again() {
    scenario(async {
        let (relay, folder) = demanding_token(relay());
        let relay = relay.start().await;
        let headers = format!("Host: localhost\r\n{TOKEN}");
        let shown = async |relay: &TestRelay| problems_in(&asked(relay, &headers).await.1);
        assert_eq!(shown(&relay).await, []);
        let file = folder.path().join("token");
        fs::write(&file, "").unwrap();
        relay.reread();
        let problems = within("the problem", async {
            loop {
                let problems = shown(&relay).await;
                if !problems.is_empty() {
                    return problems;
                }
            }
        })
        .await;
        assert_eq!(abouts(&problems), ["secret"]);
        assert!(
            told(&problems, "secret").contains("(admin.token_file)"),
            "{problems:?}"
        );
        fs::write(&file, "0123456789abcdef\n").unwrap();
        relay.reread();
        within("its end", async {
            while !shown(&relay).await.is_empty() {}
        })
        .await;
        relay.stop().await;
    });
}

#[test]
fn configuration_that_keeps_everybody_out_is_a_problem_until_it_does_not() {
    scenario(async {
        let mut relay = relay().without_agents().start().await;
        let shown = super::report(&relay).await.problems;
        assert_eq!(abouts(&shown), ["configuration"]);
        assert!(
            told(&shown, "configuration").starts_with("agents: none is named"),
            "{shown:?}"
        );
        relay.change(|told| told.know_prod());
        assert_eq!(super::report(&relay).await.problems, []);
        relay.change(|told| told.forget_agent("prod"));
        assert_eq!(
            abouts(&super::report(&relay).await.problems),
            ["configuration"]
        );
        relay.stop().await;
    });
}

#[test]
fn issuer_whose_keys_cannot_be_fetched_is_a_problem() {
    scenario(async {
        let issuer = TestIssuer::over_https().await;
        issuer.be_away();
        let relay = relay().believing(issuer).start_unready().await;
        let is_told = |report: &Report| abouts(&report.problems).contains(&"issuer");
        let shown = until(&relay, is_told).await.problems;
        assert_eq!(abouts(&shown), ["readiness", "issuer"]);
        assert!(
            told(&shown, "issuer").starts_with("no key of https://"),
            "{shown:?}"
        );
        relay.issuer().be_back();
        relay.until_ready().await;
        until(&relay, |report| report.problems.is_empty()).await;
        relay.stop().await;
    });
}

#[test]
fn gitlab_that_is_left_alone_is_a_problem() {
    scenario(async {
        let gitlab = gitlab().start().await;
        arrange(&gitlab);
        let relay = relay()
            .asking(&gitlab, "recheck: 100ms, timeout: 300ms")
            .start()
            .await;
        assert_eq!(super::report(&relay).await.problems, []);
        gitlab
            .faults()
            .set(Endpoint::AllowedAgents, Fault::Status(500));
        let is_told = |report: &Report| abouts(&report.problems) == ["gitlab"];
        within("it is left alone", async {
            loop {
                let token = gitlab.world().job("group/sub/app").run_for_token();
                let caller = relay.showing(&format!("Bearer ci:1:{token}"));
                let refused = caller.get("/api").await.refused();
                assert_eq!(refused.reason, "gitlab_unavailable");
                if is_told(&super::report(&relay).await) {
                    return;
                }
            }
        })
        .await;
        relay.stop().await;
    });
}
