//! Nobody starves: small streams beside bulk ones, bulk ones beside storms of small ones, and control before all.

use adit_mux::{Config, Limits, Moment, ResetReason, Terms};

use crate::support::{
    pair::{Pair, Side},
    user::Found,
    world::World,
};

const BULKS: usize = 100;

/// A world whose first streams answer without end, as fast as the wire takes it.
fn bulks() -> World {
    let roomy = || Config {
        limits: Limits {
            stream_credit: 1 << 20,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut world = World::new(roomy(), roomy());
    for index in 0..BULKS {
        world.open(10, false, Terms::default());
        world.pair.settle();
        world.accept().unwrap();
        let acceptor = world.exchanges[index].acceptor.as_mut().unwrap();
        acceptor.head(&mut world.pair, 10);
    }
    pour(&mut world);
    world
}

/// Keeps the queues of the bulk streams full, and reads what came of them.
fn pour(world: &mut World) {
    for exchange in &mut world.exchanges[..BULKS] {
        let acceptor = exchange.acceptor.as_mut().unwrap();
        while acceptor.write(&mut world.pair, 16 << 10) {}
        let sent = acceptor.sent.clone();
        exchange.opener.read_all(&mut world.pair, &sent);
    }
}

fn batch(pair: &mut Pair) {
    for side in Side::BOTH {
        pair.transmit(side, 64 << 10);
        while pair.deliver(side.other(), usize::MAX) {}
    }
}

#[test]
fn a_small_answer_waits_for_one_turn_of_each_bulk_stream_at_most() {
    let mut world = bulks();
    for _ in 0..20 {
        batch(&mut world.pair);
        pour(&mut world);
    }
    let small = world.open(10, false, Terms::default()).unwrap();
    batch(&mut world.pair);
    assert_eq!(world.accept(), Some(small));
    let exchange = &mut world.exchanges[small];
    let acceptor = exchange.acceptor.as_mut().unwrap();
    acceptor.head(&mut world.pair, 10);
    acceptor.write(&mut world.pair, 2_000);
    acceptor.end(&mut world.pair);
    let sent = acceptor.sent.clone();
    // A head waits for nobody's data.
    batch(&mut world.pair);
    let found = world.exchanges[small].opener.read(&mut world.pair, &sent);
    assert_eq!(found, Found::Something);
    // Its data waits for a quantum of each: 100 times 16 KiB are 25 batches.
    let mut batches = 0;
    while world.exchanges[small].opener.read(&mut world.pair, &sent) != Found::End {
        pour(&mut world);
        batch(&mut world.pair);
        batches += 1;
        assert!(batches <= 28, "the small answer starves");
    }
}

#[test]
fn bulk_streams_share_the_wire_evenly() {
    let mut world = bulks();
    for _ in 0..400 {
        batch(&mut world.pair);
        pour(&mut world);
    }
    let read = world
        .exchanges
        .iter()
        .map(|exchange| exchange.opener.seen.bytes);
    let (least, most) = (read.clone().min().unwrap(), read.max().unwrap());
    assert!(most - least <= 2 * (16 << 10), "{least} to {most}");
}

#[test]
fn bulk_streams_progress_beside_a_storm_of_small_ones() {
    let mut world = bulks();
    // The opener uploads on one stream while requests storm: each batch has more heads than fit.
    let bulk = world.open(10, true, Terms::default()).unwrap();
    world.pair.settle();
    world.accept().unwrap();
    let (mut rounds, before) = (0, 16 << 10);
    while world.exchanges[bulk].opener.sent.bytes < (1 << 20) + before {
        for _ in 0..10 {
            world.open(9_000, false, Terms::default());
        }
        let exchange = &mut world.exchanges[bulk];
        while exchange.opener.write(&mut world.pair, 16 << 10) {}
        world.pair.transmit(Side::Opener, 64 << 10);
        while world.pair.deliver(Side::Acceptor, usize::MAX) {}
        let sent = world.exchanges[bulk].opener.sent.clone();
        let acceptor = world.exchanges[bulk].acceptor.as_mut().unwrap();
        acceptor.read_all(&mut world.pair, &sent);
        world.pair.transmit(Side::Acceptor, 64 << 10);
        while world.pair.deliver(Side::Opener, usize::MAX) {}
        rounds += 1;
        assert!(rounds < 100, "the upload starves");
    }
}

#[test]
fn a_cancellation_overtakes_all_data() {
    let mut world = bulks();
    world.exchanges[7]
        .acceptor
        .as_mut()
        .unwrap()
        .reset(&mut world.pair, ResetReason::Internal);
    batch(&mut world.pair);
    let sent = world.exchanges[7].acceptor.as_ref().unwrap().sent.clone();
    let opener = &mut world.exchanges[7].opener;
    while opener.read(&mut world.pair, &sent) == Found::Something {}
    assert!(opener.failure.is_some());
}

#[test]
fn a_stalled_reader_stalls_nobody_else() {
    let mut world = World::new(Config::default(), Config::default());
    for index in 0..40 {
        world.open(1, false, Terms::default());
        world.pair.settle();
        world.accept().unwrap();
        let acceptor = world.exchanges[index].acceptor.as_mut().unwrap();
        acceptor.head(&mut world.pair, 1);
        // Nobody ever reads these.
        while acceptor.write(&mut world.pair, 50_000) {}
    }
    world.pair.settle();
    let quick = world.open(1, false, Terms::default()).unwrap();
    world
        .pair
        .run_until(world.pair.now + Moment::from_millis(10), |_| false);
    world.accept().unwrap();
    let acceptor = world.exchanges[quick].acceptor.as_mut().unwrap();
    acceptor.head(&mut world.pair, 1);
    acceptor.write(&mut world.pair, 1_000);
    acceptor.end(&mut world.pair);
    let sent = acceptor.sent.clone();
    for _ in 0..2 {
        batch(&mut world.pair);
    }
    let opener = &mut world.exchanges[quick].opener;
    opener.read_all(&mut world.pair, &sent);
    assert!(opener.seen.end);
    let stats = world.pair.session(Side::Acceptor).stats();
    assert!(stats.credit_stalls >= 40);
}
