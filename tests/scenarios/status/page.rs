//! The operators' page, as far as a browser is not needed to see it: what it says, who gets it, and what its forms do.

use std::collections::BTreeSet;

use adit_relay::status::Agent;
use adit_tests::{
    World, body,
    caller::{breaks_off, get, request},
    kube, pass, relay, scenario, world,
};
use http::Method;

use super::{PODS, asked_for, asked_with, cut::only_stream, demanding_token, report, until};

const HOST: &str = "Host: localhost\r\n";

#[test]
fn agents_that_are_not_shown_are_counted_as_connected() {
    scenario(async {
        let world = World::of(kube(), relay().behind_others(1000)).await;
        let shown = until(&world.relay, |report| report.connected == Some(1)).await;
        assert_eq!((shown.agents.count, shown.agents.left_out()), (1003, 3));
        let is_away = |agent: &Agent| agent.replicas.is_empty();
        assert!(shown.agents.shown.iter().all(is_away));
        let (status, page) = asked_for(&world.relay, "GET /", HOST).await;
        assert_eq!(status, 200, "{page}");
        let told = "<dt>agents connected</dt><dd>1 <small>of 1003</small></dd>";
        assert!(page.contains(told), "{told} is not in\n{page}");
        world.stop().await;
    });
}

#[test]
fn page_shows_what_there_is_and_asks_for_nothing_elsewhere() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let watched = get(&format!("{PODS}?watch=1&continue=secret-in-a-query"));
        let watch = http2.send(watched).await.unwrap();
        let id = only_stream(&world.relay).await;
        let (status, page) = asked_for(&world.relay, "GET /", HOST).await;
        assert_eq!(status, 200, "{page}");
        let policy = adit_tests::raw::field(&page, "content-security-policy");
        assert_eq!(
            policy.unwrap().split("; ").collect::<BTreeSet<_>>(),
            BTreeSet::from([
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "img-src 'self'",
                "connect-src 'self'",
                "form-action 'self'",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            ])
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
        ] {
            let found = adit_tests::raw::field(&page, name);
            assert_eq!(found, Some(value), "{name}");
        }
        for told in [&*id, "job 9001", "watch", "group/sub/app:prod"] {
            assert!(page.contains(told), "{told} is not in\n{page}");
        }
        for elsewhere in ["http://", "https://", "\"//", "secret-in-a-query"] {
            assert!(!page.contains(elsewhere), "{elsewhere} is in\n{page}");
        }
        for part in ["/page.css", "/page.js", "/page.svg"] {
            assert!(page.contains(part), "{part} is not in\n{page}");
            let (status, part) = asked_for(&world.relay, &format!("GET {part}"), HOST).await;
            assert_eq!(status, 200, "{part}");
            let sniffed = adit_tests::raw::field(&part, "x-content-type-options");
            assert_eq!(sniffed, Some("nosniff"), "{part}");
        }
        drop((watch, http2));
        world.stop().await;
    });
}

#[test]
fn page_that_did_not_change_is_not_sent_again() {
    scenario(async {
        let world = world().await;
        let (_, page) = asked_for(&world.relay, "GET /", HOST).await;
        let tag = adit_tests::raw::field(&page, "etag").unwrap();
        let known = format!("{HOST}If-None-Match: {tag}\r\n");
        let (status, again) = asked_for(&world.relay, "GET /", &known).await;
        assert_eq!(status, 304);
        assert!(again.ends_with("\r\n\r\n"), "{again}");
        let refused = world.job.anonymous().get("/api").await;
        assert_eq!(refused.status, 401);
        let (status, _) = asked_for(&world.relay, "GET /", &known).await;
        assert_eq!(status, 200);
        world.stop().await;
    });
}

#[test]
fn last_hour_is_told_in_pieces() {
    scenario(async {
        let world = world().await;
        assert!(report(&world.relay).await.history.is_empty());
        let http2 = world.job.http2().await;
        let upload = request(Method::PUT, "/sink", body::pattern(100_000));
        assert_eq!(http2.answer(upload).await.status, 200);
        let refused = world.job.anonymous().get("/api").await;
        assert_eq!(refused.status, 401);
        tokio::select! {
            _ = http2.send(get("/never")) => panic!("nobody answers"),
            () = world.kube.until_open(1) => {}
        }
        world.kube.until_open(0).await;
        let cancelled = "adit_relay_requests_total{outcome=\"cancelled\",class=\"read\"}";
        world
            .relay
            .until_metric(cancelled, |count| count == 1.0)
            .await;
        pass(std::time::Duration::from_secs(21)).await;
        let history = report(&world.relay).await.history;
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        assert_eq!(history.every, 10);
        let counts = [&history.answered, &history.refused, &history.cancelled];
        assert_eq!(counts.map(|counts| sum(counts)), [1, 1, 1]);
        assert_eq!(sum(&history.request_bytes), 100_000);
        assert!((1..100_000).contains(&sum(&history.answer_bytes)));
        assert_eq!(history.median_ms.len(), history.answered.len());
        assert!(history.median_ms[0].is_some_and(|took| took > 0.0));
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn token_is_a_browsers_password() {
    scenario(async {
        let (relay, _folder) = demanding_token(relay());
        let world = World::of(kube(), relay).await;
        let (status, refused) = asked_for(&world.relay, "GET /", HOST).await;
        assert_eq!(status, 401);
        let asks = "www-authenticate: Basic realm=\"adit relay\"";
        assert!(refused.contains(asks), "{refused}");
        // `me:0123456789abcdef`
        let shown = format!("{HOST}Authorization: Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg==\r\n");
        assert_eq!(asked_for(&world.relay, "GET /", &shown).await.0, 200);
        let link = "GET /status/streams/5b0c/cut";
        assert_eq!(asked_for(&world.relay, link, HOST).await.0, 401);
        assert_eq!(asked_for(&world.relay, link, &shown).await.0, 404);
        world.stop().await;
    });
}

#[test]
fn form_of_the_page_cuts_and_another_sites_does_not() {
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        let watched = get(&format!("{PODS}?watch=1"));
        let watch = http2.send(watched).await.unwrap();
        let id = only_stream(&world.relay).await;
        let form = format!("confirm={id}");
        let what = format!("POST /status/streams/{id}/cut");
        let send = async |headers: &str| {
            let headers = format!(
                "{HOST}Accept: text/html\r\nContent-Length: {}\r\n{headers}",
                form.len()
            );
            asked_with(&world.relay, &what, &headers, &form).await
        };
        let (status, _) = send("Origin: http://evil.example\r\n").await;
        assert_eq!(status, 403);
        // A browser always says whose a form is.
        let (status, page) = send("").await;
        assert_eq!(status, 400);
        assert!(page.contains("Nothing was cut"), "{page}");
        assert_eq!(only_stream(&world.relay).await, id);

        let (status, done) = send("Origin: http://localhost\r\n").await;
        assert_eq!(status, 303);
        assert!(done.contains("location: /\r\n"), "{done}");
        breaks_off(watch).await;
        drop(http2);
        world.stop().await;
    });
}
