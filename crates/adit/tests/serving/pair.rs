//! A relay and an agent, each a process of its own, and a job that calls through both: how a second signal ends them, and what their
//! logs hold.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_tests::caller::{breaks_off, get, next_piece};
use adit_tests::{AgentBuilder, Caller, Kube, TestRelay, agent, job, kube, relay, scenario};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::process::{SOON, adit, signal};

/// Its standard output and its log are files, which it never waits for.
struct Process {
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Process {
    fn start(kind: &str, config: &Path, flags: &[&str], folder: &Path) -> Self {
        let (output, log) = (
            folder.join(format!("{kind}.out")),
            folder.join(format!("{kind}.log")),
        );
        let mut command = adit(&[kind, "--config", config.to_str().unwrap()]);
        let child = command
            .args(flags)
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn();
        Self {
            child: child.unwrap(),
            output,
            log,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    async fn says(&self, words: &str) {
        let said = async {
            while !self.log().contains(words) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let said = timeout(SOON, said).await;
        said.unwrap_or_else(|_| panic!("it does not say `{words}`: {}", self.log()));
    }

    /// After SIGTERM it still runs, and says so.
    async fn drains(&mut self) {
        signal(&self.child, "TERM").await;
        self.says("draining; a second signal ends at once").await;
        assert_eq!(self.child.try_wait().unwrap(), None);
    }

    async fn ends(&mut self) -> Option<i32> {
        let ended = timeout(SOON, self.child.wait()).await;
        ended
            .expect("it ends long before its grace")
            .unwrap()
            .code()
    }
}

struct Pair {
    kube: Kube,
    /// It has ended: the process is in its place, with its configuration and at its address.
    known: TestRelay,
    _settings: AgentBuilder,
    _folder: TempDir,
    relay: Process,
    agent: Process,
}

impl Pair {
    /// Either would wait for an hour for what runs.
    async fn start(flags: &[&str]) -> Self {
        let kube = kube().start().await;
        let mut known = relay().start().await;
        let settings = agent("prod").to(&known).serving(&kube);
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("relay.yaml");
        let more = "drain: { grace: 1h }\naudit: { to: stdout }\n";
        fs::write(&config, format!("{}{more}", known.config())).unwrap();
        known.kill().await;
        let relay = Process::start("relay", &config, flags, folder.path());
        relay.says("relay is up").await;
        let config = settings.write();
        let settled = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("{settled}drain_grace: 1h\n")).unwrap();
        let agent = Process::start("agent", &config, flags, folder.path());
        relay.says("tunnel opened").await;
        agent.says("tunnel is up").await;
        Self {
            kube,
            known,
            _settings: settings,
            _folder: folder,
            relay,
            agent,
        }
    }

    fn job(&self) -> Caller {
        self.known.job(9001)
    }

    async fn stop(self) {
        drop((self.agent, self.relay));
        self.kube.stop().await;
    }
}

/// With a watch that goes on through the first signal, and is cut by the second.
fn second_signal_ends(which: fn(&mut Pair) -> &mut Process) {
    scenario(async {
        let mut pair = Pair::start(&[]).await;
        let http2 = pair.job().http2().await;
        let mut watch = http2.send(get("/watch")).await.unwrap();
        which(&mut pair).drains().await;
        pair.kube.event("it goes on");
        assert_eq!(next_piece(&mut watch).await, "it goes on\n");
        let process = which(&mut pair);
        assert_eq!(process.child.try_wait().unwrap(), None);
        signal(&process.child, "TERM").await;
        assert_eq!(process.ends().await, Some(0), "{}", process.log());
        process.says("stopping now, what still runs is cut").await;
        breaks_off(watch).await;
        drop(http2);
        pair.kube.until_open(0).await;
        pair.stop().await;
    });
}

#[test]
fn second_signal_ends_a_relay_that_would_wait_for_a_watch() {
    second_signal_ends(|pair| &mut pair.relay);
}

#[test]
fn second_signal_ends_an_agent_that_would_wait_for_a_watch() {
    second_signal_ends(|pair| &mut pair.agent);
}

/// Everything of ours.
const ALL: &str = "info,adit=trace,adit_relay=trace,adit_agent=trace,adit_tunnel=trace,adit_exchange=trace,adit_authority=trace,adit_process=trace,adit_mux=trace";

/// The lines of a file, each an object.
fn objects(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let objects = text.lines().map(|line| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(object.is_object(), "{line}");
        object
    });
    objects.collect()
}

/// The first line that is so.
fn told<'a>(lines: &'a [Value], message: &str, is_it: impl Fn(&Value) -> bool) -> &'a Value {
    let mut lines = lines.iter();
    let found = lines.find(|line| line["message"] == message && is_it(line));
    found.unwrap_or_else(|| panic!("no such line says {message}"))
}

