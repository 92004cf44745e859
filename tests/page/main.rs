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
    TestRelay, World, agent, body,
    browser::{Browser, DRIVER, Screen},
    caller::{Http2, breaks_off, get},
    kube, pass, relay, scenario, within,
};
use http::Response;
use http_body_util::BodyExt as _;
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
        let version = |_| async { Response::new(body::full(r#"{"gitVersion":"v1.36.0"}"#)) };
        let mut world = World::of(kube().answer("/version", version), relay()).await;
        let http2 = world.job.http2().await;
        lived_in(&world, &http2).await;
        let staging = agent("staging").to(&world.relay).serving(&world.kube);
        let staging = staging.start().await;
        let mut first = http2.send(get(&format!("{PODS}?watch=1"))).await.unwrap();
        world.kube.event("something");
        let event = within("an event", first.body_mut().frame()).await;
        event.unwrap().unwrap();

        let origin = format!("http://{}", world.relay.admin());
        let scriptless = Browser::start().await;
        scriptless.forgo_scripts().await;
        scriptless.open(&origin).await;
        let browser = Browser::start().await;
        browser.show_on(DESK).await;
        browser.open(&origin).await;
        browser.until(&streams_are(1)).await;
        look(&browser, "page").await;
        tells_all(&browser).await;

        // One more appears by itself, on the page that is there.
        browser.run("window.same = true").await;
        let second = http2.send(get("/api/v1/secrets?watch=1")).await.unwrap();
        browser.until(&streams_are(2)).await;
        assert_eq!(browser.run("return window.same").await, Value::Bool(true));

        let id = id_of(&world.relay, "secrets").await;
        browser
            .until(&says("#streams td[data-label=Request]", &id))
            .await;
        cut_by_keyboard(&browser, "stream", &id).await;
        breaks_off(second).await;
        browser.until(&streams_are(1)).await;

        // What is wrong appears as well, and goes when it is mended.
        let file = world.relay.run_by_file();
        let right = fs::read_to_string(&file).unwrap();
        fs::write(&file, "no_such_section: {}\n").unwrap();
        world.relay.reread();
        browser.until(&says("#problems", "no_such_section")).await;
        look(&browser, "problem").await;
        fs::write(&file, right).unwrap();
        world.relay.reread();
        browser
            .until("!document.querySelector('#problems li')")
            .await;

        // Nothing of it went anywhere else, was against its policy, or failed.
        let asked = browser.asked_for().await;
        assert!(!asked.is_empty());
        for url in asked {
            assert!(url.starts_with(&format!("{origin}/")), "{url}");
        }
        assert_eq!(browser.log("browser").await, Vec::<Value>::new());

        // Without a script it loads itself anew.
        let asked = scriptless.until_asked_twice(&format!("{origin}/")).await;
        let script = format!("{origin}/page.js");
        assert!(!asked.contains(&script), "{asked:?}");
        scriptless.stop().await;

        // A relay that is gone leaves what it said last, with a word about that, until it is back.
        drop((first, http2));
        world.relay.kill().await;
        let away = "The relay does not answer: this is how it was before.";
        browser.until(&says("#fresh", away)).await;
        browser.until(&says(".stale #agents", "staging")).await;
        look(&browser, "stale").await;
        world.relay.revive().await;
        let is_fresh = "document.getElementById('fresh').textContent === ''";
        browser.until(is_fresh).await;
        browser.until("!document.querySelector('.stale')").await;
        browser.stop().await;
        staging.stop().await;
        world.stop().await;
    });
}

