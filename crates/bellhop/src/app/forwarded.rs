//! Whose request it is behind a proxy: the address that connected to the outermost proxy that is trusted. What a header says
//! is believed only as far as trusted proxies have written it, from the right; whatever stands further left anybody may
//! have written.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

use crate::{
    config::{Config, ForwardedHeader},
    delivery::egress::Network,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are trusted, and the header in which they say who connected to them.
#[derive(Debug, Clone)]
pub struct Proxies {
    pub trusted: Vec<Network>,
    pub header: ForwardedHeader,
}

impl Proxies {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        Self {
            trusted: config.trusted_proxies.clone(),
            header: config.forwarded_header,
        }
    }

    /// The address of the client, of a request that came from `peer`.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.is_trusted(client) {
            return client;
        }
        for hop in self.hops(headers).into_iter().rev() {
            // A proxy that does not say, or says something else than an address: what is known is the proxy.
            let Some(address) = hop else { break };
            client = address.to_canonical();
            if !self.is_trusted(client) {
                break;
            }
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Who connected to whom, the outermost first; `None` for what is no address.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        let mut hops = Vec::new();
        for value in headers.get_all(name) {
            let text = value.to_str().unwrap_or_default();
            match self.header {
                ForwardedHeader::XForwardedFor => hops.extend(text.split(',').map(address)),
                ForwardedHeader::Forwarded => hops.extend(elements(text)),
            }
        }
        hops
    }
}

/// The `for` of each element (RFC 7239 section 4). A text that is not well-formed is one element that says nothing:
/// quotation marks that do not end must not hide what a proxy has written behind them, nor make it look like more.
fn elements(text: &str) -> Vec<Option<IpAddr>> {
    let (mut elements, mut pairs, mut part) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut characters) = (false, text.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => part.extend(characters.next()),
            ',' | ';' if !is_quoted => {
                pairs.push(std::mem::take(&mut part));
                if character == ',' {
                    elements.push(said_for(&std::mem::take(&mut pairs)));
                }
            }
            _ => part.push(character),
        }
    }
    if is_quoted {
        return vec![None];
    }
    pairs.push(part);
    elements.push(said_for(&pairs));
    elements
}

fn said_for(pairs: &[String]) -> Option<IpAddr> {
    let mut said = pairs.iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| address(value))
    });
    // Said twice, it is not known which of the two is the proxy's.
    match (said.next(), said.next()) {
        (Some(address), None) => address,
        _ => None,
    }
}

/// An address, with a port perhaps: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(header: ForwardedHeader) -> Proxies {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        Proxies {
            trusted: trusted.map(|network| network.parse().unwrap()).to_vec(),
            header,
        }
    }

    #[track_caller]
    fn client(header: ForwardedHeader, peer: &str, lines: &[&'static str], expected: &str) {
        let name = match header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_static(line));
        }
        let found = proxies(header).client(peer.parse().unwrap(), &headers);
        assert_eq!(found.to_string(), expected, "{peer} {lines:?}");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_what_it_has_written() {
        let is =
            |peer, lines, expected| client(ForwardedHeader::XForwardedFor, peer, lines, expected);
        // Nobody in between, and somebody who would like to be another.
        is("192.0.2.7", &[], "192.0.2.7");
        is("192.0.2.7", &["198.51.100.1"], "192.0.2.7");
        is("10.0.0.1", &[], "10.0.0.1");
        is("10.0.0.1", &["192.0.2.7"], "192.0.2.7");
        // The client wrote the left of it.
        is("10.0.0.1", &["198.51.100.1, 192.0.2.7"], "192.0.2.7");
        is("10.0.0.1", &["10.9.9.9, 192.0.2.7"], "192.0.2.7");
        // Through two proxies, in one line or in two.
        is(
            "10.0.0.1",
            &["198.51.100.1, 192.0.2.7, 10.0.0.2"],
            "192.0.2.7",
        );
        is(
            "10.0.0.1",
            &["198.51.100.1, 192.0.2.7", "10.0.0.2"],
            "192.0.2.7",
        );
        // From within: the outermost.
        is("10.0.0.1", &["10.0.0.9, 10.0.0.2"], "10.0.0.9");
        is("::ffff:10.0.0.1", &["::ffff:192.0.2.7"], "192.0.2.7");
        is("fd00::1", &["2001:db8::7"], "2001:db8::7");
        is("fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7");
        is("10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7");
        // What is no address is not passed over.
        is("10.0.0.1", &["192.0.2.7, unknown"], "10.0.0.1");
        is("10.0.0.1", &["192.0.2.7, unknown, 10.0.0.2"], "10.0.0.2");
        is("10.0.0.1", &[""], "10.0.0.1");
        is("10.0.0.1", &["192.0.2.7,"], "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_has_it() {
        let is = |peer, lines, expected| client(ForwardedHeader::Forwarded, peer, lines, expected);
        is("192.0.2.7", &["for=198.51.100.1"], "192.0.2.7");
        is("10.0.0.1", &["for=192.0.2.7"], "192.0.2.7");
        is(
            "10.0.0.1",
            &["For=\"[2001:db8::7]:4711\";proto=https"],
            "2001:db8::7",
        );
        is(
            "10.0.0.1",
            &["proto=https;by=10.0.0.1; for=\"192.0.2.7:80\""],
            "192.0.2.7",
        );
        is(
            "10.0.0.1",
            &["for=198.51.100.1, for=192.0.2.7, for=10.0.0.2"],
            "192.0.2.7",
        );
        is("10.0.0.1", &["for=192.0.2.7, for=_hidden"], "10.0.0.1");
        is("10.0.0.1", &["for=192.0.2.7, proto=http"], "10.0.0.1");
        // A host that the client chose does not end its quotation marks.
        is(
            "10.0.0.1",
            &["for=192.0.2.7;host=\"a;for=198.51.100.1\""],
            "192.0.2.7",
        );
        is(
            "10.0.0.1",
            &["for=192.0.2.7;host=\"a, for=198.51.100.1\""],
            "192.0.2.7",
        );
        is(
            "10.0.0.1",
            &["for=192.0.2.7;host=\"a\\\", for=198.51.100.1\""],
            "192.0.2.7",
        );
        is("10.0.0.1", &["for=192.0.2.7;for=198.51.100.1"], "10.0.0.1");
        // Marks that do not end swallow what the proxy wrote: nothing of it is believed.
        is(
            "10.0.0.1",
            &["for=\"198.51.100.1, for=192.0.2.7"],
            "10.0.0.1",
        );
    }

    #[test]
    fn the_other_header_is_anybodys() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::FORWARDED,
            HeaderValue::from_static("for=198.51.100.1"),
        );
        let peer = "10.0.0.1".parse().unwrap();
        let found = proxies(ForwardedHeader::XForwardedFor).client(peer, &headers);
        assert_eq!(found, peer);
    }
}
