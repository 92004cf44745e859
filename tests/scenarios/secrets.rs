//! A secret that nobody could overlook stands in every place where a secret may stand; none is ever logged, recorded, counted, or
//! told, at any level of logging.

use adit_tests::{
    Answer, AuditLog, World, agent, body,
    caller::{get, request},
    job, kube, logs, relay, scenario_logging, until, within,
};
use http::{HeaderValue, Method, header};

/// Everything of ours; the libraries below log heads at this level, which is why it is no default of theirs.
const ALL: &str = "off,adit=trace,adit_relay=trace,adit_agent=trace,adit_tunnel=trace,adit_exchange=trace,adit_authority=trace,adit_process=trace,adit_mux=trace";

#[test]
fn secrets_are_never_logged_counted_or_told() {
    scenario_logging(ALL, async {
        let log = AuditLog::default();
        let mut world = World::of(kube(), log.of(relay())).await;
        let token = world.relay.issuer().token(&job(9001));
        let signature = token.rsplit('.').next().unwrap().to_owned();
        let expired = world.relay.issuer().signed(&job(9001), |claims| {
            drop(claims.insert("exp".into(), 1.into()))
        });
        let mut told = Vec::new();

        // Good requests, with secrets all over.
        let (http2, mut http1) = (
            world
                .job
                .showing(&format!("Bearer ci:1:{token}"))
                .http2()
                .await,
            world.job.http1().await,
        );
        let secret = || {
            let mut secret = request(
                Method::POST,
                "/api?password=canary-in-query",
                body::full("canary-in-body"),
            );
            for (name, value) in [
                ("cookie", "canary-in-cookie"),
                ("x-secret", "canary-in-header"),
            ] {
                secret
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            secret
        };
        http2.answer(secret()).await.echo();
        http1.answer(secret()).await.echo();

        // Refused ones: each with a secret where the mistake is.
        for value in [
            "Basic canary-basic".to_owned(),
            "canary-without-scheme".to_owned(),
            "Bearer canary-joined, canary-joined".to_owned(),
            "Bearer ci:canary-no-number:x".to_owned(),
            format!("Bearer ci:1:{expired}"),
            format!("Bearer ci:1:{}canary", token),
            "Bearer ci:1:canary-malformed".to_owned(),
            format!("Bearer ci:3:{token}"),
        ] {
            told.push(world.job.showing(&value).get("/api").await);
        }
        let mut impersonating = secret();
        impersonating
            .headers_mut()
            .insert("impersonate-user", HeaderValue::from_static("canary-user"));
        told.push(http2.answer(impersonating).await);
        let mut protocol = get("/upgrade");
        protocol.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static("base64url.bearer.authorization.k8s.io.canary"),
        );
        told.push(http2.answer(protocol).await);

        // An agent that is not known, one whose call breaks off, an API server that goes away.
        let folder = tempfile::tempdir().unwrap();
        let unknown = folder.path().join("token");
        std::fs::write(&unknown, "canary-unknown-agent-token").unwrap();
        let stranger = agent("staging")
            .to(&world.relay)
            .serving(&world.kube)
            .with("relay", "token_file", unknown.display())
            .start_anyway()
            .await;
        until("the stranger was refused", || {
            logs().contains("adit token new")
        })
        .await;
        let (answer, ()) = tokio::join!(
            http2.send(request(
                Method::POST,
                "/never",
                body::full("canary-in-body")
            )),
            async {
                world.kube.until_open(1).await;
                world.kube.kill().await;
            }
        );
        told.push(
            within("its end", Answer::of(answer.unwrap()))
                .await
                .unwrap(),
        );
        told.push(http2.answer(secret()).await);

        let metrics = format!(
            "{}{}",
            world.relay.metrics().await.0,
            world.agent.metrics().await.0
        );
        let told: String = told
            .iter()
            .map(|answer| format!("{:?} {}", answer.headers, answer.text()))
            .collect();
        drop((http2, http1));
        stranger.stop().await;
        world.stop().await;
        for (place, text) in [
            ("the log", logs()),
            ("the audit log", log.text()),
            ("the metrics", metrics),
            ("an answer", told),
        ] {
            assert!(!text.is_empty(), "{place}");
            for secret in [
                "canary",
                signature.as_str(),
                token.split('.').nth(1).unwrap(),
            ] {
                if let Some(line) = text.lines().find(|line| line.contains(secret)) {
                    panic!("{place} shows a secret: {line}");
                }
            }
        }
    });
}
