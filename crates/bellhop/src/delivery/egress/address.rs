//! Which addresses a webhook may lead to: the public internet, and what the operator allowed. Default deny.
//!
//! The blocks are those of IANA's special-purpose address registries (RFC 6890 and its successors), plus the
//! addresses at which clouds offer their metadata.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Network, policy::EgressPolicy};

/// An address that no request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {kind}", kind = kind.as_str())]
pub struct AddressRefused {
    /// The address as it was written or answered.
    pub address: IpAddr,
    /// What is wrong with it.
    pub kind: AddressKind,
}

/// Why an address is not a place for a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// A cloud's metadata service; no setting allows it.
    Metadata,
    /// This machine itself.
    Loopback,
    /// A private or shared network.
    Private,
    /// Valid on one link only.
    LinkLocal,
    /// Reserved for a protocol, for tests or for documentation.
    Special,
    /// A group of machines.
    Multicast,
    /// Not handed out to anyone.
    Reserved,
    /// An IPv6 form of a translation or a tunnel, which hides an IPv4 address.
    Embedded,
    /// IPv6 outside the global unicast block 2000::/3.
    NotGlobal,
    /// The address and port at which Bellhop itself listens.
    Own,
}

impl AddressKind {
    /// What the address is, as the end of a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "a cloud metadata address, which is never allowed",
            Self::Loopback => "a loopback address",
            Self::Private => "an address of a private network",
            Self::LinkLocal => "a link-local address",
            Self::Special => "an address reserved for a protocol, for tests or for documentation",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
            Self::Embedded => "an IPv6 form that hides an IPv4 address",
            Self::NotGlobal => "not a global IPv6 address",
            Self::Own => "the address at which Bellhop itself listens",
        }
    }
}

use AddressKind::{Embedded, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, Special};

/// Never a target, whatever the operator allows: credentials are handed out there. AWS, Azure, GCP, Oracle and
/// OpenStack use the first; then AWS containers, Azure's wire server, Alibaba, Oracle, and the IPv6 ones.
const METADATA: &[Network] = &[
    Network::v4([169, 254, 169, 254], 32),
    Network::v4([169, 254, 170, 2], 32),
    Network::v4([169, 254, 170, 23], 32),
    Network::v4([169, 254, 0, 23], 32),
    Network::v4([168, 63, 129, 16], 32),
    Network::v4([100, 100, 100, 200], 32),
    Network::v4([192, 0, 0, 192], 32),
    // fd00:ec2::/32 (AWS) and fd20:ce::/32 (GCP) hold nothing but the clouds' own services.
    Network::v6([0xfd00, 0x0ec2, 0, 0], 32),
    Network::v6([0xfd20, 0x00ce, 0, 0], 32),
];

const REFUSED_V4: &[(Network, AddressKind)] = &[
    (Network::v4([0, 0, 0, 0], 8), Reserved),
    (Network::v4([10, 0, 0, 0], 8), Private),
    (Network::v4([100, 64, 0, 0], 10), Private),
    (Network::v4([127, 0, 0, 0], 8), Loopback),
    (Network::v4([168, 63, 129, 16], 32), Metadata),
    (Network::v4([169, 254, 0, 0], 16), LinkLocal),
    (Network::v4([172, 16, 0, 0], 12), Private),
    (Network::v4([192, 0, 0, 0], 24), Special),
    (Network::v4([192, 0, 2, 0], 24), Special),
    (Network::v4([192, 31, 196, 0], 24), Special),
    (Network::v4([192, 52, 193, 0], 24), Special),
    (Network::v4([192, 88, 99, 0], 24), Special),
    (Network::v4([192, 168, 0, 0], 16), Private),
    (Network::v4([192, 175, 48, 0], 24), Special),
    (Network::v4([198, 18, 0, 0], 15), Special),
    (Network::v4([198, 51, 100, 0], 24), Special),
    (Network::v4([203, 0, 113, 0], 24), Special),
    (Network::v4([224, 0, 0, 0], 4), Multicast),
    (Network::v4([240, 0, 0, 0], 4), Reserved),
];

/// The only IPv6 block that is handed out for the public internet.
const GLOBAL_V6: Network = Network::v6([0x2000, 0, 0, 0], 3);

