//! The operators' page in a real browser: at a desk and on a phone, by day and by night, by keyboard alone.
//!
//! Pictures of it lie below the build directory, in `tmp/page`. Where there is no browser the test is skipped, and says so.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a failure is a panic with a place"
)]

use std::{fs, path::Path, time::Duration};

use adit_tests::{
    TestRelay, World, agent,
    browser::{Browser, DRIVER, Screen},
    caller::{Http2, breaks_off, get},
    pass, scenario, world,
};
use serde_json::Value;
use xtask::{command, skip};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const DESK: Screen = Screen {
    width: 1200,
    height: 1000,
    scheme: "light",
};
const PHONE: Screen = Screen {
    width: 360,
    height: 1600,
    scheme: "light",
};
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

#[test]
fn page_is_seen_and_used_in_a_browser() {
    if command::find(DRIVER).is_none() {
        return skip::skipped(
            "page_is_seen_and_used_in_a_browser",
            "chromium-driver is missing",
        );
    }
    scenario(async {
        let world = world().await;
        let http2 = world.job.http2().await;
        lived_in(&world, &http2).await;
        let staging = agent("staging").to(&world.relay).serving(&world.kube);
        let staging = staging.start().await;
        let first = http2.send(get(&format!("{PODS}?watch=1"))).await.unwrap();

        let browser = Browser::start().await;
        let origin = format!("http://{}", world.relay.admin());
        browser.show_on(DESK).await;
        browser.open(&origin).await;
        browser.until(&streams_are(1)).await;
        look(&browser, "page").await;

        // One more appears by itself, on the page that is there.
        browser.run("window.same = true").await;
        let second = http2.send(get("/api/v1/secrets?watch=1")).await.unwrap();
        browser.until(&streams_are(2)).await;
        assert_eq!(browser.run("return window.same").await, Value::Bool(true));

        let id = id_of(&world.relay, "secrets").await;
        cut_by_keyboard(&browser, &id).await;
        breaks_off(second).await;
        browser.until(&streams_are(1)).await;

        // Nothing of it went anywhere else, was against its policy, or failed.
        let asked = browser.asked_for().await;
        assert!(!asked.is_empty());
        for url in asked {
            assert!(url.starts_with(&format!("{origin}/")), "{url}");
        }
        assert_eq!(browser.log("browser").await, Vec::<Value>::new());
        browser.stop().await;
        drop((first, http2));
        staging.stop().await;
        world.stop().await;
    });
}

/// Half an hour of requests of all kinds, but for the waiting.
async fn lived_in(world: &World, http2: &Http2) {
    for round in 0..30_usize {
        for _ in 0..round % 7 {
            http2.get("/api/v1/pods").await.echo();
        }
        if round % 5 == 0 {
            let refused = world.job.anonymous().get("/api").await;
            assert_eq!(refused.status, 401);
        }
        pass(Duration::from_secs(10)).await;
    }
}

/// Takes pictures at a desk and on a phone, in both schemes, and sees that none is wider than its screen.
async fn look(browser: &Browser, name: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    for (place, screen) in [("phone", PHONE), ("desk", DESK)] {
        for scheme in ["dark", "light"] {
            browser.show_on(Screen { scheme, ..screen }).await;
            let is_dark = format!(
                "matchMedia('(prefers-color-scheme: dark)').matches === {}",
                scheme == "dark"
            );
            browser.until(&is_dark).await;
            let root = "document.documentElement";
            let is_too_wide = format!("return {root}.scrollWidth > {root}.clientWidth");
            let is_too_wide = browser.run(&is_too_wide).await;
            assert_eq!(is_too_wide, Value::Bool(false), "{name} on a {place}");
            let file = folder.join(format!("{name}-{place}-{scheme}.png"));
            fs::write(file, browser.picture().await).unwrap();
        }
    }
}

/// Goes there by Tab, waits while the page changes beneath, and confirms.
async fn cut_by_keyboard(browser: &Browser, id: &str) {
    let focused = format!("document.activeElement?.id === 'cut-{id}'");
    press_until(browser, &focused).await;
    // The row tells its age, and so is put anew; the focus stays.
    browser
        .run(&format!(
            "window.row = document.getElementById('stream-{id}')"
        ))
        .await;
    browser.until("!window.row.isConnected").await;
    browser.until(&focused).await;
    browser.press(ENTER).await;
    browser
        .until("document.querySelector('h1')?.textContent === 'Cut this stream?'")
        .await;
    look(browser, "confirm").await;
    press_until(browser, "document.activeElement?.tagName === 'BUTTON'").await;
    browser.press(ENTER).await;
    browser.until("location.pathname === '/'").await;
}

async fn press_until(browser: &Browser, is_so: &str) {
    for _ in 0..30 {
        browser.press(TAB).await;
        if browser.run(&format!("return {is_so}")).await == Value::Bool(true) {
            return;
        }
    }
    panic!("no Tab leads to where {is_so}");
}

fn streams_are(count: usize) -> String {
    format!("document.querySelectorAll('#streams tbody tr').length === {count}")
}

async fn id_of(relay: &TestRelay, resource: &str) -> String {
    let (_, text) = relay.admin_get("/status").await;
    let report: Value = serde_json::from_str(&text).unwrap();
    let streams = report["streams"]["shown"].as_array().unwrap();
    let found = streams.iter().find(|stream| stream["resource"] == resource);
    found.unwrap()["request_id"].as_str().unwrap().to_owned()
}
