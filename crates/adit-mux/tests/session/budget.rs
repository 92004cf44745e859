//! The process's bound on unread bytes, which several sessions share: whoever holds most lets go, and nobody passes it.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use adit_mux::{Budget, Config, Limits, Moment};
use adit_proto::tunnel::{ResetReason, frame::Kind};
use bytes::Bytes;
use proptest::prelude::*;

use crate::support::rogue::Rogue;

/// From here on somebody is called on.
const PRESSED: usize = 700_000;
const LIMIT: usize = 800_000;

/// Sessions with so many streams each, which nobody reads.
fn sessions<const N: usize>(streams: u64) -> ([Rogue; N], Arc<Budget>) {
    let budget = Budget::new(LIMIT);
    let config = || Config {
        limits: Limits {
            stream_credit: 16 << 20,
            ..Limits::default()
        },
        ..Config::default()
    };
    let sessions = std::array::from_fn(|_| {
        let mut rogue = Rogue::relay_of(config(), Arc::clone(&budget)).greeted();
        for id in 1..=streams {
            rogue.send(id, Kind::Open(Bytes::new()));
            let cx = Context::from_waker(Waker::noop());
            assert!(rogue.session.poll_accept(&cx).is_ready());
        }
        rogue.heard();
        rogue
    });
    (sessions, budget)
}

fn send(rogue: &mut Rogue, stream: u64, mut bytes: usize) {
    while bytes > 0 {
        let piece = bytes.min(100_000);
        rogue.send(stream, Kind::Data(vec![0; piece].into()));
        bytes -= piece;
    }
}

fn held(rogue: &Rogue) -> usize {
    rogue.session.stats().buffered_bytes
}

/// Does what the session's driver does when it is woken; says which streams were reset.
fn turn(rogue: &mut Rogue) -> Vec<u64> {
    let is_due = |due: Moment| due <= rogue.now;
    if rogue.session.next_timeout().is_some_and(is_due) {
        rogue.advance(Moment::ZERO);
    }
    rogue.assert_unharmed();
    let heard = rogue.heard();
    let overloaded = |kind: &Option<Kind>| match kind {
        Some(Kind::Reset(reset)) => reset.reason() == ResetReason::Overloaded,
        _ => false,
    };
    let reset = heard.iter().filter(|frame| overloaded(&frame.kind));
    reset.map(|frame| frame.stream).collect()
}

#[test]
fn whoever_holds_most_lets_go_and_not_whose_bytes_came_last() {
    let ([mut hoarder, mut other], budget) = sessions(6);
    for stream in 1..=6 {
        send(&mut hoarder, stream, 99_990 + stream as usize);
    }
    send(&mut other, 1, 60_000);
    assert!(!hoarder.is_woken(), "there is room");
    send(&mut other, 1, 60_000);
    assert!(hoarder.is_woken(), "it holds most");
    assert_eq!(turn(&mut other), [0; 0]);
    assert_eq!(turn(&mut hoarder), [6], "its largest stream");
    assert!(budget.held() <= PRESSED);
    assert_eq!(held(&other), 120_000);
    assert_eq!(budget.totals().overloaded, 1);
}

#[test]
fn a_session_that_holds_most_lets_go_at_once() {
    let ([mut hoarder, mut other], budget) = sessions(7);
    send(&mut other, 1, 50_000);
    for stream in 1..=7 {
        send(&mut hoarder, stream, 100_000 - stream as usize);
    }
    assert_eq!(turn(&mut hoarder), [1]);
    assert!(budget.held() <= PRESSED);
    assert!(!other.is_woken());
}

#[test]
fn a_session_that_does_not_come_cannot_break_the_bound() {
    let ([mut hoarder, mut other], budget) = sessions(20);
    for stream in 1..=13 {
        send(&mut hoarder, stream, 50_000);
    }
    for stream in 1..=20 {
        send(&mut other, stream, 20_000);
        assert!(budget.held() <= LIMIT);
    }
    // The last eighth was for the time until it comes; it did not.
    assert!(!turn(&mut other).is_empty());
    assert!(held(&other) > LIMIT / 8 - 20_000, "{}", held(&other));
    assert!(!turn(&mut hoarder).is_empty());
    assert!(budget.held() <= PRESSED);
}

#[test]
fn a_session_that_has_ended_is_not_waited_for() {
    let ([mut gone, mut closed, mut hoarder, mut other], budget) = sessions(6);
    for rogue in [&mut gone, &mut closed, &mut hoarder] {
        send(rogue, 1, 230_000);
    }
    send(&mut gone, 2, 1_000);
    // It calls on the one that holds most, which goes away instead.
    send(&mut other, 1, 20_000);
    assert!(gone.is_woken());
    drop(gone);
    send(&mut closed, 2, 20_000);
    send(&mut hoarder, 2, 15_000);
    send(&mut other, 1, 190_000);
    assert!(closed.is_woken());
    // It still holds what its users have not read, but nobody drives it.
    closed.send(99, Kind::Data(Bytes::from_static(b"x")));
    assert!(closed.session.end().is_some());
    send(&mut other, 1, 1);
    assert!(hoarder.is_woken());
    assert_eq!(turn(&mut hoarder), [1]);
    assert_eq!(turn(&mut other), [0; 0]);
    assert!(budget.held() <= PRESSED);
}

#[test]
fn what_is_given_back_relieves_whoever_was_called() {
    let ([mut hoarder, mut other], _) = sessions(2);
    send(&mut hoarder, 1, 400_000);
    send(&mut hoarder, 2, 250_000);
    send(&mut other, 1, 60_000);
    assert!(hoarder.is_woken());
    let cx = Context::from_waker(Waker::noop());
    assert!(hoarder.session.poll_read(1, &cx).is_ready());
    assert_eq!(turn(&mut hoarder), [0; 0], "its reader came in time");
}

proptest! {
    #[test]
    fn only_who_holds_most_is_cut_while_drivers_run(
        sends in prop::collection::vec((0..4_usize, 1..=8_u64, 1..60_000_usize), 1..120),
    ) {
        let (mut sessions, budget) = sessions::<4>(8);
        for (sender, stream, bytes) in sends {
            let mut holds = sessions.each_ref().map(held);
            // A byte takes more than a byte to keep.
            holds[sender] += bytes.max(128);
            send(&mut sessions[sender], stream, bytes);
            prop_assert!(budget.held() <= LIMIT);
            for (index, session) in sessions.iter_mut().enumerate() {
                let has_cut = !turn(session).is_empty();
                prop_assert!(!has_cut || Some(&holds[index]) == holds.iter().max());
            }
            prop_assert!(budget.held() <= PRESSED);
        }
    }
}
