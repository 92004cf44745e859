//! Free TCP ports, for programs that must be told their port.
//!
//! They lie below the range from which the system gives ports to outgoing connections, so that between our look and
//! the program's bind hardly anyone can take one.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

/// A port that is free at this address now, and that this process has given to nobody else.
///
/// # Errors
/// None is free.
pub fn free(address: IpAddr) -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let begin = RandomState::new().build_hasher().finish() % u64::from(COUNT);
    let port = (0..u64::from(COUNT))
        .filter_map(|at| u16::try_from((begin + at) % u64::from(COUNT)).ok())
        .map(|offset| FIRST + offset)
        .filter(|port| !given.contains(port))
        .find(|&port| TcpListener::bind((address, port)).is_ok())
        .with_context(|| format!("no port is free at {address}"))?;
    given.insert(port);
    Ok(port)
}

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
