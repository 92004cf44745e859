//! Nobody takes the records: the folder they belong in is gone. What happens then is configured.

use adit_tests::{
    Answer, AuditLog, Caller, RelayBuilder, World, body,
    caller::{Http2, get, request},
    collector::{Collector, Told},
    kube, relay, scenario, within,
};
use futures_util::{FutureExt as _, future::join_all};
use http::Method;
use serde_json::Value;

use super::PODS;
use crate::{
    status::{
        cut::{cut_stream, only_stream},
        report,
    },
    traces::decided,
    upgrades::{SPDY, WEBSOCKET},
};

const BYTES: &str = "adit_relay_audit_queue_bytes";
const DROPPED: &str = "adit_relay_audit_records_dropped_total";
const WAITED: &str = "adit_relay_stage_duration_seconds_count{stage=\"audit\"}";
const FAILURES: &str = "adit_relay_audit_write_failures_total";

/// A relay with the smallest queue there is.
fn small(log: &AuditLog) -> RelayBuilder {
    log.of(relay()).with("audit", "queue", "1MiB")
}

/// Has the log stall, and requests fill its queue until one is not recorded.
async fn fill(world: &World, log: &AuditLog, http2: &Http2) -> usize {
    fill_by(world, log, async || http2.get("/version").await).await
}

/// The same by requests of this kind, which are dropped when it is full.
async fn fill_by(world: &World, log: &AuditLog, ask: impl AsyncFn() -> Answer) -> usize {
    log.break_off();
    let mut sent = 0;
    while world.relay.metrics().await.value(DROPPED) == 0.0 {
        join_all((0..50).map(|_| ask())).await;
        sent += 50;
    }
    assert!(world.relay.metrics().await.value(FAILURES) > 0.0);
    sent
}

async fn create(http2: &Http2) -> Answer {
    http2
        .answer(request(Method::POST, PODS, body::full("{}")))
        .await
}

/// The status of an attempt to run something in a pod.
async fn exec(job: &Caller) -> u16 {
    upgrade(job, &format!("POST {PODS}/web-0/exec/upgrade"), SPDY).await
}

/// The same of one to come to a virtual machine's console, a subresource that Kubernetes itself does not have.
async fn console(job: &Caller) -> u16 {
    let vm = "/apis/subresources.kubevirt.io/v1/namespaces/shop/virtualmachineinstances/vm";
    upgrade(job, &format!("GET {vm}/console/upgrade"), WEBSOCKET).await
}

async fn upgrade(job: &Caller, what: &str, fields: &str) -> u16 {
    let mut connection = job.raw().await;
    connection.write(job.head(what, fields)).await.unwrap();
    let head = within("a head", connection.head()).await.unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn changes_are_refused_and_reads_go_on_uncounted_for() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), small(&log)).await;
        let http2 = world.job.http2().await;
        let sent = fill(&world, &log, &http2).await;

        let shown = report(&world.relay).await.problems;
        let [problem] = &*shown else {
            panic!("{shown:#?}");
        };
        assert_eq!(problem.about, "audit");
        let most = " of 1048576 bytes of the audit log's queue are taken";
        assert!(problem.message.contains(most), "{problem:?}");

        let refused = create(&http2).await.refused();
        assert_eq!(
            (refused.status, refused.reason.as_str(), refused.retry_after),
            (503, "audit_full", Some(1))
        );
        assert_eq!(exec(&world.job).await, 503);
        assert_eq!(console(&world.job).await, 503);
        assert!(
            world
                .kube
                .requests()
                .iter()
                .all(|came| came.method == Method::GET && came.target == "/version"),
            "nothing that changes came through"
        );
        http2.get("/version").await.echo();

        log.mend();
        world.relay.until_metric(BYTES, |bytes| bytes == 0.0).await;
        assert_eq!(report(&world.relay).await.problems, []);
        create(&http2).await.echo();
        assert_eq!(exec(&world.job).await, 101);
        drop(http2);
        world.stop().await;

        // Every one is there, or counted.
        let records = log.records();
        let of = |event: &str| {
            records
                .iter()
                .filter(|record| record["event"] == event)
                .count()
        };
        let gaps: u64 = records
            .iter()
            .filter_map(|record| record["dropped"].as_u64())
            .sum();
        assert!(gaps > 0);
        assert_eq!(of("request") + gaps as usize, sent + 5);
        assert_eq!((of("start"), of("end")), (1, 1));
        let gap = records
            .iter()
            .position(|record| record["event"] == "gap")
            .unwrap();
        let created = records
            .iter()
            .position(|record| record["operation"]["verb"] == "create" && record["status"] == 200);
        assert!(gap < created.unwrap());
    });
}

#[test]
fn blocked_changes_wait_until_there_is_room() {
    scenario(async {
        let log = AuditLog::default();
        let collector = Collector::start().await;
        let relay = small(&log)
            .with("audit", "changes_when_full", "block")
            .with(
                "traces",
                "endpoint",
                format!("http://{}", collector.address()),
            )
            .with("traces", "sample", 0);
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        fill(&world, &log, &http2).await;
        let mut traced = decided(PODS, "01");
        *traced.method_mut() = Method::POST;
        let mut waiting = Box::pin(http2.answer(traced));
        for _ in 0..5 {
            http2.get("/version").await.echo();
            assert!((&mut waiting).now_or_never().is_none());
        }
        log.mend();
        within("its answer", waiting).await.echo();
        // How long it waited is told in numbers, in its trace, and in its record.
        let waited = world.relay.metrics().await.value(WAITED);
        assert_eq!(waited, 1.0);
        let is_it = |told: &Told| told.name == "audit";
        collector.until_told("the wait", is_it).await;
        drop(http2);
        world.stop().await;
        let records = log.records();
        let created = |record: &&Value| record["operation"]["verb"] == "create";
        let created = records.iter().find(created).unwrap();
        assert!(created["microseconds"]["audit"].is_u64(), "{created}");
        let others = |record: &&Value| record["microseconds"]["audit"].is_u64();
        assert_eq!(records.iter().filter(others).count(), 1);
    });
}

