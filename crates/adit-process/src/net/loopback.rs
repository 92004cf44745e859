//! Decides which hosts are this machine, where nothing needs TLS. Each check of a URL asks here.

use std::net::IpAddr;

/// Whether a host is this machine; an address in IPv6 with brackets, as a URL writes it, or without.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_name_and_address() {
        for host in [
            "localhost",
            "LocalHost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "localhost.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "loopback",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
