//! The operators' page, as far as a browser is not needed to see it: what it says, who gets it, and what its forms do.

use adit_tests::{
    World,
    caller::{breaks_off, get},
    kube, pass, relay, scenario, world,
};

use super::{PODS, asked_for, asked_with, cut::only_stream, demanding_token, report};

const HOST: &str = "Host: localhost\r\n";

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
        assert!(
            page.contains("content-security-policy: default-src 'none'; script-src 'self';"),
            "{page}"
        );
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
        world.job.get("/api").await.echo();
        let refused = world.job.anonymous().get("/api").await;
        assert_eq!(refused.status, 401);
        pass(std::time::Duration::from_secs(21)).await;
        let history = report(&world.relay).await.history;
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        assert_eq!(history.every, 10);
        assert_eq!((sum(&history.answered), sum(&history.refused)), (1, 1));
        assert!(sum(&history.answer_bytes) > 0);
        assert_eq!(history.median_ms.len(), history.answered.len());
        assert!(history.median_ms[0].is_some_and(|took| took > 0.0));
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
