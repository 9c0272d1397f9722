//! What the server says when it starts: where it is reached, where its things are, and what to try first.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, absolute},
};

use anstream::eprintln;
use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

use super::{
    log::Written,
    style::{DIM, HEAD},
};
use crate::{
    config::{Config, Database, Loaded, Origin},
    domain::secret_text::SecretText,
    store::postgres::Address,
};

/// What is known once the server listens.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether it has just made its keys.
    pub is_first_start: bool,
}

/// Most addresses that are shown; a host of containers has dozens.
const MAX_URLS: usize = 6;

/// For people, on stderr.
pub fn print(place: &Place, loaded: &Loaded, link: &SecretText) {
    let version = env!("CARGO_PKG_VERSION");
    let config = &loaded.config;
    let mut text = format!("{HEAD}Bellhop {version}{HEAD:#}\n\n");
    for (index, url) in urls(place.address).iter().enumerate() {
        let name = if index == 0 { "API" } else { "" };
        let _ = writeln!(text, "  {name:13} {url}");
    }
    let database = database_place(&config.database);
    let _ = writeln!(text, "  {:13} {database}", "Database");
    let _ = writeln!(text, "  {:13} {}", "Operator key", key_place(place, config));
    let _ = writeln!(text, "  {:13} {}", "Settings", origins(loaded));
    let _ = writeln!(
        text,
        "\nDashboard, once within 30 minutes (another link: bellhop sign-in):\n  {}",
        link.expose()
    );
    let _ = writeln!(text, "\nTry it:\n  {}", first_command(place, config));
    eprintln!("{text}");
    eprintln!("{DIM}Ctrl-C stops it after the requests in flight.{DIM:#}\n");
}

/// For machines: one line of the log.
pub fn log(place: &Place, loaded: &Loaded) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        urls = urls(place.address).join(" "),
        database = database_place(&loaded.config.database),
        operator_key = key_place(place, &loaded.config),
        sign_in_link = whole(&loaded.config.sign_in_link_file()),
        settings = origins(loaded),
        "serving"
    );
}

/// What is said after the first signal.
pub fn stopping(written: Written, config: &Config) {
    let seconds = config.drain.as_secs();
    match written {
        Written::Text => eprintln!(
            "Stopping: requests in flight have {seconds} s to end. Again to stop at once."
        ),
        Written::Json => tracing::info!(drain_seconds = seconds, "stopping"),
    }
}

/// Where the server can be reached from: never 0.0.0.0, which is no address to go to.
pub fn urls(address: SocketAddr) -> Vec<String> {
    let ips = if address.ip().is_unspecified() {
        let loopback: IpAddr = if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        let own = own_addresses(address.is_ipv4());
        std::iter::once(loopback)
            .chain(own)
            .take(MAX_URLS)
            .collect()
    } else {
        vec![address.ip()]
    };
    ips.into_iter()
        .map(|ip| format!("http://{}", SocketAddr::new(ip, address.port())))
        .collect()
}

/// Addresses of this machine that others can use; an IPv6 listener takes IPv4 as well.
fn own_addresses(is_ipv4_only: bool) -> BTreeSet<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return BTreeSet::new();
    };
    interfaces
        .filter(|interface| interface.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|interface| {
            let address = interface.address?;
            match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
                (_, Some(v6)) if !is_ipv4_only => Some(IpAddr::V6(v6.ip())),
                _ => None,
            }
        })
        .filter(|ip| !ip.is_loopback() && !is_link_local(*ip))
        .collect()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Without user and password.
fn database_place(database: &Database) -> String {
    match database {
        Database::Sqlite { path } => whole(path),
        Database::Postgres { url } => {
            Address::parse(url).map_or_else(|_| "PostgreSQL".to_owned(), |address| address.shown())
        }
    }
}

fn key_place(place: &Place, config: &Config) -> String {
    match config.operator_key_file() {
        None => "as configured".to_owned(),
        Some(path) if place.is_first_start => format!("{} (made just now)", whole(&path)),
        Some(path) => whole(&path),
    }
}

/// Which layers set anything.
fn origins(loaded: &Loaded) -> String {
    let mut files = BTreeSet::new();
    let mut others = Vec::new();
    for one in &loaded.shown {
        match &one.origin {
            Origin::Default => {}
            Origin::File { path, .. } => {
                files.insert(whole(path));
            }
            Origin::Environment(name) | Origin::Flag(name) => others.push(name.clone()),
        }
    }
    let all: Vec<_> = files.into_iter().chain(others).collect();
    if all.is_empty() {
        "defaults".to_owned()
    } else {
        all.join(", ")
    }
}

fn first_command(place: &Place, config: &Config) -> String {
    let url = &urls(place.address)[0];
    let key = match config.operator_key_file() {
        Some(path) => format!("$(cat {})", quoted(&whole(&path))),
        None => "$BELLHOP_OPERATOR_KEY".to_owned(),
    };
    format!("curl -H \"Authorization: Bearer {key}\" {url}/v1/applications")
}

fn whole(path: &Path) -> String {
    let path = absolute(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

/// As a shell reads it inside double quotes.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if path.chars().all(is_plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn unspecified_addresses_are_not_shown() {
        for listen in ["0.0.0.0:8080", "[::]:8080"] {
            let urls = urls(listen.parse().unwrap());
            assert!(urls[0] == "http://127.0.0.1:8080" || urls[0] == "http://[::1]:8080");
            assert!(
                urls.iter()
                    .all(|url| !url.contains("0.0.0.0") && !url.contains("[::]"))
            );
        }
        assert_eq!(
            urls("127.0.0.1:80".parse().unwrap()),
            ["http://127.0.0.1:80"]
        );
    }

    #[test]
    fn the_first_command_reads_the_key_from_its_file() {
        let flags = vec![("data_dir", "/var/lib/the bell".to_owned())];
        let loaded = load(&Sources::of_flags(flags)).unwrap();
        let place = Place {
            address: "127.0.0.1:8080".parse().unwrap(),
            is_first_start: true,
        };
        assert_eq!(
            first_command(&place, &loaded.config),
            "curl -H \"Authorization: Bearer $(cat '/var/lib/the bell/operator-key')\" http://127.0.0.1:8080/v1/applications"
        );
        assert_eq!(origins(&loaded), "--data-dir");
        assert!(key_place(&place, &loaded.config).ends_with("operator-key (made just now)"));
    }
}