#[test]
fn blocked_reads_wait_until_there_is_room() {
    scenario(async {
        let log = AuditLog::default();
        let relay = small(&log).with("audit", "changes_when_full", "drop").with(
            "audit",
            "reads_when_full",
            "block",
        );
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        fill_by(&world, &log, async || create(&http2).await).await;
        let mut waiting = Box::pin(http2.get(PODS));
        for _ in 0..5 {
            create(&http2).await.echo();
            assert!((&mut waiting).now_or_never().is_none());
        }
        let came = world.kube.requests();
        let mut of_job = came.iter().filter(|came| came.target == PODS);
        assert!(
            of_job.all(|came| came.method == Method::POST),
            "no read came through"
        );
        log.mend();
        within("its answer", waiting).await.echo();
        assert_eq!(world.relay.metrics().await.value(WAITED), 1.0);
        drop(http2);
        world.stop().await;
        let records = log.records();
        let read = |record: &&Value| record["operation"]["verb"] == "list";
        let read = records.iter().find(read).unwrap();
        assert!(read["microseconds"]["audit"].is_u64(), "{read}");
    });
}

#[test]
fn blocked_change_is_refused_when_its_token_ends() {
    scenario(async {
        let log = AuditLog::default();
        let relay = small(&log).with("audit", "changes_when_full", "block");
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        fill(&world, &log, &http2).await;
        let token = world
            .relay
            .issuer()
            .token_for(&adit_tests::job(9002), std::time::Duration::from_secs(1));
        let caller = world
            .relay
            .showing(&format!("Bearer ci:1:{token}"))
            .http2()
            .await;
        assert_eq!(create(&caller).await.refused().reason, "permit_ended");
        assert_eq!(world.relay.metrics().await.value(WAITED), 1.0);
        log.mend();
        drop((http2, caller));
        world.stop().await;
    });
}

#[test]
fn reads_are_refused_and_changes_dropped_where_that_is_wanted() {
    scenario(async {
        let log = AuditLog::default();
        let relay = small(&log).with("audit", "changes_when_full", "drop").with(
            "audit",
            "reads_when_full",
            "refuse",
        );
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        log.break_off();
        let refused = loop {
            let answers = join_all((0..50).map(|_| http2.get("/version"))).await;
            if let Some(refused) = answers.iter().find(|answer| answer.status == 503) {
                break refused.refused();
            }
        };
        assert_eq!(refused.reason, "audit_full");
        create(&http2).await.echo();
        log.mend();
        drop(http2);
        world.stop().await;
    });
}

#[test]
fn full_file_is_replaced_under_load_and_no_line_is_lost() {
    scenario(async {
        let log = AuditLog::default();
        let relay = log.of(relay()).with("audit", "file_size", "1MiB");
        let world = World::of(kube(), relay).await;
        let http2 = world.job.http2().await;
        let mut sent = 0;
        while log.files() < 3 {
            join_all((0..100).map(|_| http2.get("/version"))).await;
            sent += 100;
        }
        drop(http2);
        world.stop().await;
        assert_eq!(log.records().len(), sent);
    });
}

#[test]
fn relay_does_not_start_without_a_place_for_its_records() {
    let wrong = |yaml: &str| {
        let raw = adit_relay::RawConfig::from_yaml(yaml).unwrap();
        adit_relay::Config::try_from(raw).unwrap_err().to_string()
    };
    let listen = "listen: { address: '127.0.0.1:0' }\n";
    assert!(wrong(&format!("{listen}audit: {{ to: file }}")).contains("audit.file: needed"));
    assert!(wrong(&format!("{listen}audit: {{ file: x }}")).contains("audit.file: only with"));
    scenario(async move {
        let yaml = format!(
            "{listen}admin: {{ address: '127.0.0.1:0' }}\naudit: {{ to: file, file: /nowhere/at/all }}"
        );
        let raw = adit_relay::RawConfig::from_yaml(&yaml).unwrap();
        let config = adit_relay::Config::try_from(raw).unwrap();
        let error = adit_relay::Relay::start_here(config).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write the audit log to /nowhere/at/all (audit.file)"
        );
    });
}

#[test]
fn operator_cuts_nothing_that_cannot_be_written_down() {
    scenario(async {
        let log = AuditLog::default();
        let world = World::of(kube(), small(&log)).await;
        let http2 = world.job.http2().await;
        let watched = get(&format!("{PODS}?watch=1"));
        let watch = http2.send(watched).await.unwrap();
        let id = only_stream(&world.relay).await;
        fill(&world, &log, &http2).await;
        assert_eq!(cut_stream(&world.relay, &id).await, 503);
        assert_eq!(only_stream(&world.relay).await, id);

        log.mend();
        world.relay.until_metric(BYTES, |bytes| bytes == 0.0).await;
        assert_eq!(cut_stream(&world.relay, &id).await, 200);
        drop((watch, http2));
        world.stop().await;
    });
}