/// A line for each request at either end, with whose it is and where, inside what it belongs to; and one for each frame.
fn requests_and_frames_are_told(relay: &[Value], agent: &[Value]) {
    let refused = told(relay, "refused", |line| line["refusal"] == "not_permitted");
    let answered = told(relay, "answered", |line| line["http.status"] == 200);
    for (line, level, agent) in [(refused, "INFO", "3"), (answered, "DEBUG", "1")] {
        assert_eq!(line["level"], level, "{line}");
        for (field, value) in [
            ("job.id", "9001"),
            ("job.project", "group/sub/app"),
            ("agent.id", agent),
            ("authority", &job(9001).issuer),
        ] {
            assert_eq!(line[field], value, "{field}: {line}");
        }
        assert_eq!(within(line), ["connection", "request"], "{line}");
    }
    let same = told(agent, "answered", |line| {
        line["request.id"] == answered["request.id"]
    });
    assert_eq!(
        (&same["level"], &same["http.status"]),
        (&"DEBUG".into(), &200.into())
    );
    assert_eq!(within(same), ["tunnel", "stream"], "{same}");
    let tunnel = same.pointer("/spans/0/tunnel.id");
    assert_eq!(tunnel, Some(&answered["tunnel.id"]));
    let unanswered = told(agent, "request not answered", |_| true);
    assert_eq!(unanswered["level"], "INFO");

    for (lines, opens, heads) in [(relay, "sent", "received"), (agent, "received", "sent")] {
        for (kind, direction) in [("open", opens), ("head", heads)] {
            let frame = told(lines, "frame", |line| {
                line["kind"] == kind && line["direction"] == direction
            });
            assert_eq!(frame["level"], "TRACE");
            assert_eq!(frame["tunnel.id"], answered["tunnel.id"]);
            assert_eq!(frame["stream.id"], 1);
            assert!(frame["bytes"].as_u64() > Some(0), "{frame}");
        }
    }
}

/// What a line stands in.
fn within(line: &Value) -> Vec<&str> {
    let spans = line["spans"].as_array().into_iter().flatten();
    spans.filter_map(|span| span["name"].as_str()).collect()
}

#[test]
fn json_log_has_an_object_on_each_line_and_no_token_in_any() {
    scenario(async {
        let mut pair = Pair::start(&["--log-format", "json", "--log", ALL]).await;
        let token = pair.known.issuer().token(&job(9001));
        let job = pair.known.showing(&format!("Bearer ci:1:{token}"));
        job.get("/api").await.echo();
        let elsewhere = pair.known.showing(&format!("Bearer ci:3:{token}"));
        assert_eq!(
            elsewhere.get("/api").await.refused().reason,
            "not_permitted"
        );
        pair.kube.kill().await;
        assert_eq!(job.get("/api").await.refused().status, 502);
        for process in [&mut pair.agent, &mut pair.relay] {
            signal(&process.child, "TERM").await;
            assert_eq!(process.ends().await, Some(0));
        }

        for (process, fields) in [
            (
                &pair.relay,
                &[
                    "agent.id",
                    "replica.id",
                    "tunnel.id",
                    "job.id",
                    "job.project",
                    "authority",
                    "client.addr",
                    "request.id",
                    "http.method",
                    "http.status",
                    "refusal",
                    "error",
                ][..],
            ),
            (
                &pair.agent,
                &[
                    "tunnel.id",
                    "stream.id",
                    "request.id",
                    "http.method",
                    "http.status",
                    "error",
                ][..],
            ),
        ] {
            let lines = objects(&process.log);
            let mut seen = BTreeSet::new();
            for line in &lines {
                for key in ["timestamp", "level", "target", "message"] {
                    assert!(line[key].is_string(), "{key}: {line}");
                }
                seen.extend(line.as_object().unwrap().keys().map(String::as_str));
            }
            for field in fields {
                assert!(seen.contains(field), "{field}: {seen:?}");
            }
        }
        requests_and_frames_are_told(&objects(&pair.relay.log), &objects(&pair.agent.log));
        let records = objects(&pair.relay.output);
        assert!(
            records.iter().any(|record| record["status"] == 200),
            "{records:?}"
        );
        assert!(objects(&pair.agent.output).is_empty());

        let signature = token.rsplit('.').next().unwrap();
        for file in [&pair.relay.log, &pair.relay.output, &pair.agent.log] {
            let text = fs::read_to_string(file).unwrap();
            // The agent's token is a canary.
            for secret in [signature, "canary"] {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
        }
        pair.stop().await;
    });
}
