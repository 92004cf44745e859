//! Upgraded connections and watches that are silent for long, and what ends them: the network, the token, or nobody.

use std::time::{SystemTime, UNIX_EPOCH};

use adit_tests::balancer::{Balancer, Program};
use adit_tests::body::full;
use adit_tests::{World, job, kube, relay, scenario};
use http::{Response, StatusCode};

use super::{PODS, WHO, answering_pings, cluster, cutting_after, examined, knowing};
use crate::support::{Doctor, Examined};

#[test]
fn silent_connection_that_lives_is_told() {
    scenario(async {
        let examined = examined(cluster(), &["--idle", "50ms"]).await;
        examined.is_well_but_for(&[]);
    });
}

#[test]
fn silent_connection_that_is_cut_is_told() {
    scenario(async {
        let examined = examined(cutting_after(1), &["--idle", "50ms"]).await;
        examined.is_broken_at("idle", "network", "idle timeout");
        assert!(
            examined
                .what("idle")
                .starts_with("a silent WebSocket was dead"),
            "{examined}"
        );
        assert_eq!(examined.outcome("upgrade"), "ok", "{examined}");
    });
}

/// The relay ends the watch with the token: the network is not to blame, and nobody waits for that.
#[test]
fn silence_that_the_token_does_not_outlive_is_not_tried() {
    scenario(async {
        let world = World::of(cluster(), relay()).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let token = world.relay.issuer().signed(&job(9001), |claims| {
            claims.insert("exp".to_owned(), (now.as_secs() + 50).into());
        });
        let asked = async |idle: &str| {
            let doctor = Doctor::of_job(&world.relay).env("ADIT_ID_TOKEN", &token);
            let doctor = doctor.arg("--namespace").arg("shop");
            doctor.arg("--idle").arg(idle).examine().await
        };
        let long = asked("75s").await;
        long.is_well_but_for(&["idle"]);
        let told = long.what("idle");
        assert!(told.starts_with("the token ends in "), "{long}");
        assert!(told.contains("name less by --idle"), "{long}");
        assert_eq!(asked("50ms").await.outcome("idle"), "ok");
        world.stop().await;
    });
}

/// Whoever refused it is to blame, and no idle timeout.
#[test]
fn watch_that_is_refused_beside_the_silence_is_told_by_whom() {
    const FULL: &str = r#"{"message":"the relay is full","details":{"causes":[{"reason":"AditHop","message":"relay"}]}}"#;
    let refusing = |status: StatusCode, body: &'static str| {
        let kube = kube().answer(PODS, move |_| async move {
            let mut answer = Response::new(full(body));
            *answer.status_mut() = status;
            answer
        });
        let kube = answering_pings(knowing(kube, StatusCode::CREATED, WHO));
        async move { examined(kube, &["--idle", "50ms"]).await }
    };
    scenario(async move {
        let relays = refusing(StatusCode::TOO_MANY_REQUESTS, FULL).await;
        relays.is_broken_at("idle", "relay", "docs/errors.md");
        let told = relays.what("idle");
        let words = "a watch did not open: 429 Too Many Requests the relay is full";
        assert_eq!(told, words, "{relays}");
        assert_eq!(relays.outcome("upgrade"), "ok", "{relays}");
    });
    scenario(async move {
        let balancers = refusing(StatusCode::SERVICE_UNAVAILABLE, "<html>").await;
        balancers.is_broken_at("idle", "network", "by something in between");
        assert!(
            !balancers.to_string().contains("idle timeout"),
            "{balancers}"
        );
    });
    scenario(async move {
        let clusters = refusing(StatusCode::TOO_MANY_REQUESTS, r#"{"message":"busy"}"#).await;
        clusters.is_well_but_for(&["idle"]);
        assert!(clusters.what("idle").contains("busy"), "{clusters}");
    });
}

/// By an nginx with the settings that `docs/networks.md` prints, and these changed.
async fn behind_nginx(world: &World, from: &str, to: &str, more: &[&str]) -> Examined {
    behind((Program::Nginx, "nginx"), world, from, to, more).await
}

async fn behind(
    (program, heading): (Program, &str),
    world: &World,
    from: &str,
    to: &str,
    more: &[&str],
) -> Examined {
    let balancer = Balancer::start(program, &world.relay, heading, |settings| {
        assert!(settings.contains(from), "{from}: {settings}");
        settings.replace(from, to)
    });
    let balancer = balancer.await;
    let doctor = Doctor::of_job(&world.relay).calling(balancer.address());
    let doctor = doctor.arg("--namespace").arg("shop");
    let doctor = more.iter().fold(doctor, |doctor, more| doctor.arg(more));
    doctor.examine().await
}

#[test]
fn nginx_that_keeps_upgrades_back_or_cuts_the_silent_is_told() {
    let name = "job::cluster::silence::nginx_that_keeps_upgrades_back_or_cuts_the_silent_is_told";
    if !Program::Nginx.is_there(name) {
        return;
    }
    scenario(async {
        let world = World::of(cluster(), relay()).await;
        let (read, short) = ("proxy_read_timeout      1h", "proxy_read_timeout 1s");
        let well = behind_nginx(&world, read, read, &["--idle", "50ms"]).await;
        assert_eq!((well.code, well.outcome("idle")), (0, "ok"), "{well}");
        well.warns("http", "ends TLS");
        let cutting = behind_nginx(&world, read, short, &["--idle", "1m"]).await;
        cutting.is_broken_at("idle", "network", "raise the idle timeout");
        assert_eq!(cutting.outcome("upgrade"), "ok", "{cutting}");
        let upgrade = "proxy_set_header Upgrade         $http_upgrade;";
        let keeping = behind_nginx(&world, upgrade, "", &[]).await;
        keeping.is_broken_at("upgrade", "network", "takes the field Upgrade out");
        keeping.did_not_run(&["idle"], "upgrade");
        world.stop().await;
    });
}

/// It has one patience with watches, and another with what was upgraded.
#[test]
fn haproxy_that_cuts_one_of_the_silent_is_told_by_which() {
    let name = "job::cluster::silence::haproxy_that_cuts_one_of_the_silent_is_told_by_which";
    if !Program::HaProxy.is_there(name) {
        return;
    }
    scenario(async {
        let world = World::of(cluster(), relay()).await;
        let cutting = async |from: &str, to: &str| {
            let haproxy = (Program::HaProxy, "HAProxy, HTTP");
            behind(haproxy, &world, from, to, &["--idle", "2s"]).await
        };
        let (server, tunnel) = ("timeout server 1h", "timeout tunnel 1h");
        let (well, watches, upgraded) = tokio::join!(
            cutting(server, server),
            cutting(server, "timeout server 1s"),
            cutting(tunnel, "timeout tunnel 1s"),
        );
        assert_eq!((well.code, well.outcome("idle")), (0, "ok"), "{well}");
        for (examined, dead, lives) in [
            (watches, "a silent watch was dead", "WebSocket"),
            (upgraded, "a silent WebSocket was dead", "watch"),
        ] {
            examined.is_broken_at("idle", "network", "raise the idle timeout");
            let told = examined.what("idle");
            assert!(
                told.starts_with(dead) && !told.contains(lives),
                "{examined}"
            );
        }
        world.stop().await;
    });
}
