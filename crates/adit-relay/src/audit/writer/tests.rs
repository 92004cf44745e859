use std::{
    fs::{self, File},
    io::Read as _,
    os::fd::OwnedFd,
};

use super::*;
use crate::{
    audit::{
        FileConfig,
        queue::{Behalf, Bounds},
    },
    config::{Config, RawConfig},
    relay::files,
};

struct Written {
    queues: Vec<Arc<Queue>>,
    writer: Writer,
    metrics: AuditMetrics,
}

fn written_to(sink: Sink) -> Written {
    let (wake, metrics) = (Arc::new(Wake::default()), AuditMetrics::default());
    let bounds = Bounds {
        most: 1 << 20,
        strangers_per_second: 1,
    };
    let queues: Vec<_> = (0..3)
        .map(|_| Queue::new(bounds, Arc::clone(&wake)))
        .collect();
    let writer = Writer::start(queues.clone(), wake, sink, metrics.clone()).unwrap();
    Written {
        queues,
        writer,
        metrics,
    }
}

fn add(queue: &Queue, number: u64) {
    queue.add(Behalf::Known, |record| record.number("number", number));
}

#[tokio::test]
async fn what_was_added_before_the_end_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let file = FileConfig {
        path: path.clone(),
        max_bytes: 1 << 30,
        keep: 1,
    };
    let written = written_to(Sink::file(file).unwrap());
    for number in 0..3000 {
        add(&written.queues[number % 3], number as u64);
    }
    written.writer.finish(Duration::from_secs(60)).await;
    let text = fs::read_to_string(path).unwrap();
    let mut numbers: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64())
        .collect();
    numbers.sort();
    assert_eq!(numbers, (0..3000).map(Some).collect::<Vec<_>>());
    assert!(written.queues.iter().all(|queue| queue.stats().bytes == 0));
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_is_counted_lost_in_the_end() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let written = written_to(Sink::Stdout(full));
    add(&written.queues[0], 1);
    let failures = written.metrics.write_failures.clone();
    tokio::task::spawn_blocking(move || {
        while failures.get() == 0 {
            thread::yield_now();
        }
    })
    .await
    .unwrap();
    assert!(written.queues[0].stats().bytes > 0);
    written.writer.finish(Duration::from_millis(1)).await;
    let stats = written.queues[0].stats();
    assert_eq!((stats.bytes, stats.missing.dropped), (0, 1));
}

#[tokio::test]
async fn pipe_that_nobody_reads_holds_up_no_end_and_loses_nothing_when_it_is_read() {
    let (reader, pipe) = io::pipe().unwrap();
    let written = written_to(Sink::Stdout(OwnedFd::from(pipe).into()));
    for number in 0..1000 {
        add(&written.queues[0], number);
        add(&written.queues[0], number);
    }
    written.writer.finish(Duration::from_millis(1)).await;
    // More than a pipe holds was on its way, and comes now that it is read.
    let mut text = String::new();
    { reader }.read_to_string(&mut text).unwrap();
    assert!(text.len() > 64 << 10);
    assert!(text.ends_with('\n'));
}

#[tokio::test]
async fn what_a_mute_collector_is_sent_holds_up_no_end_and_is_counted_lost() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let yaml = format!(
        "{{ listen: {{ address: '127.0.0.1:0' }}, audit: {{ to: otlp, otlp: {{ endpoint: 'http://{}' }} }} }}",
        mute.local_addr().unwrap()
    );
    let config = Config::try_from(RawConfig::from_yaml(&yaml).unwrap()).unwrap();
    let written = written_to(
        files::audit(&config, None, &mut files::Bundles::default())
            .unwrap()
            .unwrap(),
    );
    add(&written.queues[0], 1);
    add(&written.queues[1], 2);
    // It is called.
    let call = tokio::task::spawn_blocking(move || mute.accept().unwrap());
    let _call = call.await.unwrap();
    written.writer.finish(Duration::from_millis(1)).await;
    let stats: Vec<_> = written.queues.iter().map(|queue| queue.stats()).collect();
    let lost: Vec<_> = stats.iter().map(|stats| stats.missing.dropped).collect();
    assert_eq!(lost, [1, 1, 0]);
    assert!(stats.iter().all(|stats| stats.bytes == 0));
}
