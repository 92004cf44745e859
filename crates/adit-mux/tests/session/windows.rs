//! Windows: a long path is filled, an idle or slow stream stays small, and no window runs away from what its path can use.

use adit_mux::{Config, Moment, RequestBody, Terms};
use bytes::Bytes;

use crate::support::{
    alarm::ring,
    pair::{Pair, Side},
    world::World,
};

const START: u64 = 64 << 10;
const NARROWEST: u64 = 32 << 10;

fn milliseconds(count: u64) -> Moment {
    Moment::from_millis(count)
}

/// A world over a path, with one stream whose answer has begun.
fn download(round_trip: Moment, bytes_per_second: Option<u64>) -> World {
    let mut world = World::new(Config::default(), Config::default());
    world.pair.set_round_trip(round_trip);
    for side in Side::BOTH {
        world.pair.end(side).wire.bytes_per_second = bytes_per_second;
    }
    // The path is known by the pings of the last minutes, which an idle session sends; those of the handshake took no time.
    world
        .pair
        .run_until(world.pair.now + Moment::from_mins(15), |_| false);
    world.open(10, false, Terms::default());
    world.pair.settle();
    world.accept().unwrap();
    let acceptor = world.exchanges[0].acceptor.as_mut().unwrap();
    acceptor.head(&mut world.pair, 10);
    world
}

/// Runs for so long with a writer that always has more; `read` is asked at each moment.
fn run(world: &mut World, time: Moment, mut read: impl FnMut(Moment) -> bool) {
    let exchange = &mut world.exchanges[0];
    world.pair.run_until(world.pair.now + time, |pair| {
        let acceptor = exchange.acceptor.as_mut().unwrap();
        let mut has_moved = false;
        while acceptor.write(pair, 32 << 10) {
            has_moved = true;
        }
        let sent = acceptor.sent.clone();
        if read(pair.now) {
            has_moved |= exchange.opener.read_all(pair, &sent);
        }
        has_moved
    });
}

fn received(world: &mut World) -> u64 {
    world.pair.session(Side::Opener).stats().received_bytes
}

/// What arrives while nobody reads: the size of the window.
fn window(world: &mut World) -> u64 {
    let before = world.exchanges[0].opener.seen.bytes;
    run(world, Moment::from_secs(5), |_| false);
    received(world) - before
}

#[test]
fn a_gigabit_is_filled_whatever_the_round_trip() {
    let rate = 125_000_000;
    for round_trip in [1, 50, 100] {
        let mut world = download(milliseconds(round_trip), Some(rate));
        run(&mut world, Moment::from_secs(2), |_| true);
        let before = received(&mut world);
        run(&mut world, Moment::from_secs(1), |_| true);
        let share = (received(&mut world) - before) as f64 / rate as f64;
        assert!(share > 0.95, "{share} at {round_trip} ms");
    }
}

#[test]
fn a_hundred_milliseconds_at_200_megabits_are_filled_quickly() {
    let rate = 25_000_000;
    let mut world = download(milliseconds(100), Some(rate));
    run(&mut world, Moment::from_secs(2), |_| true);
    let before = received(&mut world);
    assert!(before > rate, "a slow start: {before}");
    run(&mut world, Moment::from_secs(2), |_| true);
    let share = (received(&mut world) - before) as f64 / (2 * rate) as f64;
    assert!(share > 0.95, "{share}");
}

#[test]
fn a_path_that_becomes_longer_is_filled_again() {
    let rate = 25_000_000;
    let mut world = download(milliseconds(10), Some(rate));
    run(&mut world, Moment::from_secs(2), |_| true);
    world.pair.set_round_trip(milliseconds(100));
    run(&mut world, Moment::from_secs(10), |_| true);
    let before = received(&mut world);
    run(&mut world, Moment::from_secs(2), |_| true);
    let share = (received(&mut world) - before) as f64 / (2 * rate) as f64;
    assert!(share > 0.95, "{share}");
}

#[test]
fn a_window_settles_at_a_few_times_what_its_path_carries() {
    let (rate, round_trip) = (5_000_000, milliseconds(100));
    let mut world = download(round_trip, Some(rate));
    run(&mut world, Moment::from_secs(20), |_| true);
    let carries = rate / 10;
    let window = window(&mut world);
    assert!(window >= 3 * carries / 2, "too small: {window}");
    assert!(window <= 5 * carries, "ran away: {window}");
}

