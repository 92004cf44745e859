//! A real browser, headless, steered as its users steer it: by the WebDriver protocol (W3C), of which this speaks what is needed.
//!
//! No library: of those that are kept, `fantoccini` stands on a crate under a licence that we do not take, and `thirtyfour` changes how
//! every program of the workspace orders JSON. Invariant: driver and browser end with the value.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::Raw;

/// What must be installed for one.
pub const DRIVER: &str = "chromedriver";

/// A running browser with one page.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    /// Held open: it says more later.
    _said: BufReader<ChildStdout>,
    _home: TempDir,
}

/// What a page is shown on.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
}

impl Browser {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut driver = Command::new(DRIVER)
            .arg("--port=0")
            // What both leave behind goes with it.
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let port = port(&mut said);
        let mut browser = Self {
            driver,
            address: format!("127.0.0.1:{port}"),
            session: String::new(),
            _said: said,
            _home: home,
        };
        let begun = browser.ask("POST", "/session", &capabilities()).await;
        browser.session = begun["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    /// Loads a page.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Runs no scripts of pages that are loaded from now on.
    pub async fn forgo_scripts(&self) {
        let forgone = json!({ "value": true });
        self.devtools("Emulation.setScriptExecutionDisabled", forgone)
            .await;
    }

    /// What a script of ours returns.
    pub async fn run(&self, script: &str) -> Value {
        let body = json!({ "script": script, "args": [] });
        self.post("/execute/sync", body).await
    }

    /// Waits until a script of ours returns true.
    ///
    /// # Panics
    ///
    /// When it takes longer than a browser does on a busy machine.
    pub async fn until(&self, script: &str) {
        let began = Instant::now();
        while self.run(&format!("return {script}")).await != Value::Bool(true) {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {script}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses a key and lets it go.
    pub async fn press(&self, key: char) {
        let keys = ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let actions = json!([{ "type": "key", "id": "keyboard", "actions": keys }]);
        self.post("/actions", json!({ "actions": actions })).await;
    }

    /// Shows the page on that from now on.
    pub async fn show_on(&self, screen: Screen) {
        let Screen {
            width,
            height,
            scheme,
        } = screen;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    /// A picture of what is seen, as PNG.
    ///
    /// # Panics
    ///
    /// When the browser makes none.
    pub async fn picture(&self) -> Vec<u8> {
        let picture = self.session_ask("GET", "/screenshot", &json!({})).await;
        BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }

    /// What its log of this kind has new: `browser` is what a page's console shows, `performance` what it asked for.
    ///
    /// # Panics
    ///
    /// When the browser keeps none.
    pub async fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.post("/se/log", json!({ "type": kind })).await;
        log.as_array().unwrap().clone()
    }

    /// Each address that was asked for since the last time.
    pub async fn asked_for(&self) -> Vec<String> {
        let log = self.log("performance").await;
        let event = |entry: &Value| -> Value {
            serde_json::from_str(entry["message"].as_str().unwrap()).unwrap()
        };
        let requests = log.iter().map(event).filter_map(|event| {
            let message = &event["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            is_request.then(|| {
                message["params"]["request"]["url"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
        });
        requests.collect()
    }

    /// Waits until it has asked for this address twice; gives all that it asked for.
    ///
    /// # Panics
    ///
    /// When it does not within the time that a browser takes on a busy machine.
    pub async fn until_asked_twice(&self, url: &str) -> Vec<String> {
        let began = Instant::now();
        let mut asked = self.asked_for().await;
        while asked.iter().filter(|one| *one == url).count() < 2 {
            assert!(began.elapsed() < PATIENCE, "only {asked:?}");
            sleep(Duration::from_millis(20)).await;
            asked.extend(self.asked_for().await);
        }
        asked
    }

    /// Ends it.
    pub async fn stop(self) {
        self.session_ask("DELETE", "", &json!({})).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("/goog/cdp/execute", body).await;
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.session_ask("POST", path, &body).await
    }

    async fn session_ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.ask(method, &path, body).await
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let asked = async {
            let mut connection = Raw::new(TcpStream::connect(&self.address).await.unwrap());
            let body = body.to_string();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                self.address,
                body.len()
            );
            connection.write(request).await.unwrap();
            let (status, _, body) = connection.answer().await.expect("the driver answers");
            let mut answer: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(status, 200, "{method} {path}: {answer}");
            answer["value"].take()
        };
        let answer = timeout(PATIENCE, asked).await;
        answer.unwrap_or_else(|_| panic!("the driver does not answer {method} {path}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.driver.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.driver.wait();
    }
}

/// Where the driver listens, as it says once it does.
fn port(said: &mut impl BufRead) -> String {
    let told = said.lines().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        Some(port.trim_end_matches('.').to_owned())
    });
    told.expect("the driver tells its port")
}

fn capabilities() -> Value {
    let arguments = [
        "--headless=new",
        // It runs as root in a container as well, where its sandbox cannot.
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ];
    json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    } } })
}

/// For one step, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);
