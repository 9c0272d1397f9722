//! What the operator allows webhooks to reach.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    sync::Arc,
};

use super::{
    AddressKind, AddressRefused, INSIDE_HOST, Inside, Network, TargetHost, TargetUrl, UrlRefused,
    address::{canonical, judge_addr},
    judge_url::judge_url,
};

/// What webhooks may reach beside the public internet over https, and what they may not.
#[derive(Debug, Clone)]
pub struct EgressPolicy {
    /// Networks that are allowed although they are not public, over plain http too (`BELLHOP_EGRESS_ALLOW`).
    pub allow: Vec<Network>,
    /// The ports that a webhook's URL may name.
    pub ports: Vec<PortRange>,
    /// The built-in receiver, if there is one. Reached under [`INSIDE_HOST`](super::INSIDE_HOST) alone, over plain http,
    /// and never over the network.
    pub inside: Option<Arc<dyn Inside>>,
    /// Where Bellhop itself listens; an unspecified address (0.0.0.0) stands for all of this machine's.
    pub own_addresses: Vec<SocketAddr>,
}

impl Default for EgressPolicy {
    /// The public internet over https, at the ports 80, 443 and 1024 to 65535.
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ports: PortRange::DEFAULT.to_vec(),
            inside: None,
            own_addresses: Vec::new(),
        }
    }
}

impl EgressPolicy {
    /// The default policy with further networks.
    pub fn allowing(allow: impl IntoIterator<Item = Network>) -> Self {
        Self {
            allow: allow.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Parses a webhook's URL and judges it, without DNS. See [`UrlRefused`] for what is refused.
    pub fn judge_url(&self, text: &str) -> Result<TargetUrl, UrlRefused> {
        judge_url(text, self)
    }

    /// Whether requests may go to this address; see [`judge_addr`].
    pub fn judge_addr(&self, address: IpAddr) -> Result<(), AddressRefused> {
        judge_addr(address, self)
    }

    /// Like [`Self::judge_addr`], and refuses the address and port at which Bellhop itself listens.
    pub fn judge_socket(&self, socket: SocketAddr) -> Result<(), AddressRefused> {
        self.judge_addr(socket.ip())?;
        if self.is_own(socket) {
            return Err(AddressRefused {
                address: socket.ip(),
                kind: AddressKind::Own,
            });
        }
        Ok(())
    }

    /// Whether the operator named a network with this address in it.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = canonical(address);
        self.allow.iter().any(|network| network.contains(address))
    }

    /// What answers in this process for this host, if anything does.
    pub(super) fn inside_of(&self, host: &TargetHost) -> Option<&dyn Inside> {
        match host {
            TargetHost::Name(name) if **name == *INSIDE_HOST => self.inside.as_deref(),
            _ => None,
        }
    }

    /// Whether a URL may name the port.
    pub(super) fn allows_port(&self, port: u16) -> bool {
        port != 0 && self.ports.iter().any(|range| range.0.contains(&port))
    }

    /// Whether a host may be written as a name with plain http; its addresses are judged at sending.
    pub(super) const fn allows_http_names(&self) -> bool {
        !self.allow.is_empty()
    }

    fn is_own(&self, socket: SocketAddr) -> bool {
        let ip = canonical(socket.ip());
        self.own_addresses.iter().any(|own| {
            let own_ip = canonical(own.ip());
            own.port() == socket.port()
                && (own_ip == ip || own_ip.is_unspecified() && is_this_machine(ip))
        })
    }
}

/// Whether the address surely means this machine. Addresses of its other interfaces cannot be told from the address
/// alone; the connector sees those when the connection's two ends have one address.
fn is_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

/// Ports from one to another, both included: `1024-65535`, or a single one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange(pub RangeInclusive<u16>);

impl PortRange {
    /// Web ports and those that need no privilege. Below 1024 live mail, shells and databases of old.
    pub const DEFAULT: [Self; 3] = [Self(80..=80), Self(443..=443), Self(1024..=u16::MAX)];
}

/// The text is not a range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a port or a range of ports: write a number from 1 to 65535, or two as in 8000-8999"
)]
pub struct PortRangeError(pub String);

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PortRangeError(text.chars().take(64).collect());
        let port = |digits: &str| {
            digits
                .trim()
                .parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(error)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = port(first)?..=port(last)?;
        if range.is_empty() {
            Err(error())
        } else {
            Ok(Self(range))
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last {
            write!(f, "{first}")
        } else {
            write!(f, "{first}-{last}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges() {
        for (text, shown) in [
            ("443", "443"),
            ("8000-8999", "8000-8999"),
            (" 80 - 90 ", "80-90"),
        ] {
            assert_eq!(text.parse::<PortRange>().unwrap().to_string(), shown);
        }
        for text in ["", "0", "65536", "90-80", "a", "-", "1-", "0-5"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn own_addresses() {
        let mut policy =
            EgressPolicy::allowing(["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        policy.own_addresses = vec![
            "127.0.0.1:8080".parse().unwrap(),
            "0.0.0.0:9090".parse().unwrap(),
        ];
        for (socket, refused) in [
            ("127.0.0.1:8080", true),
            ("[::ffff:127.0.0.1]:8080", true),
            ("127.0.0.1:8081", false),
            ("127.0.0.2:8080", false),
            ("127.0.0.2:9090", true),
            ("[::1]:9090", true),
        ] {
            assert_eq!(
                policy.judge_socket(socket.parse().unwrap()).is_err(),
                refused,
                "{socket}"
            );
        }
    }
}