const REFUSED_V6: &[(Network, AddressKind)] = &[
    // Protocol assignments, among them Teredo (2001::/32), ORCHID and benchmarking.
    (Network::v6([0x2001, 0, 0, 0], 23), Special),
    (Network::v6([0x2001, 0x0db8, 0, 0], 32), Special),
    (Network::v6([0x2002, 0, 0, 0], 16), Embedded),
    (Network::v6([0x2620, 0x004f, 0x8000, 0], 48), Special),
    (Network::v6([0x3ffe, 0, 0, 0], 16), Reserved),
    (Network::v6([0x3fff, 0, 0, 0], 20), Special),
];

/// Names for a few blocks outside 2000::/3, so that the refusal says what a person recognises.
const NAMED_V6: &[(Network, AddressKind)] = &[
    (Network::v6([0xfc00, 0, 0, 0], 7), Private),
    (Network::v6([0xfe80, 0, 0, 0], 10), LinkLocal),
    (Network::v6([0xff00, 0, 0, 0], 8), Multicast),
    (Network::v6([0x0064, 0xff9b, 0, 0], 32), Embedded),
];

/// The address that a connection is made to: a v4-mapped one is the IPv4 address it stands for.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether requests may go to the address. Allowed networks are exempt from all but the metadata rule.
pub fn judge_addr(address: IpAddr, policy: &EgressPolicy) -> Result<(), AddressRefused> {
    let refused = |kind| Err(AddressRefused { address, kind });
    let canonical = canonical(address);
    let embedded = match canonical {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(v6) => embedded_v4(v6),
    };
    if is_metadata(canonical) || embedded.into_iter().any(|v4| is_metadata(v4.into())) {
        return refused(Metadata);
    }
    if policy.allows(canonical) {
        return Ok(());
    }
    let kind = match canonical {
        IpAddr::V4(v4) => refused_v4(v4),
        IpAddr::V6(v6) => refused_v6(v6),
    };
    kind.map_or(Ok(()), refused)
}

fn is_metadata(address: IpAddr) -> bool {
    METADATA.iter().any(|network| network.contains(address))
}

fn refused_v4(address: Ipv4Addr) -> Option<AddressKind> {
    find(REFUSED_V4, address.into())
}

fn refused_v6(address: Ipv6Addr) -> Option<AddressKind> {
    if address.is_loopback() {
        return Some(Loopback);
    }
    if !GLOBAL_V6.contains(address.into()) {
        return Some(find(NAMED_V6, address.into()).unwrap_or(
            if embedded_v4(address).is_empty() {
                AddressKind::NotGlobal
            } else {
                Embedded
            },
        ));
    }
    find(REFUSED_V6, address.into()).or_else(|| isatap_v4(address).and_then(refused_v4))
}

fn find(blocks: &[(Network, AddressKind)], address: IpAddr) -> Option<AddressKind> {
    blocks
        .iter()
        .find(|(network, _)| network.contains(address))
        .map(|(_, kind)| *kind)
}

/// The IPv4 addresses inside an IPv6 form that some router or host would unwrap: mapped, compatible, translated
/// (SIIT), NAT64 (both prefixes, RFC 6052 and 8215), 6to4, Teredo (server and client, RFC 4380), or an ISATAP
/// interface id. Several where it cannot be told which of them is meant; none for an address that hides nothing.
pub fn embedded_v4(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| octets[place]));
    let last = at([12, 13, 14, 15]);
    match address.segments() {
        // `::` and `::1` are of this shape too, but embed nothing.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => vec![last],
        // Where the address stands depends on the length of the prefix, which only the network knows. Octet 8 is zero.
        [0x64, 0xff9b, ..] => vec![
            last,
            at([9, 10, 11, 12]),
            at([7, 9, 10, 11]),
            at([6, 7, 9, 10]),
            at([5, 6, 7, 9]),
            at([4, 5, 6, 7]),
        ],
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        // The client's is stored inverted.
        [0x2001, 0, ..] => vec![at([4, 5, 6, 7]), Ipv4Addr::from_bits(!last.to_bits())],
        _ => isatap_v4(address).into_iter().collect(),
    }
}

/// The IPv4 address in an ISATAP interface id (RFC 5214, 6.1): `…:0:5efe:a.b.c.d`, with the bits "universal" and
/// "group" either way.
fn isatap_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.octets() {
        [.., mark, 0, 0x5e, 0xfe, a, b, c, d] if mark & !0b11 == 0 => {
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}
