//! Very many agents that do nothing: what each costs the relay in memory, what all cost it in CPU, and how long they take to come back
//! when the relay was killed and starts again.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Race;
use crate::{
    fleet::{Crew, Fleet},
    path::{Contender, adit},
    process::{Process, until_within},
    report::{Beside, Row, Sheet},
    rig::lasting_port,
};

pub(super) fn run(race: &Race, sheet: &mut Sheet) -> Result<()> {
    for build in race.builds() {
        eprintln!("agents: {}", build.name);
        look(race, build, sheet)?;
    }
    Ok(())
}

fn look(race: &Race, build: &Contender, sheet: &mut Sheet) -> Result<()> {
    let (count, name) = (race.effort.agents, &build.name);
    let label = |what: &str| format!("{count} idle agents: {what}");
    let memory = Row::cost(label("memory of the relay for each"), "KiB");
    let memory = memory.must(Beside::Nobody, 40.0, 20.0);
    let cpu = Row::cost(label("CPU of the relay"), "% of a core");
    let cpu = cpu.must(Beside::Nobody, 3.0, 1.0);
    let back = Row::cost(label("until all are back after a restart"), "s");
    let back = back.must(Beside::Nobody, 30.0, 10.0);

    let crew = Crew::new(count);
    let (rig, binary, port) = (&race.rig, build.binary()?, lasting_port()?);
    let start = || adit::relay(rig, binary, port, 1, &crew.agents());
    let relay = start()?;
    let before = relay.resident_kib();
    let fleet = Fleet::start(&crew, rig, port)?;
    let all_are_up = || fleet.up() == count;
    let missing = || format!("{} of {count} have a tunnel", fleet.up());
    until_within(PATIENCE, "all agents are connected", all_are_up).with_context(missing)?;
    std::thread::sleep(SETTLING);
    let more = relay.resident_kib().saturating_sub(before);
    sheet.add(&memory, name, more as f64 / count as f64);

    let idle = Duration::from_secs(race.effort.idle_seconds);
    let lost_before = fleet.lost();
    let share = 100.0 * share_of_a_core(&relay, idle);
    // Who comes back shakes hands again, which is not what nothing costs.
    let lost = fleet.lost() - lost_before;
    ensure!(lost == 0, "{lost} tunnels were lost while nothing happened");
    sheet.add(&cpu, name, share);

    drop(relay);
    until_within(PATIENCE, "all agents have noticed", || fleet.up() == 0)?;
    let _relay = start()?;
    let took = until_within(PATIENCE, "all agents are back", all_are_up).with_context(missing)?;
    sheet.add(&back, name, took.as_secs_f64());
    Ok(())
}

fn share_of_a_core(process: &Process, lasting: Duration) -> f64 {
    let before = process.cpu_ns();
    std::thread::sleep(lasting);
    let spent = process.cpu_ns() - before;
    spent as f64 / 1e9 / lasting.as_secs_f64()
}

const PATIENCE: Duration = Duration::from_secs(120);
/// Until what was needed for connecting has been let go of.
const SETTLING: Duration = Duration::from_secs(5);
