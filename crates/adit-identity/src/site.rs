//! Which addresses count as one where a caller's are counted: connections at the relay's door, unknown tokens on their way to GitLab.
//! Invariant: nobody has two sites by writing his address in another way.

use std::net::{IpAddr, Ipv6Addr};

/// What one customer has: an address, or a network of IPv6 with its 64 bits, whose hosts he may name as he likes.
#[must_use]
pub fn site(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_ipv6_are_one_site_and_addresses_of_ipv4_are_not() {
        let at = |address: &str| site(address.parse().unwrap());
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff::2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }
}