#[test]
fn a_short_path_needs_no_large_window() {
    let mut world = download(milliseconds(1), Some(20_000_000));
    run(&mut world, Moment::from_secs(5), |_| true);
    let window = window(&mut world);
    assert!(window <= 4 * START, "{window}");
}

#[test]
fn many_downloads_do_not_fill_a_short_path_with_what_waits() {
    let (count, rate) = (8, 20_000_000);
    let mut world = download(Moment::from_micros(500), Some(rate));
    for _ in 1..count {
        world.open(10, false, Terms::default());
        world.pair.settle();
        world.accept().unwrap();
        let acceptor = world.exchanges.last_mut().unwrap().acceptor.as_mut();
        acceptor.unwrap().head(&mut world.pair, 10);
    }
    let run = |world: &mut World, reading: bool| {
        let exchanges = &mut world.exchanges;
        world
            .pair
            .run_until(world.pair.now + Moment::from_secs(5), |pair| {
                let mut has_moved = false;
                for exchange in exchanges.iter_mut() {
                    let acceptor = exchange.acceptor.as_mut().unwrap();
                    while acceptor.write(pair, 32 << 10) {
                        has_moved = true;
                    }
                    let sent = acceptor.sent.clone();
                    has_moved |= reading && exchange.opener.read_all(pair, &sent);
                }
                has_moved
            });
    };
    run(&mut world, true);
    let read = received(&mut world);
    assert!(read > 9 * rate / 2, "{read} bytes in 5 s");
    run(&mut world, false);
    let under_way = received(&mut world) - read;
    assert!(under_way <= count * NARROWEST, "{under_way}");
}

#[test]
fn a_slow_reader_keeps_its_first_window() {
    let mut world = download(milliseconds(100), None);
    let mut next = Moment::ZERO;
    run(&mut world, Moment::from_secs(20), |now| {
        // Reads all there is, once a second: at most a window a second.
        let is_time = now >= next;
        if is_time {
            next = now + Moment::from_secs(1);
        }
        is_time
    });
    assert_eq!(window(&mut world), START);
}

#[test]
fn a_reader_that_comes_rarely_and_takes_all_keeps_its_first_window() {
    let mut world = download(milliseconds(50), None);
    for _ in 0..30 {
        run(&mut world, Moment::from_secs(2), |_| false);
        let (pair, exchange) = (&mut world.pair, &mut world.exchanges[0]);
        let sent = exchange.acceptor.as_ref().unwrap().sent.clone();
        exchange.opener.read_all(pair, &sent);
    }
    assert_eq!(window(&mut world), START);
}

#[test]
fn a_stalled_stream_holds_its_first_window_and_no_more() {
    let mut world = download(milliseconds(100), None);
    run(&mut world, Moment::from_secs(60), |_| false);
    assert_eq!(received(&mut world), START);
}

#[test]
fn many_idle_streams_have_grown_nothing() {
    let mut pair = Pair::open();
    pair.set_round_trip(milliseconds(100));
    for _ in 0..100 {
        let session = pair.session(Side::Opener);
        session
            .open(Bytes::new(), RequestBody::Absent, Terms::default())
            .unwrap();
        ring(session);
        pair.settle();
    }
    pair.run_until(pair.now + Moment::from_secs(60), |_| false);
    for side in Side::BOTH {
        pair.session(side).assert_invariants();
    }
}

#[test]
fn uploads_fill_the_path_like_downloads() {
    let rate = 25_000_000;
    let mut world = download(milliseconds(100), Some(rate));
    let index = world.open(10, true, Terms::default()).unwrap();
    world.pair.settle();
    world.accept().unwrap();
    let exchange = &mut world.exchanges[index];
    let start = world.pair.now;
    world.pair.run_until(start + Moment::from_secs(4), |pair| {
        let mut has_moved = false;
        while exchange.opener.write(pair, 32 << 10) {
            has_moved = true;
        }
        let sent = exchange.opener.sent.clone();
        has_moved | exchange.acceptor.as_mut().unwrap().read_all(pair, &sent)
    });
    let read = exchange.acceptor.as_ref().unwrap().seen.bytes;
    assert!(read > rate * 3, "{read} bytes in 4 s");
}
