//! Peers that mean harm: each is told off by the rule it broke, or stays within bounds; nothing panics, nothing honest is harmed.

mod anything;
mod credit;
mod floods;
mod frames;
mod memory;
