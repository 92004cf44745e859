//! What the process uses of its machine, read from `/proc/self` at each scrape; under the names that Prometheus' own clients have.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Scrape;

#[derive(Debug)]
pub(super) struct Usage;

impl Collector for Usage {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut scrape = Scrape::new(encoder);
        if let Some(seconds) = cpu_seconds() {
            let help = "Processor time used, of user and system together";
            scrape.counter("process_cpu_seconds", help, seconds)?;
        }
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Memory that is held",
                resident_bytes(),
            ),
            (
                "process_open_fds",
                "Descriptors that are open: connections, mostly",
                open_descriptors(),
            ),
            (
                "process_max_fds",
                "Descriptors that may be open",
                most_descriptors(),
            ),
        ];
        gauges
            .into_iter()
            .filter_map(|(name, help, value)| Some((name, help, value?)))
            .try_for_each(|(name, help, value)| scrape.gauge(name, help, value))
    }
}

/// In hundredths of a second; threads that have ended count.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, in brackets, may hold anything. User and system time are the 14th and 15th.
    let fields = stat.rsplit_once(')')?.1;
    let mut times = fields.split_whitespace().skip(11);
    let ticks: f64 = times.next()?.parse().ok()?;
    let of_system: f64 = times.next()?.parse().ok()?;
    Some((ticks + of_system) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = kib.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

fn open_descriptors() -> Option<i64> {
    // Less the one that reads the folder.
    let open = fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    i64::try_from(open).ok()
}

fn most_descriptors() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `USER_HZ`, which is this on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_is_used_is_told() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Usage));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
                .parse()
                .unwrap()
        };
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_resident_memory_bytes") > f64::from(1 << 20));
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
    }
}
