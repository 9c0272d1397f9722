//! IP networks in CIDR notation, as an operator writes them in `BELLHOP_EGRESS_ALLOW`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A block of IP addresses: `10.0.0.0/8`, `fd00::/8`, or a single address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    base: IpAddr,
    prefix_bits: u8,
}

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The part before the slash is not an IP address.
    #[error(
        "`{0}` is not a network: write an IP address or a block such as 10.0.0.0/8 or fd00::/8"
    )]
    NotAnAddress(String),
    /// The part after the slash is not a number of bits that fits.
    #[error("`{text}` is not a network: the number after the slash goes from 0 to {most}")]
    PrefixLength {
        /// What was written.
        text: String,
        /// The most bits that this kind of address has.
        most: u8,
    },
    /// There are bits beyond the prefix, so one of the two is a mistake.
    #[error(
        "`{text}` has bits beyond its prefix: write {meant} for the block, or the address alone for one host"
    )]
    HostBits {
        /// What was written.
        text: String,
        /// The block that contains it.
        meant: Network,
    },
}

impl Network {
    /// The IPv4 block of `prefix_bits` that begins at `base`.
    pub const fn v4(base: [u8; 4], prefix_bits: u8) -> Self {
        assert!(prefix_bits <= 32, "an IPv4 prefix has at most 32 bits");
        let [a, b, c, d] = base;
        Self {
            base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix_bits,
        }
    }

    /// The IPv6 block of `prefix_bits` that begins with the 16-bit groups `base`; the other groups are zero.
    pub const fn v6(base: [u16; 4], prefix_bits: u8) -> Self {
        assert!(prefix_bits <= 128, "an IPv6 prefix has at most 128 bits");
        let [a, b, c, d] = base;
        Self {
            base: IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)),
            prefix_bits,
        }
    }

    /// The network of one address.
    pub const fn single(address: IpAddr) -> Self {
        Self {
            base: address,
            prefix_bits: bits(address),
        }
    }

    /// Whether the address is inside. An IPv4 network never contains an IPv6 address, mapped or not: callers
    /// turn mapped addresses into IPv4 first.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                shifted(u32::from(base).into(), 32 - self.prefix_bits)
                    == shifted(u32::from(address).into(), 32 - self.prefix_bits)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                shifted(base.into(), 128 - self.prefix_bits)
                    == shifted(address.into(), 128 - self.prefix_bits)
            }
            _ => false,
        }
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Drops the lowest `by` bits, all of them at 128.
fn shifted(value: u128, by: u8) -> u128 {
    value.checked_shr(by.into()).unwrap_or(0)
}

fn masked(address: IpAddr, prefix_bits: u8) -> IpAddr {
    let drop = bits(address) - prefix_bits;
    match address {
        IpAddr::V4(v4) => {
            let kept = shifted(u32::from(v4).into(), drop)
                .checked_shl(drop.into())
                .unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(kept as u32))
        }
        IpAddr::V6(v6) => {
            let kept = shifted(v6.into(), drop)
                .checked_shl(drop.into())
                .unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(kept))
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let shown = || text.chars().take(64).collect::<String>();
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, bits)| (address, Some(bits)));
        let base: IpAddr = address
            .parse()
            .map_err(|_| NetworkError::NotAnAddress(shown()))?;
        let most = bits(base);
        let prefix_bits = match prefix {
            None => most,
            // `parse` alone would take "+8".
            Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => most + 1,
            Some(digits) => digits.parse::<u8>().unwrap_or(u8::MAX),
        };
        if prefix_bits > most {
            return Err(NetworkError::PrefixLength {
                text: shown(),
                most,
            });
        }
        let block = Self {
            base: masked(base, prefix_bits),
            prefix_bits,
        };
        if block.base != base {
            return Err(NetworkError::HostBits {
                text: shown(),
                meant: block,
            });
        }
        Ok(block)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_bits)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_blocks_and_single_addresses() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            (" 127.0.0.1 ", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("fd00::/8", "fd00::/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_what_is_not_a_network() {
        for (text, says) in [
            ("", "not a network"),
            ("localhost", "not a network"),
            ("127.1/8", "not a network"),
            ("10.0.0.0/33", "0 to 32"),
            ("10.0.0.0/", "0 to 32"),
            ("10.0.0.0/+8", "0 to 32"),
            ("::/129", "0 to 128"),
            ("10.1.2.3/8", "write 10.0.0.0/8"),
            ("fd00::1/8", "write fd00::/8"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn contains_exactly_its_addresses() {
        let ten: Network = "10.0.0.0/8".parse().unwrap();
        for (address, inside) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("::", false),
        ] {
            assert_eq!(ten.contains(address.parse().unwrap()), inside, "{address}");
        }
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains("ffff::".parse().unwrap()));
        assert!(!all.contains("1.2.3.4".parse().unwrap()));
        let odd: Network = "192.0.2.128/25".parse().unwrap();
        assert!(
            odd.contains("192.0.2.200".parse().unwrap())
                && !odd.contains("192.0.2.127".parse().unwrap())
        );
    }
}