/// The browser asks for a name and a password, as which the token does.
#[test]
fn page_behind_a_token_is_used_and_a_tunnel_cut_there() {
    if command::find(DRIVER).is_none() {
        return skip::skipped(
            "page_behind_a_token_is_used_and_a_tunnel_cut_there",
            "chromium-driver is missing",
        );
    }
    scenario(async {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, "0123456789abcdef\n").unwrap();
        let relay = relay().with("admin", "token_file", token.display());
        let world = World::of(kube(), relay).await;
        let (status, _) = world.relay.admin_get("/").await;
        assert_eq!(status, 401);
        let browser = Browser::start().await;
        browser.show_on(DESK).await;
        let at = world.relay.admin();
        // As if somebody had typed both: from then on it shows them by itself.
        browser
            .open(&format!("http://me:0123456789abcdef@{at}/"))
            .await;
        browser.open(&format!("http://{at}/")).await;
        browser.until(&says("#agents", "group/sub/app:prod")).await;
        let tunnels = "[...document.querySelectorAll('#agents a.cut')].map(cut => cut.id)";
        let before = browser.run(&format!("return {tunnels}")).await;
        let before = before[0]
            .as_str()
            .unwrap()
            .trim_start_matches("cut-")
            .to_owned();
        browser
            .until(&says("#agents td[data-label=Tunnel]", &before))
            .await;

        cut_by_keyboard(&browser, "tunnel", &before).await;
        // The agent comes again, and the page shows it by itself.
        let is_another = format!("{tunnels}.length === 1 && {tunnels}[0] !== 'cut-{before}'");
        browser.until(&is_another).await;
        let ends = "adit_relay_tunnel_ends_total{cause=\"cut_by_operator\"}";
        assert_eq!(world.relay.metrics().await.value(ends), 1.0);
        browser.stop().await;
        world.stop().await;
    });
}

/// Pictures with something in them, refusals by reason, versions, round trips, and since when.
async fn tells_all(browser: &Browser) {
    let version = env!("CARGO_PKG_VERSION");
    for (place, word) in [
        ("#about", version),
        ("#about", "up since 2"),
        ("#refusals", "credential_missing"),
        ("#pictures", "Time to an answer"),
        ("#pictures", "Bytes"),
        ("#pictures", "Requests"),
        ("#agents td[data-label=Version]", version),
        ("#agents td[data-label=Since]", ":"),
        ("#agents td[data-label='Round trip']", "ms"),
        ("#agents td[data-label=Kubernetes]", "v1."),
        ("#agents td[data-label=Agent]", "group/sub/app:prod"),
        ("#numbers", "of them lasting1"),
        ("#refusals td[data-label=Times]", "6"),
        ("#refusals td[data-label=Means]", "No Authorization header."),
    ] {
        browser.until(&says(place, word)).await;
    }
    for (column, shape) in [
        ("Who", "job 9001 group/sub/app, dev1"),
        ("Kind", "watch"),
        ("What", "watch pods in shop"),
        ("Agent", "group/sub/app:prod"),
        // It grows.
        ("For", "([0-9]+m)?[1-9][0-9]*s"),
        ("In", "0 B"),
        ("Out", "10 B"),
        ("Request", "[0-9a-f]{16}"),
    ] {
        browser.until(&reads("#streams", column, shape)).await;
    }
    for (column, shape) in [
        ("Runs", "1"),
        ("Replica", ".+"),
        ("Tunnel", "[0-9a-f]{32}"),
        ("Since", "20[0-9-]{8} [0-9:]{8}"),
    ] {
        browser.until(&reads("#agents", column, shape)).await;
    }
    let widths = "[...document.querySelectorAll('#pictures svg path.one')].map(line => line.getBBox().width)";
    let drawn = format!("{widths}.length === 3 && {widths}.every(width => width > 20)");
    browser.until(&drawn).await;
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
            // The page's own colours follow.
            let ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)";
            let is_shown = format!(
                "{ground}.every(part => part < 128 === {})",
                scheme == "dark"
            );
            browser.until(&is_shown).await;
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
async fn cut_by_keyboard(browser: &Browser, kind: &str, id: &str) {
    let focused = format!("document.activeElement?.id === 'cut-{id}'");
    press_until(browser, &focused).await;
    // A stream's row tells its age, and so is put anew; the focus stays.
    let row = format!("window.row = document.getElementById('{kind}-{id}')");
    browser.run(&row).await;
    browser.until("!window.row?.isConnected").await;
    browser.until(&focused).await;
    browser.press(ENTER).await;
    let asks = format!("document.querySelector('h1')?.textContent === 'Cut this {kind}?'");
    browser.until(&asks).await;
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

fn says(place: &str, word: &str) -> String {
    let found = format!("[...document.querySelectorAll(`{place}`)]");
    format!("{found}.some(one => one.textContent.includes('{word}'))")
}

/// The first row of a table has such a text in this column.
fn reads(table: &str, column: &str, shape: &str) -> String {
    let cell = format!("document.querySelector(`{table} td[data-label='{column}']`)");
    format!(
        "/^{}$/.test({cell}?.textContent.trim() ?? '')",
        shape.replace('/', "\\/")
    )
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
