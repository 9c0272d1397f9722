use std::net::IpAddr;

use proptest::prelude::*;

use super::allowing;
use crate::delivery::egress::{AddressKind, EgressPolicy, Network};

/// Every refused IPv4 block, once more.
#[rustfmt::skip]
pub const REFUSED_V4: &[(&str, u32)] = &[
    ("0.0.0.0", 8), ("10.0.0.0", 8), ("100.64.0.0", 10), ("127.0.0.0", 8), ("168.63.129.16", 32),
    ("169.254.0.0", 16), ("172.16.0.0", 12), ("192.0.0.0", 24), ("192.0.2.0", 24), ("192.31.196.0", 24),
    ("192.52.193.0", 24), ("192.88.99.0", 24), ("192.168.0.0", 16), ("192.175.48.0", 24), ("198.18.0.0", 15),
    ("198.51.100.0", 24), ("203.0.113.0", 24), ("224.0.0.0", 4), ("240.0.0.0", 4),
];
pub const METADATA_V4: &[&str] = &[
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.0.23",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
];

fn judged(policy: &EgressPolicy, address: &str) -> Result<(), AddressKind> {
    policy
        .judge_addr(address.parse().unwrap())
        .map_err(|refused| refused.kind)
}

#[test]
fn special_addresses_are_refused_to_their_edges() {
    let policy = EgressPolicy::default();
    for block in [
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("168.63.129.16", "168.63.129.16"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.31.196.0", "192.31.196.255"),
        ("192.52.193.0", "192.52.193.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("192.175.48.0", "192.175.48.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
        ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("2001:db8::", "2001:db8:ffff::"),
        ("2002::", "2002:ffff::"),
        ("2620:4f:8000::", "2620:4f:8000:ffff::"),
        ("3ffe::", "3ffe:ffff::"),
        ("3fff::", "3fff:0fff:ffff::"),
        ("::", "1fff:ffff::"),
        ("4000::", "ffff:ffff::"),
    ] {
        for edge in [block.0, block.1] {
            assert!(judged(&policy, edge).is_err(), "{edge}");
        }
    }
}

#[test]
fn their_public_neighbours_are_allowed() {
    let policy = EgressPolicy::default();
    for address in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "8.8.8.8",
        "::ffff:8.8.8.8",
        "2000::1",
        "2001:200::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::1111",
        "2620:4f:7fff::",
        "3ffd:ffff::",
        "3fff:1000::1",
        "2606:4700::5efe:808:808",
    ] {
        assert_eq!(judged(&policy, address), Ok(()), "{address}");
    }
}

#[test]
fn refusals_say_what_the_address_is() {
    let policy = EgressPolicy::default();
    for (address, kind) in [
        ("127.0.0.1", AddressKind::Loopback),
        ("::1", AddressKind::Loopback),
        ("::ffff:127.0.0.1", AddressKind::Loopback),
        ("10.1.2.3", AddressKind::Private),
        ("fc00::1", AddressKind::Private),
        ("169.254.1.1", AddressKind::LinkLocal),
        ("fe80::1", AddressKind::LinkLocal),
        ("169.254.169.254", AddressKind::Metadata),
        ("::ffff:169.254.169.254", AddressKind::Metadata),
        ("64:ff9b::a9fe:a9fe", AddressKind::Metadata),
        ("2002:a9fe:a9fe::", AddressKind::Metadata),
        ("fd00:ec2::254", AddressKind::Metadata),
        ("fd20:ce::254", AddressKind::Metadata),
        ("ff02::1", AddressKind::Multicast),
        ("239.1.1.1", AddressKind::Multicast),
        ("64:ff9b::808:808", AddressKind::Embedded),
        ("::7f00:1", AddressKind::Embedded),
        ("2606:4700::200:5efe:a00:1", AddressKind::Private),
        ("5f00::1", AddressKind::NotGlobal),
    ] {
        assert_eq!(judged(&policy, address), Err(kind), "{address}");
    }
    let text = policy
        .judge_addr("10.1.2.3".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(text, "10.1.2.3 is an address of a private network");
}

#[test]
fn allowed_networks_are_exempt_and_metadata_never() {
    let policy = allowing(&["10.0.0.0/8", "169.254.0.0/16", "fd00::/8", "64:ff9b::/96"]);
    for (address, allowed) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("11.0.0.1", true),
        ("127.0.0.1", false),
        ("169.254.1.1", true),
        ("169.254.169.254", false),
        ("169.254.170.2", false),
        ("fd12::1", true),
        ("fd00:ec2::254", false),
        ("64:ff9b::808:808", true),
        ("64:ff9b::a9fe:a9fe", false),
        ("2002:a00:1::", false),
        ("64:ff9b:1::808:808", false),
    ] {
        assert_eq!(judged(&policy, address).is_ok(), allowed, "{address}");
    }
}

proptest! {
    /// The rule as it is written down, stated a second time with the standard library's bit tests.
    #[test]
    fn ipv6_is_allowed_only_inside_global_unicast(segments in any::<[u16; 8]>()) {
        let address = IpAddr::from(segments);
        if EgressPolicy::default().judge_addr(address).is_ok() && address.is_ipv6() {
            prop_assert_eq!(segments[0] >> 13, 1);
            prop_assert!(!matches!(segments, [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002 | 0x3ffe, ..]));
            prop_assert!(!matches!(segments, [0x2620, 0x4f, 0x8000, ..] | [0x3fff, 0..=0xfff, ..]));
        }
    }

    /// The same for addresses inside the block, where almost no random one is.
    #[test]
    fn ipv6_inside_global_unicast_is_allowed_but_for_its_special_blocks(mut segments in any::<[u16; 8]>()) {
        segments[0] = 0x2000 | (segments[0] & 0x1fff);
        let is_special = matches!(segments, [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002 | 0x3ffe, ..])
            || matches!(segments, [0x2620, 0x4f, 0x8000, ..] | [0x3fff, 0..=0xfff, ..])
            || matches!(segments, [_, _, _, _, 0 | 0x100 | 0x200 | 0x300, 0x5efe, _, _]);
        let is_refused = EgressPolicy::default().judge_addr(IpAddr::from(segments)).is_err();
        prop_assert_eq!(is_refused, is_special);
    }

    #[test]
    fn ipv4_is_refused_in_its_special_blocks_and_nowhere_else(address in any::<u32>()) {
        let in_block = REFUSED_V4.iter().any(|(base, prefix)| {
            let base = base.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
            (base ^ address).leading_zeros() >= *prefix
        });
        let is_refused = EgressPolicy::default().judge_addr(IpAddr::V4(address.into())).is_err();
        prop_assert_eq!(is_refused, in_block);
    }

    #[test]
    fn an_allowed_network_changes_nothing_outside_it(address in any::<u32>()) {
        let address = IpAddr::V4(address.into());
        let network: Network = "10.0.0.0/8".parse().unwrap();
        if !network.contains(address) {
            let (with, without) = (allowing(&["10.0.0.0/8"]), EgressPolicy::default());
            prop_assert_eq!(with.judge_addr(address), without.judge_addr(address));
        }
    }
}
