use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;

fn bounds(most: usize, strangers_per_second: u32) -> Bounds {
    Bounds {
        most,
        strangers_per_second,
    }
}

fn queue(most: usize, strangers: u32) -> Arc<Queue> {
    Queue::new(bounds(most, strangers), Arc::default())
}

fn add(queue: &Queue, behalf: Behalf, name: &str) {
    queue.add(behalf, |record| record.text("name", name));
}

/// The names of all records taken, `gap:<dropped>:<withheld>` for those that tell of missing ones.
fn taken(queue: &Queue) -> Vec<String> {
    let lines = queue.take(Vec::new());
    queue.gone(lines.len());
    let lines = String::from_utf8(lines).unwrap();
    lines
        .lines()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(record["time"].as_str().unwrap().ends_with('Z'), "{record}");
            match record["event"].as_str() {
                Some(event) => format!("{event}:{}:{}", record["dropped"], record["withheld"]),
                None => record["name"].as_str().unwrap().to_owned(),
            }
        })
        .collect()
}

#[test]
fn records_leave_in_order_and_once() {
    let queue = queue(1 << 20, 1);
    add(&queue, Behalf::Known, "first");
    add(&queue, Behalf::Known, "second");
    assert_eq!(taken(&queue), ["first", "second"]);
    add(&queue, Behalf::Known, "third");
    assert_eq!(taken(&queue), ["third"]);
    assert_eq!(queue.stats().made, 3);
}

#[test]
fn record_without_room_is_counted_and_the_next_one_says_so() {
    let queue = queue(USUAL + 100, 1);
    add(&queue, Behalf::Known, &"x".repeat(200));
    add(&queue, Behalf::Known, "lost");
    add(&queue, Behalf::Known, "lost");
    let lines = queue.take(Vec::new());
    // Taken is not gone.
    add(&queue, Behalf::Known, "lost");
    queue.gone(lines.len());
    add(&queue, Behalf::Known, "next");
    assert_eq!(taken(&queue), ["gap:3:0", "next"]);
    assert_eq!(queue.stats().missing.dropped, 3);
}

#[test]
fn promised_room_is_there_and_is_given_back() {
    let queue = queue(2 * PROMISED, 1);
    let rooms = [queue.promise().unwrap(), queue.promise().unwrap()];
    assert!(queue.promise().is_none());
    add(&queue, Behalf::Known, "lost");
    add(&queue, Behalf::Promised, "promised");
    assert!(queue.room().now_or_never().is_none());
    drop(rooms);
    assert_eq!(taken(&queue), ["gap:1:0", "promised"]);
    assert!(queue.promise().is_some());
    assert_eq!(queue.stats().bytes, 0);
}

#[tokio::test]
async fn whoever_waits_for_room_gets_it_when_lines_are_gone() {
    let queue = queue(PROMISED, 1);
    add(&queue, Behalf::Known, "first");
    let mut waiting = std::pin::pin!(queue.room());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let lines = queue.take(Vec::new());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    queue.gone(lines.len());
    assert!(futures_util::poll!(&mut waiting).is_ready());
}

#[test]
fn strangers_have_few_records_and_take_none_from_others() {
    let queue = queue(1 << 20, 2);
    for _ in 0..1000 {
        add(&queue, Behalf::Stranger, "stranger");
    }
    add(&queue, Behalf::Known, "job");
    let told = taken(&queue);
    let strangers = told.iter().filter(|name| *name == "stranger").count();
    // Two, or four when a second ended meanwhile.
    assert!(matches!(strangers, 2 | 4), "{told:?}");
    assert_eq!(told.last().unwrap(), "job");
    assert_eq!(queue.stats().missing.withheld, 1000 - strangers as u64);
}

#[test]
fn strangers_of_the_next_second_are_admitted_again() {
    let mut strangers = Strangers::default();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    let mut admitted = |now| (0..5).filter(|_| strangers.admits(now, 2)).count();
    assert_eq!(admitted(now), 2);
    assert_eq!(admitted(now + Duration::from_millis(999)), 0);
    assert_eq!(admitted(now + Duration::from_secs(1)), 2);
}

#[test]
fn writer_is_called_once_for_what_gathers_and_again_when_it_is_much() {
    let wake = Arc::new(Wake::default());
    let queue = Queue::new(bounds(usize::MAX, 1), Arc::clone(&wake));
    add(&queue, Behalf::Known, "first");
    assert_eq!(queue.state.lock().called, Call::Soon);
    while queue.state.lock().lines.len() < MUCH {
        add(&queue, Behalf::Known, &"x".repeat(500));
    }
    assert_eq!(wake.wait(), Call::Now);
    queue.take(Vec::new());
    add(&queue, Behalf::Known, "next");
    assert_eq!(wake.wait(), Call::Soon);
}

#[test]
fn other_bounds_hold_at_once_and_lose_nothing_that_lies_there() {
    let queue = queue(1 << 20, 0);
    add(&queue, Behalf::Known, "first");
    add(&queue, Behalf::Stranger, "withheld");
    queue.bound(bounds(0, 10));
    add(&queue, Behalf::Known, "lost");
    assert!(queue.promise().is_none());
    queue.bound(bounds(1 << 20, 10));
    assert_eq!(queue.most(), 1 << 20);
    add(&queue, Behalf::Stranger, "stranger");
    assert_eq!(taken(&queue), ["first", "gap:1:1", "stranger"]);
}

#[tokio::test]
async fn who_waits_for_room_has_it_once_there_may_be_more() {
    let queue = queue(0, 1);
    let mut waiting = Box::pin(queue.room());
    assert!(waiting.as_mut().now_or_never().is_none());
    queue.bound(bounds(1 << 20, 1));
    assert!(waiting.now_or_never().is_some());
}
