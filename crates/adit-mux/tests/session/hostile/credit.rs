//! Credit that was not given, and credit that nobody can have.

use adit_mux::{Misbehaviour, RequestBody, ResetReason, Terms};
use adit_proto::tunnel::frame::Kind;
use bytes::Bytes;

use crate::support::rogue::{Rogue, credit};

const WINDOW: usize = 64 << 10;

fn data(bytes: usize) -> Kind {
    Kind::Data(vec![0; bytes].into())
}

/// A rogue relay with one stream that was accepted.
fn relay() -> Rogue {
    let mut rogue = Rogue::relay().greeted();
    rogue.send(1, Kind::Open(Bytes::new()));
    accept(&mut rogue);
    rogue
}

fn accept(rogue: &mut Rogue) {
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(rogue.session.poll_accept(&cx).is_ready());
}

#[test]
fn data_up_to_the_credit_is_fine_and_a_byte_more_is_not() {
    let mut rogue = relay();
    rogue.send(1, data(WINDOW));
    rogue.assert_unharmed();
    rogue.send(1, data(1));
    rogue.assert_caught(Misbehaviour::CreditOverrun(1));
}

#[test]
fn an_agent_is_held_to_credit_like_a_relay() {
    let (mut rogue, id) = Rogue::agent_with_stream();
    rogue.send(id, Kind::Head(Bytes::new()));
    rogue.send(id, data(WINDOW));
    rogue.send(id, data(1));
    rogue.assert_caught(Misbehaviour::CreditOverrun(id));
}

#[test]
fn what_was_in_flight_for_a_stream_that_was_cut_is_dropped_and_more_is_not() {
    let mut rogue = relay();
    rogue.send(1, data(10));
    rogue.session.reset(1, ResetReason::Overloaded, "");
    rogue.send(1, data(WINDOW - 10));
    rogue.assert_unharmed();
    assert_eq!(rogue.budget.held(), 0);
    rogue.send(1, data(1));
    rogue.assert_caught(Misbehaviour::CreditOverrun(1));
}

/// A stream that never left this side gave nobody credit for anything.
#[test]
fn a_stream_that_was_never_announced_excuses_no_data() {
    let mut rogue = Rogue::agent().greeted();
    let opened = rogue
        .session
        .open(Bytes::new(), RequestBody::Follows, Terms::default());
    let id = opened.unwrap();
    rogue.session.release(id);
    rogue.send(id, data(1));
    rogue.assert_caught(Misbehaviour::CreditOverrun(id));
}

#[test]
fn a_stream_that_was_refused_excuses_its_first_window_only() {
    let mut config = adit_mux::Config::default();
    config.limits.max_streams = 1;
    let mut rogue = Rogue::relay_with(config).greeted();
    rogue.send(1, Kind::Open(Bytes::new()));
    rogue.send(2, Kind::Open(Bytes::new()));
    rogue.send(2, data(WINDOW));
    rogue.assert_unharmed();
    rogue.send(2, data(1));
    rogue.assert_caught(Misbehaviour::CreditOverrun(2));
}

#[test]
fn credit_of_nothing_is_impossible() {
    let (mut rogue, id) = Rogue::agent_with_stream();
    rogue.send(id, credit(0));
    rogue.assert_caught(Misbehaviour::ImpossibleCredit(id));
}

#[test]
fn credit_may_reach_two_to_the_31st_less_one_and_no_more() {
    let (mut rogue, id) = Rogue::agent_with_stream();
    rogue.send(id, credit((1 << 31) - 1 - WINDOW as u64));
    rogue.assert_unharmed();
    rogue.send(id, credit(1));
    rogue.assert_caught(Misbehaviour::ImpossibleCredit(id));
}

#[test]
fn credit_that_overflows_64_bits_is_caught() {
    let (mut rogue, id) = Rogue::agent_with_stream();
    rogue.send(id, credit(u64::MAX));
    rogue.assert_caught(Misbehaviour::ImpossibleCredit(id));
}

#[test]
fn credit_for_a_stream_never_opened_is_caught() {
    let (mut rogue, id) = Rogue::agent_with_stream();
    rogue.send(id + 1, credit(1));
    rogue.assert_caught(Misbehaviour::NeverOpened(id + 1));
}
