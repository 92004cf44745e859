//! The least that can end: a world with one stream, which was accepted, and both ends of it in a test's hands.

use adit_mux::{Config, Terms};

use super::{
    pair::Pair,
    user::{Found, Sent},
    world::{Exchange, World},
};

/// A world with one stream that was accepted.
pub(crate) fn exchange(has_body: bool) -> World {
    let mut world = World::new(Config::default(), Config::default());
    world.open(100, has_body, Terms::default()).expect("room");
    world.pair.settle();
    world.accept().expect("an open");
    world
}

pub(crate) fn parts(world: &mut World) -> (&mut Pair, &mut Exchange) {
    (&mut world.pair, &mut world.exchanges[0])
}

pub(crate) fn answer(pair: &mut Pair, exchange: &mut Exchange, body: usize) {
    let acceptor = exchange.acceptor.as_mut().unwrap();
    acceptor.head(pair, 50);
    acceptor.write(pair, body);
    acceptor.end(pair);
}

pub(crate) fn read_answer(pair: &mut Pair, exchange: &mut Exchange) -> Found {
    let sent: Sent = exchange.acceptor.as_ref().unwrap().sent.clone();
    loop {
        let found = exchange.opener.read(pair, &sent);
        if found != Found::Something {
            return found;
        }
    }
}
