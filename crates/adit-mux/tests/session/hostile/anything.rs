//! Any frames in any order, among calls of an honest user: no panic, and the invariants. The fuzz target `hostile` does the same.

use proptest::{collection::vec, prelude::*};

use crate::support::{mischief, rogue::Rogue};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_frames_from_a_relay_are_borne(steps in vec(any::<[u8; 4]>(), 0..100)) {
        let mut rogue = Rogue::relay().greeted();
        steps.into_iter().for_each(|step| mischief::step(&mut rogue, step));
    }

    #[test]
    fn any_frames_from_an_agent_are_borne(steps in vec(any::<[u8; 4]>(), 0..100)) {
        let mut rogue = Rogue::agent().greeted();
        steps.into_iter().for_each(|step| mischief::step(&mut rogue, step));
    }
}
